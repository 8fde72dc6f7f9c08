"""The lab's own precision: delay delivered against delay asked, stamped by the kernel on the vantage's device.

`./dev bench lab [--device tun|veth] [--unprivileged] [--seconds N]` sends ICMP echo requests from a vantage of
the small world at several rates, most of them with a TTL that expires on the way. An AF_PACKET socket on the
vantage's device stamps each packet as it leaves and comes back (the same kernel function both ways, so its own
cost cancels); the truth is the world's arithmetic. The last row is a flood: as fast as one core of router goes.

On a machine that others use too the whole host stands still now and then. A witness on each CPU, at a higher
priority than the lab, notes when; the columns on the right leave out answers that were under way meanwhile.
"""

import argparse
import contextlib
import os
import pickle
import signal
import socket
import struct
import sys
import time
import traceback
from dataclasses import dataclass

from nettrace.lab import icmp
from nettrace.lab.inside import enter
from nettrace.lab.namespaces import wake_on_time
from nettrace.lab.session import RunningLab
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method
from nettrace.model.path import Flow

BOUND_US = 300.0
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_ETH_P_ALL = 3
_WATCH_S, _STALL_NS = 0.0005, 200_000


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench lab")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--unprivileged", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rates", type=int, nargs="*", default=[100, 500, 1000, 2000])
    parser.add_argument("--flood", type=int, default=20_000, help="packets of the last row; 0: none")
    parser.add_argument("--quick", action="store_true", help="one second a rate, a small flood")
    options = parser.parse_args(argv)
    if options.quick:
        options.seconds, options.flood = 1.0, 5_000
    name = f"bench-lab-{os.getpid()}"
    with RunningLab.start(
        "small", name=name, device=options.device, unprivileged=options.unprivileged
    ) as lab:
        status = lab.status()
        print(
            f"lab over {status.device}, {'user namespace' if status.unprivileged else 'root'}; errors in us"
        )
        print(
            f"{'pps':>9} {'answered':>9} {'p50':>7} {'p90':>7} {'p99':>7} {'p99.9':>8}   host awake: share, p99, p99.9"
        )
        rounds = [(rate, round(rate * options.seconds)) for rate in options.rates]
        worst = max(_row(_round(lab, rate, count)) for rate, count in rounds)
        if options.flood:
            _row(_round(lab, 0, options.flood))
        print(
            f"worst p99 at a demo's rates while the host was awake {worst:.0f} us, bound {BOUND_US:.0f} us: ",
            end="",
        )
        print(f"ratio {worst / BOUND_US:.2f}")
    return int(worst > BOUND_US)


@dataclass
class Round:
    """One run: (error in us, left at, came back at) of each answer, and when the host itself stood still."""

    answers: list[tuple[float, int, int]]
    stalls: list[tuple[int, int]]
    sent: int
    seconds: float


def _row(done: Round) -> float:
    """Print a run; returns the 99th percentile of the answers that met no stall of the host."""
    errors = sorted(error for error, _, _ in done.answers)
    awake = sorted(
        error
        for error, out, back in done.answers
        if not any(start < back and out < end for start, end in done.stalls)
    )
    columns = f"{_at(errors, 0.5):>7.0f} {_at(errors, 0.9):>7.0f} {_at(errors, 0.99):>7.0f} {_at(errors, 0.999):>8.0f}"
    kept = f"{len(awake) / max(1, len(errors)):>18.1%} {_at(awake, 0.99):>6.0f} {_at(awake, 0.999):>6.0f}"
    print(f"{done.sent / done.seconds:>9.0f} {len(errors) / done.sent:>9.2%} {columns} {kept}")
    return max(abs(_at(awake, 0.01)), abs(_at(awake, 0.99)))


def _at(errors: list[float], share: float) -> float:
    return errors[min(len(errors) - 1, int(share * len(errors)))] if errors else float("nan")


