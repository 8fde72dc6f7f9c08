"""The leg that became worse is named; where nobody can tell, the set that remains; and nothing without a fault."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

import pytest
from tests.unit.routes.paths import START, STEP, hop

from nettrace.analysis.routes.blame import blame
from nettrace.analysis.routes.forest import Side
from nettrace.model.measurement import Method, Outcome
from nettrace.model.path import Hop, Label, StopReason, Trace
from nettrace.model.route import Blame, BlameVerdict, Scope

SCANS = 6
SINCE = START + SCANS * STEP
Link = tuple[str, str]


def internet(*, silent: Sequence[str] = ()) -> dict[tuple[str, str], list[str]]:
    """Four vantages, six targets: v -> gate -> core -> (left or right) -> border -> target."""
    ways: dict[tuple[str, str], list[str]] = {}
    for vantage in range(4):
        for target in range(6):
            side = target % 2
            ways[f"v{vantage}", f"t{target}"] = [
                f"10.0.{vantage}.1", "10.1.0.1", f"10.2.{side}.1", f"10.3.{side}.1", f"198.18.0.{target + 1}",
            ]  # fmt: skip
    return {
        pair: [f"*{address}" if address in silent else address for address in way]
        for pair, way in ways.items()
    }


def measured(
    ways: Mapping[tuple[str, str], Sequence[str]],
    added_ms: Mapping[Link, float] | None = None,
    *,
    loss: Mapping[Link, float] | None = None,
    seed: int = 1,
) -> list[Trace]:
    """What is measured on these ways; links become slow or lossy half-way. `*` before an address: it is silent."""
    random = Random(seed)
    made: list[Trace] = []
    for (vantage, target), way in ways.items():
        for scan in range(2 * SCANS):
            hops: list[Hop] = []
            through, level, near = True, 0.0, vantage
            for ttl, word in enumerate(way, 1):
                address, link = word.lstrip("*"), (near, word.lstrip("*"))
                level += 5.0
                if scan >= SCANS:
                    level += (added_ms or {}).get(link, 0.0)
                    through = through and random.random() >= (loss or {}).get(link, 0.0)
                answers = through and not word.startswith("*")
                hops.append(
                    hop(ttl, address, level + random.expovariate(5)) if answers else hop(ttl, None, None)
                )
                near = address
            made.append(
                Trace(
                    vantage=vantage, target=target, address=way[-1], at=START + scan * STEP, outcome=Outcome.MEASURED,
                    method=Method.ICMP, flow=0, reached=through, stop=StopReason.REACHED if through else StopReason.GAP,
                    rtt_ns=hops[-1].samples[0].rtt_ns if through else None, hops=tuple(hops),
                )
            )  # fmt: skip
    return made


def named(found: Blame) -> list[Link]:
    return [(leg.a, leg.b) for leg in found.legs]


def test_nothing_changed_is_none() -> None:
    found = blame(measured(internet()), SINCE)
    assert (found.verdict, found.legs, found.affected, found.scope) == (BlameVerdict.NONE, (), (), None)
    assert found.paths == 24


@pytest.mark.parametrize(
    "link",
    [
        ("10.1.0.1", "10.2.1.1"),
        ("10.2.0.1", "10.3.0.1"),
        ("10.0.2.1", "10.1.0.1"),
        ("10.3.1.1", "198.18.0.4"),
    ],
)
def test_a_slow_link_is_named_with_what_it_adds_and_whom_it_hurts(link: Link) -> None:
    found = blame(measured(internet(), {link: 12.0}), SINCE)
    assert (found.verdict, named(found)) == (BlameVerdict.LEG, [link])
    (leg,) = found.legs
    assert leg.added_ns is not None and leg.added_ns == pytest.approx(12e6, abs=1e6)
    assert leg.loss is None and leg.tied == ()
    crossing = {pair for pair, way in internet().items() if link in pairwise(way)}
    assert set(found.affected) == crossing


def test_two_slow_links_are_both_named() -> None:
    faults = {("10.1.0.1", "10.2.1.1"): 9.0, ("10.2.0.1", "10.3.0.1"): 21.0}
    assert set(named(blame(measured(internet(), faults), SINCE))) == set(faults)


def test_a_link_that_loses_is_named_by_its_loss() -> None:
    link = ("10.1.0.1", "10.2.1.1")
    found = blame(measured(internet(), loss={link: 0.6}), SINCE)
    assert found.legs[0].loss is not None and found.legs[0].loss > 0.3
    assert (found.verdict, named(found)[0], found.legs[0].added_ns) == (BlameVerdict.LEG, link, None)


def test_a_silent_router_is_bridged() -> None:
    ways = internet(silent=["10.2.0.1"])
    found = blame(measured(ways, {("10.1.0.1", "10.2.0.1"): 15.0}), SINCE)
    assert named(found) == [("10.1.0.1", "10.3.0.1")]


def test_inside_a_tunnel_nobody_can_tell_and_the_set_is_given() -> None:
    def tunnelled(trace: Trace) -> Trace:
        hops = [
            Hop(ttl=each.ttl, address=each.address, samples=each.samples, labels=(Label(9, 0, True, 1),))
            if each.ttl in (2, 3)
            else each
            for each in trace.hops
        ]
        return Trace(
            **{name: getattr(trace, name) for name in trace.__struct_fields__} | {"hops": tuple(hops)}
        )

    one_way = {pair: way for pair, way in internet().items() if pair[1] in ("t1", "t3", "t5")}
    traces = [tunnelled(each) for each in measured(one_way, {("10.1.0.1", "10.2.1.1"): 15.0})]
    found = blame(traces, SINCE)
    assert found.verdict is BlameVerdict.CANNOT_TELL
    assert ("10.1.0.1", "10.2.1.1") in named(found) and 1 < len(found.legs) <= 3
    assert sum(leg.confidence for leg in found.legs) <= 1


def test_balancing_alone_is_never_a_leg() -> None:
    random = Random(4)
    left, right = measured(internet(), seed=2), measured(internet(), seed=3)
    other = {address: f"10.9{address[4:]}" for address in ("10.2.0.1", "10.2.1.1")}

    def elsewhere(trace: Trace) -> Trace:
        hops = [
            Hop(ttl=each.ttl, address=other.get(each.address or "", each.address), samples=each.samples)
            for each in trace.hops
        ]
        return Trace(
            **{name: getattr(trace, name) for name in trace.__struct_fields__} | {"hops": tuple(hops)}
        )

    mixed = [random.choice((one, elsewhere(two))) for one, two in zip(left, right, strict=True)]
    moved = [one if one.at < SINCE else elsewhere(two) for one, two in zip(left, right, strict=True)]
    assert blame(mixed, SINCE).verdict is BlameVerdict.NONE
    assert blame(moved, SINCE).verdict is BlameVerdict.NONE


def test_a_slow_router_that_hurts_no_path_is_no_fault() -> None:
    def lazy(trace: Trace) -> Trace:
        hops = [
            hop(each.ttl, each.address, 90.0) if each.ttl == 3 and trace.at >= SINCE else each
            for each in trace.hops
        ]
        return Trace(
            **{name: getattr(trace, name) for name in trace.__struct_fields__} | {"hops": tuple(hops)}
        )

    assert blame([lazy(each) for each in measured(internet())], SINCE).verdict is BlameVerdict.NONE


def test_few_vantages_are_never_sure_and_the_scope_is_said() -> None:
    one = {pair: way for pair, way in internet().items() if pair[0] in ("v0", "v1")}
    found = blame(measured(one, {("10.3.1.1", "198.18.0.2"): 20.0}), SINCE)
    assert found.legs[0].confidence <= 0.5
    assert found.scope is Scope.TARGET
    assert blame(measured(internet(), {("10.1.0.1", "10.2.1.1"): 20.0}), SINCE).scope is Scope.MIDDLE
    near = blame(measured(internet(), {("10.0.2.1", "10.1.0.1"): 20.0}), SINCE)
    assert near.scope is Scope.VANTAGE


def test_too_few_scans_on_one_side_are_not_judged() -> None:
    late = [
        trace
        for trace in measured(internet(), {("10.1.0.1", "10.2.1.1"): 20.0})
        if trace.at > SINCE - 2 * STEP
    ]
    found = blame(late, SINCE)
    assert (found.verdict, found.paths) == (BlameVerdict.NONE, 0)


def rounds_of(
    ways: Mapping[tuple[str, str], Sequence[str]], link: Link, added_ms: float
) -> dict[tuple[str | None, str], tuple[Side, Side]]:
    """Eleven rounds of three probes before, one since."""
    made: dict[tuple[str | None, str], tuple[Side, Side]] = {}
    for (vantage, target), way in ways.items():
        level = 5.0 * len(way)
        added = added_ms if link in pairwise(way) else 0.0
        made[vantage, target] = (Side([level] * 33), Side([level + added] * 3))
    return made


def test_the_first_round_names_the_leg_or_those_it_cannot_part_before_anything_is_traced_since() -> None:
    link, ways = ("10.1.0.1", "10.2.1.1"), internet()
    before = [trace for trace in measured(ways) if trace.at < SINCE]
    rounds = rounds_of(ways, link, 12.0)
    found = blame(before, SINCE, rounds, foreknown=True)
    assert found.verdict is BlameVerdict.CANNOT_TELL and set(named(found)) == {link, ("10.2.1.1", "10.3.1.1")}
    assert found.paths == 24
    assert set(found.affected) == {pair for pair, way in ways.items() if link in pairwise(way)}
    own = ("10.0.2.1", "10.1.0.1")
    found = blame(before, SINCE, rounds_of(ways, own, 12.0), foreknown=True)
    assert own in named(found)
    assert blame(before, SINCE, rounds).verdict is BlameVerdict.NONE, (
        "what is proven waits for traces on both sides"
    )


def test_a_pair_that_goes_another_way_since_is_not_judged_by_the_way_it_went() -> None:
    ways = internet()
    before = [trace for trace in measured(ways) if trace.at < SINCE]
    other = {("v0", "t1"): [*ways["v0", "t1"][:2], "10.2.9.1", "10.3.9.1", ways["v0", "t1"][-1]]}
    since = [trace for trace in measured(other) if trace.at >= SINCE]
    rounds = rounds_of(ways, ("10.1.0.1", "10.2.1.1"), 12.0)
    found = blame([*before, *since], SINCE, rounds, foreknown=True)
    assert found.paths == 23 and ("v0", "t1") not in found.affected
