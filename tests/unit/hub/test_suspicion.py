"""A suspicion says which pairs, since when and which leg by their first slow rounds, before anything is traced again."""

from collections.abc import Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.routes.paths import START
from tests.unit.routes.test_blame import SCANS, internet, measured

from nettrace.hub.latest import Snapshot
from nettrace.hub.suspicion import Suspected, suspected, suspected_leg
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Method
from nettrace.model.route import BlameVerdict
from nettrace.model.target import Series

MINUTE = 60 * NS_PER_S
NOW = START + 100 * MINUTE
CABLE = ("10.1.0.1", "10.2.1.1")
Pair = tuple[str, str]
WAYS = internet()
CROSSING = {pair for pair, way in WAYS.items() if CABLE in pairwise(way)}
USUAL = 11


class Measured:
    """A reader that knows rounds a minute apart, each pair at a phase of its own, and traces from long before them."""

    def __init__(self, newest: Mapping[Pair, tuple[float, ...]]) -> None:
        self.rounds: list[tuple[Series, Instant, list[int]]] = []
        for place, pair in enumerate(sorted(WAYS)):
            series = cast(Series, _series(pair))
            rounds = [
                (25.0, 25.0 + 0.01 * (place % 3), 25.1 - 0.01 * (number % 2)) for number in range(USUAL)
            ]
            for back, samples in enumerate(reversed([*rounds, newest[pair]])):
                due = NOW - back * MINUTE - (len(WAYS) - place) * 2 * NS_PER_S
                self.rounds.append((series, due, [round(each * NS_PER_MS) for each in samples]))
        self.known = [trace for number, trace in enumerate(measured(WAYS)) if number % (2 * SCANS) < SCANS]

    def raw(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(
            series=[series for series, _, _ in self.rounds], due=[due for _, due, _ in self.rounds],
            rtt_ns=[sorted(samples)[1] for *_, samples in self.rounds], min_ns=[min(samples) for *_, samples in self.rounds],
            samples_ns=[tuple(samples) for *_, samples in self.rounds],
            grade=[None] * len(self.rounds), request=[None] * len(self.rounds),
        )  # fmt: skip

    def traces(self, *_: object) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(trace=each, stored_at=each.at, series=_series((each.vantage or "", each.target)))
            for each in self.known
        ]


def _series(pair: Pair) -> Series:
    return Series(vantage=pair[0], target=pair[1], endpoint="main", method=Method.TCP)


def asked(newest: Mapping[Pair, tuple[float, ...]]) -> tuple[Measured, Suspected | None]:
    reader = Measured(newest)
    hosts = {target for _, target in WAYS}
    return reader, suspected(cast(Any, reader), Snapshot(seq=0, at=NOW), hosts, NOW)


def slow(pairs: set[Pair], added_ms: float = 12.0) -> dict[Pair, tuple[float, ...]]:
    return {pair: (25.0 + added_ms * (pair in pairs),) * 3 for pair in WAYS}


def test_one_round_of_a_slow_cable_names_its_pairs_and_its_leg_by_the_ways_known_before() -> None:
    reader, found = asked(slow(CROSSING))
    assert found is not None and {pair for pair, _ in found.pairs} == CROSSING
    assert (found.rounds, found.counted, found.of) == (1, 12, 24)
    leg = suspected_leg(cast(Any, reader), found, NOW)
    assert leg.blame.verdict is BlameVerdict.CANNOT_TELL, (
        "nobody goes over one of two links in a row without the other"
    )
    assert {(each.a, each.b) for each in leg.blame.legs} == {CABLE, ("10.2.1.1", "10.3.1.1")}
    assert (leg.traced, leg.judged) == (0, 23), "who was last measured before it says nothing"


def test_nothing_is_suspected_of_usual_rounds_nor_of_one_pair_however_slow() -> None:
    assert asked(slow(set()))[1] is None
    assert asked(slow({min(CROSSING)}, 500.0))[1] is None


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_slow_was_so_when_the_first_round_was_due_that_is_slow_as_a_whole(*, mixed: bool) -> None:
    newest = slow(CROSSING)
    first, second = sorted(CROSSING)[:2]
    if mixed:
        newest[first] = (25.0, 37.0, 37.0)
    reader, found = asked(newest)
    due = {(series.vantage, series.target): due for series, due, _ in reader.rounds[::-1]}
    assert found is not None and found.since == due[first]
    assert found.there_by == due[second if mixed else first]


def test_a_pair_that_flickers_meanwhile_is_not_of_it() -> None:
    newest = slow(CROSSING)
    newest[min(set(WAYS) - CROSSING)] = (26.0, 26.0, 26.0)
    found = asked(newest)[1]
    assert found is not None and {pair for pair, _ in found.pairs} == CROSSING
