"""A node's whole work in one process, through the calls a node makes (python -m bench.node_client SECONDS TARGETS_FILE).

Every target is pinged once a second and traced once a minute, and ten HTTPS requests a second are timed. Prints one
JSON object: what was measured, and the CPU and memory it took after the start.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

from nettrace.measure.probing.engine import Engine
from nettrace.measure.probing.ping import Driving, open_sockets
from nettrace.measure.streams.http import HttpOptions, exchange
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome

TRACE_PERIOD_S = 60.0
HTTPS_PER_S = 10.0
RATE_PPS = 2000.0
URL = "https://127.0.0.1/"


class Node:
    """The work and what came of it."""

    def __init__(self, engine: Engine, targets: list[str], seconds: float) -> None:
        self.engine = engine
        self.targets = targets
        self.seconds = seconds
        self.samples = self.lost = self.traces = self.reached = self.exchanges = 0

    async def run(self) -> None:
        """All of it at once, for the time given."""
        rounds = PingOptions(count=int(self.seconds), interval_ns=NS_PER_S)
        for target in self.targets:
            self.engine.add(PingRound(target, target, rounds))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask())
            group.create_task(self._drive())

    async def _drive(self) -> None:
        """Pings and traces share an engine and its ticks: a trace that is due begins with the next one."""
        began = time.monotonic()
        last_trace, end = began + self.seconds, began + self.seconds + 2
        pause = TRACE_PERIOD_S / len(self.targets)
        begun = 0
        while (now := time.monotonic()) < end and (now < last_trace or self.engine.unfinished):
            while began + begun * pause <= now < last_trace:
                target = self.targets[begun % len(self.targets)]
                self.engine.add(TraceRun(target, target, TraceOptions()))
                begun += 1
            until = self.engine.step()
            for machine in self.engine.ended():
                self._note(machine)
            await asyncio.sleep((until - self.engine.timeline.from_monotonic(time.monotonic_ns())) / NS_PER_S)

    def _note(self, machine: object) -> None:
        if isinstance(machine, PingRound):
            samples = machine.result().samples
            self.samples += len(samples)
            self.lost += sum(sample.rtt_ns is None for sample in samples)
        elif isinstance(machine, TraceRun):
            self.traces += 1
            self.reached += machine.result().reached

    async def _ask(self) -> None:
        began = time.monotonic()
        for number in range(int(self.seconds * HTTPS_PER_S)):
            await asyncio.sleep(began + number / HTTPS_PER_S - time.monotonic())
            async for made in exchange(URL, HttpOptions(insecure=True)):
                self.exchanges += made.outcome is Outcome.MEASURED


def main() -> None:
    """Run it and print what came of it."""
    seconds, targets = float(sys.argv[1]), Path(sys.argv[2]).read_text().split()
    with open_sockets(Driving(rate_pps=RATE_PPS, sparing=True)) as sockets:
        node = Node(Engine(sockets, rate_pps=RATE_PPS), targets, seconds)
        before, began = time.process_time(), time.monotonic()
        asyncio.run(node.run())
        cpu_s, wall_s = time.process_time() - before, time.monotonic() - began
    said = {
        "cpu_percent": 100 * cpu_s / wall_s,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "samples": node.samples,
        "lost": node.lost,
        "traces": node.traces,
        "reached": node.reached,
        "exchanges": node.exchanges,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
