"""Scenario "limits": 200 targets behind eight real Linux routers with default ICMP limits.

Each router is a namespace of its own with the kernel's defaults: one ICMP error a second to each destination,
burst 6 (net.ipv4.icmp_ratelimit). A tool that asks every router once for each target gets almost nothing; one
that knows which hops its targets share needs eight answers.
"""

import contextlib
import itertools
import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import ours, rivals
from bench.bridge import inside, new_namespace
from bench.capture import Capture, probes
from bench.emulator import Namespace, run_ip, scratch
from bench.figure import Column, Table
from bench.load import HERE
from bench.rivals import Report, Tool

ROUTERS, TARGETS = 8, 200
FAR = "10.221.0.0/16"
BURST = 6


class Chain(Namespace):
    """Namespaces joined in a row by veth pairs: us, eight routers, and a host that owns 10.221.0.0/16."""

    device = "v0"

    def __enter__(self) -> Self:
        super().__enter__()
        self._stack = contextlib.ExitStack()
        try:
            self._build()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _build(self) -> None:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._stack.callback(os.close, here)
        spaces = [here, *(new_namespace(self._stack) for _ in range(ROUTERS + 1))]
        for number, (near, far) in enumerate(itertools.pairwise(spaces)):
            with inside(near):
                run_ip("link", "add", f"v{number}", "type", "veth", "peer", "name", f"w{number}")
                run_ip("link", "set", f"w{number}", "netns", f"/proc/{os.getpid()}/fd/{far}")
                run_ip("addr", "add", f"10.220.{number}.1/30", "dev", f"v{number}")
                run_ip("link", "set", f"v{number}", "up")
                run_ip("route", "add", "default", "via", f"10.220.{number}.2")
            with inside(far):
                run_ip("addr", "add", f"10.220.{number}.2/30", "dev", f"w{number}")
                run_ip("link", "set", f"w{number}", "up")
                if number:
                    run_ip("route", "add", "10.220.0.0/30", "via", f"10.220.{number}.1")
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        with inside(spaces[-1]):
            run_ip("route", "add", "local", FAR, "dev", "lo")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        super().__exit__(kind, error, trace)


def route() -> list[str]:
    """What answers at TTL 1 to 8."""
    return [f"10.220.{number}.2" for number in range(ROUTERS)]


def targets(count: int) -> list[str]:
    """Addresses of the last host."""
    return [f"10.221.{number >> 8}.{number & 255}" for number in range(1, count + 1)]


def run(runs: int, quick: bool) -> list[Table]:
    """Routes that are right, time, and probes each router had to bear."""
    count = 10 if quick else TARGETS
    table = Table(
        f"Limits: {count} targets behind {ROUTERS} Linux routers with default ICMP limits",
        [
            Column("routes right", "%", goal=100.0, at_least=True),
            Column("hops right", "%"),
            Column("wall", "s", goal=60.0),
            Column("busiest router", "probes/s", goal=1.2),
            Column("probes", "sent"),
        ],
        "real kernels, one namespace a router; busiest router: probes beyond the burst of 6 by seconds from first to last",
    )
    with scratch() as folder:
        file = rivals.write_targets(folder / "targets", targets(count))
        for number in range(min(runs, 3)):
            _measure(table, ours.sweep(file, 1000, method="icmp"), count)
            if rivals.version("scamper") and number == 0:
                _measure(table, rivals.scamper_trace(file, 1000, "icmp-paris", tries=2), count)
    return [table]


def _measure(table: Table, tool: Tool, count: int) -> None:
    with Chain() as chain, Capture(chain.device) as capture:
        ran, report = tool.run(HERE, limit_s=150)
    right, routes = _judge(report, count)
    sent = probes(capture.packets)
    values = {
        "routes right": 100 * routes / count,
        "hops right": 100 * right / (count * ROUTERS),
        "wall": ran.wall_s,
        "busiest router": busiest(Counter(probe.ttl for probe in sent if probe.ttl <= ROUTERS), ran.wall_s),
        "probes": float(len(sent)),
    }
    table.add(tool.name, values)


def busiest(asked: "Counter[int]", seconds: float) -> float:
    """Probes/s at the router that was asked most, its first burst granted."""
    return max([max(0, count - BURST) / seconds for count in asked.values()], default=0.0)


def _judge(report: Report, count: int) -> tuple[int, int]:
    """Right hops and right routes."""
    right = routes = 0
    for target in targets(count):
        same = [report.hops.get((target, ttl)) == {router} for ttl, router in enumerate(route(), 1)]
        right += sum(same)
        routes += all(same) and target in report.reached
    return right, routes
