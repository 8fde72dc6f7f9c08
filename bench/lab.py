"""The lab's own precision: delay delivered against delay asked, stamped by the kernel on the vantage's device.

`./dev bench lab [--device tun|veth] [--unprivileged] [--seconds N]` sends ICMP echo requests from a vantage of
the small world at several rates, half of them with a TTL that expires on the way. An AF_PACKET socket on the
vantage's device stamps each packet as it leaves and comes back (the same kernel function both ways, so its own
cost cancels); the truth is the world's arithmetic. The first row is this machine's own lateness: what a process
that only sleeps sees at the same priority. The last row is as fast as one core of router goes.
"""

import argparse
import contextlib
import os
import pickle
import socket
import struct
import sys
import time
import traceback

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
    with RunningLab.start(
        "small", name="bench-lab", device=options.device, unprivileged=options.unprivileged
    ) as lab:
        status = lab.status()
        print(f"lab over {status.device}, {'user namespace' if status.unprivileged else 'root'}")
        print(
            f"{'asked pps':>10} {'sent pps':>9} {'answered':>9} {'error us: p50':>14} {'p90':>8} {'p99':>8} {'p99.9':>8}"
        )
        print(f"{'host':>10} {'':>9} {'':>9} " + _columns(_host_lateness(options.seconds)))
        worst = 0.0
        for rate in options.rates:
            errors, sent, took = _round(lab, rate, round(rate * options.seconds))
            worst = max(worst, _row(rate, errors, sent, took))
        if options.flood:
            errors, sent, took = _round(lab, 0, options.flood)
            _row(0, errors, sent, took)
        print(
            f"worst p99 at a demo's rates {worst:.0f} us, bound {BOUND_US:.0f} us: ratio {worst / BOUND_US:.2f}"
        )
        figures = lab.figures()
        print("router: late behind deadline p50/p99/max {:.0f}/{:.0f}/{:.0f} us".format(*figures.late_us))
    return int(worst > BOUND_US)


def _row(rate: int, errors: list[float], sent: int, took: float) -> float:
    errors.sort()
    name = str(rate) if rate else "flood"
    print(f"{name:>10} {sent / took:>9.0f} {len(errors) / sent:>9.2%} " + _columns(errors))
    return max(abs(_at(errors, 0.01)), abs(_at(errors, 0.99)))


def _columns(errors: list[float]) -> str:
    p50, p90, p99, p999 = (_at(errors, share) for share in (0.5, 0.9, 0.99, 0.999))
    return f"{p50:>14.0f} {p90:>8.0f} {p99:>8.0f} {p999:>8.0f}"


def _at(errors: list[float], share: float) -> float:
    return errors[min(len(errors) - 1, int(share * len(errors)))] if errors else float("nan")


def _host_lateness(seconds: float) -> list[float]:
    """What this machine does to a process that only sleeps, at the lab's own priority: no lab can be better."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            wake_on_time(real_time=True)
            late: list[float] = []
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                before = time.monotonic_ns()
                time.sleep(0.001)
                late.append((time.monotonic_ns() - before) / 1000 - 1000)
            with os.fdopen(writing, "wb") as out:
                pickle.dump(sorted(late), out)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        found: list[float] = pickle.load(answer)
    os.waitpid(pid, 0)
    return found


def _round(lab: RunningLab, rate: int, count: int) -> tuple[list[float], int, float]:
    """(error in us of each answer, packets sent, seconds) of one run from vantage `nyc`."""
    oracle = lab.oracle()
    address = socket.inet_ntop(socket.AF_INET, oracle.topology.targets["west.lab"].address4)
    flow = flow_for(address, Method.ICMP)
    path = oracle.path("nyc", "west.lab", flow)
    loud = [hop for hop in path.hops if not hop.silent and not hop.limited]
    expected = {hop.ttl: hop.rtt_ns for hop in loud} | {64: path.rtt_ns}
    ttls = [64, *(hop.ttl for hop in loud)]
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
    errors = [(back - out - expected[ttl]) / 1000 for ttl, out, back in stamps]
    return errors, count, took


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
