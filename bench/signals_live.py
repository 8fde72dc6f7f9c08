"""Shifts believed on the live path: a day of a hub with planted steps, and how many of those believed are false; part of "signals".

    python -m bench.signals_live [SERIES] [SEED ...]

The series of `bench.signals_fleet`, a round every 12 minutes from twenty nodes, reported through the writer with all of its
watchers into the store. Nothing is judged here but what `hub.belief_watch` stored.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import process_time

import msgspec
import numpy as np

from bench.figure import OURS, Column, Table
from bench.signals_fleet import PLANTED_SHARE, SAMPLES, Fleet, fleet
from nettrace.hub.belief_watch import SHARE
from nettrace.hub.enrolment import token_hash
from nettrace.hub.open import open_reader, open_recorder, open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import Vantage
from nettrace.store.port import EnrolToken
from nettrace.store.rows import Event, Window
from nettrace.testing.hub_days import BEGIN, MINUTE
from nettrace.wire.frames import Record, Report

SERIES, NODES, ROUND_MINUTES = 2000, 20, 12
FOUND_LEAST = 0.5
"""Of the planted steps, at least, are to be believed; a shift is judged for the last time an hour after it was told."""
NEAR = 2
"""Rounds by which the estimated beginning of a shift may be off."""
_MOST = 100_000


class _Body(msgspec.Struct):
    updates: bool
    believed: dict[str, float | None] | None = None


def live_tables(count: int, seeds: Sequence[int]) -> list[Table]:
    """One table."""
    table = Table(
        f"signals: {count} series through the hub for a day, {PLANTED_SHARE:.0%} with a planted step of 2 to 20 ms",
        [
            Column("false share", "1", SHARE), Column("dated wrong", "share of those right"),
            Column("found", "share of planted", FOUND_LEAST, at_least=True), Column("after", "median min behind the step"),
            Column("said", "n"), Column("CPU", "s"),
        ],
        note=f"a round every {ROUND_MINUTES} min from {NODES} nodes; false: no step in that series at or before what is stated; "
        f"dated wrong: more than {NEAR} rounds off",
    )  # fmt: skip
    for seed in seeds:
        made, started = fleet(count, seed), process_time()
        with tempfile.TemporaryDirectory(prefix="nettrace-live-") as folder:
            every, believed = lived(Data(Path(folder)), made)
        spent = process_time() - started
        table.add(OURS, _judged(made, believed) | {"CPU": spent})
        table.add("every alarm", _judged(made, every))
    return [table]


def lived(data: Data, made: Fleet) -> tuple[list[Event], list[Event]]:
    """The shifts a hub told of in such a day, and those of them that it believed."""
    each = len(made.planted) // NODES
    _enrol(data, each)
    now: Instant = BEGIN
    said: list[str] = []
    recorder, reader = open_recorder(data, lambda: now, said.append), open_reader(data)
    try:
        for minute in range(SAMPLES * ROUND_MINUTES + 2 * ROUND_MINUTES):
            now = BEGIN + minute * MINUTE
            place, turn = divmod(minute, ROUND_MINUTES)
            reports = [
                (_report(node, each, place, now, made), None)
                for node in range(turn, NODES, ROUND_MINUTES)
                if place < SAMPLES + 2
            ]
            for answer in recorder.take_all(reports):
                if isinstance(answer, Exception):
                    raise answer
        found = reader.events(Window(BEGIN, now + MINUTE), kinds=("shift",), limit=_MOST)
    finally:
        reader.close()
        recorder.close()
    if said or len(found) == _MOST:
        raise RuntimeError(f"the day cannot be judged: {said[:3]}, {len(found)} events")
    bodies = [(event, msgspec.json.decode(event.body, type=_Body)) for event in found]
    return (
        [event for event, body in bodies if not body.updates],
        [event for event, body in bodies if body.believed is not None],
    )


def _report(node: int, each: int, place: int, now: Instant, made: Fleet) -> Report:
    """A node's rounds of one place; behind the last sample it measures nothing and is only heard."""
    entries: list[Record] = []
    for target in range(each if place < SAMPLES else 0):
        rtt_ns = max(1, int(made.rtt_ms[node * each + target, place] * NS_PER_MS))
        sample = Sample(
            state=SampleState.ANSWERED, sent_at=now, rtt_ns=rtt_ns, error_ns=10_000, grade=Grade.KERNEL
        )
        ping = Ping(
            target=_host(target), address="203.0.113.1", at=now, outcome=Outcome.MEASURED, method=Method.ICMP, port=0,
            samples=(sample,),
        )  # fmt: skip
        entries.append(
            Record(seq=place * each + target + 1, target=_host(target), endpoint="site", method=RoundMethod.ICMP, due=now, measurement=ping)
        )  # fmt: skip
    first = place * each + 1 if entries else SAMPLES * each + 1
    return Report(node=f"node_{node}", epoch="e", first_seq=first, entries=tuple(entries), sent_at=now)


def _judged(made: Fleet, said: Sequence[Event]) -> dict[str, float | None]:
    each = len(made.planted) // NODES
    right: dict[int, int] = {}
    waited: dict[int, float] = {}
    wrong = 0
    for event in said:
        number = int((event.vantage or "v0")[1:]) * each + int((event.target or "t0")[1:].partition(".")[0])
        place = (event.at - BEGIN) // (ROUND_MINUTES * MINUTE)
        if made.planted[number] < 0 or place < made.planted[number] - NEAR:
            wrong += 1
        else:
            off = abs(place - int(made.planted[number]))
            after = (event.detected_at - BEGIN) / MINUTE - float(made.planted[number]) * ROUND_MINUTES
            waited[number] = min(after, waited.get(number, after))
            right[number] = min(off, right.get(number, off))
    late = sum(off > NEAR for off in right.values())
    return {
        "false share": wrong / max(1, len(said)),
        "dated wrong": late / max(1, len(right)),
        "found": len(right) / max(1, int(np.count_nonzero(made.planted >= 0))),
        "after": median(waited.values()) if waited else None,
        "said": float(len(said)),
    }


def _enrol(data: Data, each: int) -> None:
    writer = open_writer(data)
    try:
        for node in range(NODES):
            token = EnrolToken(
                id=f"v{node}", hash=token_hash(f"v{node}"), region=f"v{node}", created_at=0, expires_at=2**62
            )
            writer.put_token(token)
            vantage = Vantage(code=f"v{node}", node=f"node_{node}", enrolled_at=BEGIN)
            writer.enrol(token.hash, vantage, b"k" * 32, BEGIN)
        writer.put_targets([_target(_host(number)) for number in range(each)], BEGIN)
    finally:
        writer.close()


def _host(number: int) -> str:
    return f"t{number}.example"


def _target(host: str) -> Target:
    endpoint = Endpoint(name="site", host=host, role=Role.API, methods=(RoundMethod.ICMP,))
    return Target(host=host, name=host, category="exchange", endpoints=(endpoint,))


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    for made in live_tables(given[0] if given else SERIES, given[1:] or [0]):
        print(made.text())
