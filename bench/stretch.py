"""How long a packet takes from the stack to its driver, with and without the capture that takes the truth.

The kernel stamps both ends of that stretch (`SCM_TSTAMP_SCHED`, `SCM_TSTAMP_SND`), and the device boundary that
`truth` judges by lies between them. So without a capture it bounds what the driver's stamp can be wrong by, and half
of it what the middle of both can; what it grows by under a capture is the capture's own copying, which `truth`
counts against both.
"""

import os
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext

from bench.capture import Capture
from bench.emulator import Emulator
from bench.figure import Column, Table, nearest_rank
from bench.load import BURNERS, IDLE, TOOL_CPU, burners
from bench.net import Net
from nettrace.measure.kernel.stamps import (
    IP_RECVERR,
    MSG_ERRQUEUE,
    OPT_ID,
    OPT_TSONLY,
    SO_TIMESTAMPING,
    SOFTWARE,
    TX_SOFTWARE,
)

TX_SCHED = 1 << 8
SND, SCHED = 0, 1
"""`ee_info` of the two stamps (linux/errqueue.h)."""

TICKS, TICK_S, PACKETS = 40, 0.05, 100
"""As the tools under test send: 2,000 packets a second, with pauses in which the kernel's code leaves the cache."""

_STAMP, _ERROR = struct.Struct("@qq"), struct.Struct("=IBBBBII")
_ORIGIN_STAMP = 4


def table(net: Net, targets: int, runs: int) -> Table:
    """The stretch under two loads, with and without a capture, in one run."""
    made = Table(
        "Truth: from the stack to the driver, without and with the capture",
        [Column("p50", "us"), Column("p99", "us"), Column("p99.9", "us")],
        f"{TICKS * PACKETS} UDP datagrams, {PACKETS} at once; without a capture: the most the driver's stamp can err by, and half of it the middle of both",
    )
    before = os.sched_getaffinity(0)
    for _ in range(runs):
        for load, loops in ((IDLE, 0), (BURNERS, 4)):
            for captured in (False, True):
                with Emulator(net, ethernet=True) as emulator, burners(loops):
                    os.sched_setaffinity(0, {TOOL_CPU})
                    try:
                        with Capture(emulator.device) if captured else nullcontext():
                            found = stretches(net.targets(targets))
                    finally:
                        os.sched_setaffinity(0, before)
                values = {
                    name: nearest_rank(found, share)
                    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
                }
                made.add(f"{'with' if captured else 'without'} capture, {load}", values)
    return made


def stretches(targets: list[str]) -> list[float]:
    """Microseconds from stack to driver of each datagram."""
    stamps: defaultdict[int, dict[int, int]] = defaultdict(dict)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        flags = TX_SOFTWARE | TX_SCHED | SOFTWARE | OPT_ID | OPT_TSONLY
        sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
        for tick in range(TICKS):
            for number in range(tick * PACKETS, (tick + 1) * PACKETS):
                sender.sendto(bytes(56), (targets[number % len(targets)], 33434))
            time.sleep(TICK_S)
            for number, kind, at in _drained(sender):
                stamps[number][kind] = at
    return [(both[SND] - both[SCHED]) / 1000 for both in stamps.values() if len(both) == 2]


def _drained(sender: socket.socket) -> Iterator[tuple[int, int, int]]:
    """(number of the datagram, which stamp, UTC ns)."""
    while True:
        try:
            ancillary = sender.recvmsg(0, 512, MSG_ERRQUEUE)[1]
        except BlockingIOError:
            return
        data = {(level, kind): body for level, kind, body in ancillary}
        error = data.get((socket.IPPROTO_IP, IP_RECVERR))
        stamp = data.get((socket.SOL_SOCKET, SO_TIMESTAMPING))
        if error is None or stamp is None:
            continue
        _, origin, _, _, _, kind, number = _ERROR.unpack_from(error)
        if origin == _ORIGIN_STAMP:
            seconds, ns = _STAMP.unpack_from(stamp)
            yield number, kind, seconds * 1_000_000_000 + ns
