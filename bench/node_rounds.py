"""A node's rounds as it makes them: schedule, policy, budgets and records (python -m bench.node_rounds SECONDS TARGETS_FILE).

Every target has a round of one ping a second and a trace a minute, begun by the `Runner` that a node has. Prints one JSON object:
the CPU it took after the first second and a half, what became of the rounds, and what the budget of a network held back.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

from nettrace.model.measurement import Outcome
from nettrace.model.target import Endpoint, Role, RoundMethod
from nettrace.node.runner import Runner
from nettrace.node.spool import Entry
from nettrace.wire.frames import Assignment, Cadence, Record, Task

SETTLED_S = 1.5
METHODS = (RoundMethod.ICMP, RoundMethod.TRACE)
CADENCE = Cadence(rtt_s=1.0, trace_s=60.0, probes=1)


def assignment(hosts: list[str]) -> Assignment:
    """What a hub would hand out."""
    tasks = tuple(
        Task(
            target=host,
            endpoint=Endpoint(name="rest", host=host, role=Role.API, port=443, methods=METHODS),
            methods=METHODS,
        )
        for host in hosts
    )
    return Assignment(version=1, tasks=tasks, cadence=CADENCE, rate_pps=2000.0, open_networks=("10.0.0.0/8",))


async def measure(seconds: float, hosts: list[str]) -> dict[str, float]:
    """CPU and outcomes of so many seconds."""
    made: Counter[tuple[RoundMethod, Outcome]] = Counter()

    def take(entry: Entry) -> None:
        if isinstance(entry, Record):
            made[entry.method, entry.measurement.outcome] += 1

    runner = Runner("bench", take)
    runner.assign(assignment(hosts))
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(SETTLED_S)
    made.clear()
    before, began = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    cpu_s, wall_s = time.process_time() - before, time.monotonic() - began
    found = {
        "cpu_percent": 100 * cpu_s / wall_s,
        "pings_per_s": made[RoundMethod.ICMP, Outcome.MEASURED] / wall_s,
        "traces_per_s": made[RoundMethod.TRACE, Outcome.MEASURED] / wall_s,
        "unmeasured": sum(count for (_, outcome), count in made.items() if outcome is not Outcome.MEASURED),
        "latest_start_ms": 1000 * runner.latest_start_s,
        "waited": runner.held.waited["network"],
        "unsent": runner.held.unsent["network"],
    }
    running.cancel()
    await runner.stop(1.0)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(float(sys.argv[1]), Path(sys.argv[2]).read_text().split()))))