class Witness:
    """A process a CPU that only sleeps, above the lab's priority: when it oversleeps, the host stood still."""

    def __init__(self) -> None:
        self._children = [self._watch(cpu) for cpu in sorted(os.sched_getaffinity(0))]

    def stop(self) -> list[tuple[int, int]]:
        """When the host stood still: (start, end) on the wall clock, in ns."""
        stalls: list[tuple[int, int]] = []
        for pid, reading in self._children:
            os.kill(pid, signal.SIGTERM)
            with os.fdopen(reading, "rb") as answer:
                stalls += pickle.load(answer)
            os.waitpid(pid, 0)
        return stalls

    def _watch(self, cpu: int) -> tuple[int, int]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            os.read(reading, 1)  # it watches from here on
            return pid, reading
        ended: list[int] = []
        stalls: list[tuple[int, int]] = []
        try:
            signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
            os.sched_setaffinity(0, {cpu})
            wake_on_time(real_time=True)
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
            os.write(writing, b"!")
            while not ended:
                before = time.time_ns()
                time.sleep(_WATCH_S)
                after = time.time_ns()
                if after - before > _WATCH_S * 1e9 + _STALL_NS:
                    stalls.append((before, after))
            with os.fdopen(writing, "wb") as out:
                pickle.dump(stalls, out)
        finally:
            os._exit(0)


def _round(lab: RunningLab, rate: int, count: int) -> Round:
    """One run from vantage `nyc`."""
    oracle = lab.oracle()
    address = socket.inet_ntop(socket.AF_INET, oracle.topology.targets["west.lab"].address4)
    flow = flow_for(address, Method.ICMP)
    path = oracle.path("nyc", "west.lab", flow)
    loud = [hop for hop in path.hops if not hop.silent and not hop.limited]
    expected = {hop.ttl: hop.rtt_ns for hop in loud} | {64: path.rtt_ns}
    ttls = [64, *(hop.ttl for hop in loud)]
    witness = Witness()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            enter(lab.home, "nyc")
            with os.fdopen(writing, "wb") as out:
                pickle.dump(_measure(address, flow, ttls, rate, count), out)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        stamps, took = pickle.load(answer)
    os.waitpid(pid, 0)
    answers = [((back - out - expected[ttl]) / 1000, out, back) for ttl, out, back in stamps]
    return Round(answers, witness.stop(), count, took)


def _measure(
    address: str, flow: Flow, ttls: list[int], rate: int, count: int
) -> tuple[list[tuple[int, int, int]], float]:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    with contextlib.suppress(PermissionError):
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.setblocking(False)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    started = time.monotonic_ns()
    stamps: list[tuple[bytes, int, int]] = []
    for number in range(count):
        if rate:
            while (now := time.monotonic_ns()) < started + number * 1_000_000_000 // rate:
                if started + number * 1_000_000_000 // rate - now > 300_000:
                    time.sleep(0.0001)
        ttl = ttls[number % len(ttls)]
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        raw.sendto(_echo(flow, number, ttl), (address, 0))
        if number % 64 == 0:
            stamps += _drain(tap)
    took = (time.monotonic_ns() - started) / 1e9
    ends = time.monotonic() + 1.0
    while time.monotonic() < ends:
        stamps += _drain(tap)
        time.sleep(0.01)
    return _pairs(stamps), took


def _echo(flow: Flow, number: int, ttl: int) -> bytes:
    """An echo request of a constant checksum: two bytes of payload balance the counter."""
    body = struct.pack(
        "!BBHHHHIH", 8, 0, flow.icmp_checksum, flow.icmp_identifier, number & 0xFFFF, 0, number, ttl
    )
    balance = icmp.checksum(body)
    return body[:8] + struct.pack("!H", balance) + body[10:]


def _drain(tap: socket.socket) -> list[tuple[bytes, int, int]]:
    taken: list[tuple[bytes, int, int]] = []
    while True:
        try:
            packet, control, _, address = tap.recvmsg(2048, 64)
        except BlockingIOError:
            return taken
        seconds, ns = struct.unpack("qq", control[0][2])
        taken.append((packet, address[2], seconds * 1_000_000_000 + ns))


def _pairs(stamps: list[tuple[bytes, int, int]]) -> list[tuple[int, int, int]]:
    """(TTL, left at, came back at) of each probe that was answered."""
    left: dict[int, tuple[int, int]] = {}
    found: list[tuple[int, int, int]] = []
    for packet, direction, at in stamps:
        if packet[0] >> 4 != 4 or packet[9] != 1:
            continue
        body = packet[20:]
        if direction == socket.PACKET_OUTGOING:
            left[int.from_bytes(body[10:14])] = (body[15], at)
            continue
        if body[0] in (3, 11):
            body = body[28:]
        number = int.from_bytes(body[10:14])
        if number in left:
            ttl, out = left.pop(number)
            found.append((ttl, out, at))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
