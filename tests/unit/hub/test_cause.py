"""Events that belong together are one cause; what only happened at the same time is not."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nettrace.hub.cause import Cause, causes, in_words
from nettrace.model.instant import NS_PER_S
from nettrace.store.rows import Event

MINUTE = 60 * NS_PER_S


def event(
    name: str, at: int, target: str, vantage: str, delta_ms: float | None = 40.0, **more: object
) -> Event:
    body: dict[str, object] = {"delta_ms": delta_ms, "direction": "up"} | more
    return Event(
        id=f"sig_{name}", kind="shift", at=at, detected_at=at + MINUTE, target=target, vantage=vantage, severity="warning",
        confidence=0.7, body=msgspec.json.encode(body),
    )  # fmt: skip


def test_a_broken_cable_is_one_cause_with_everybody_it_hit() -> None:
    hit = [
        event(f"{v}{t}", n * MINUTE // 4, t, v)
        for n, (v, t) in enumerate([("nyc", "a"), ("nyc", "b"), ("lon", "b"), ("lon", "c")])
    ]
    (cause,) = causes(hit)
    assert (cause.id, cause.since) == ("sig_nyca", 0)
    assert cause.pairs == (("lon", "b"), ("lon", "c"), ("nyc", "a"), ("nyc", "b"))
    assert (cause.slower, cause.added_ns, cause.severity) == (4, 40_000_000, "warning")
    assert in_words(cause) == "slower by 40 ms: 4 pairs: 3 targets from 2 vantages"


def test_the_same_minute_elsewhere_is_another_cause() -> None:
    assert len(causes([event("1", 0, "a", "nyc"), event("2", 0, "z", "tyo")])) == 2


def test_an_hour_later_is_another_cause() -> None:
    found = causes([event("1", 0, "a", "nyc"), event("2", 60 * MINUTE, "a", "nyc")])
    assert [cause.id for cause in found] == ["sig_2", "sig_1"]


def test_the_repair_is_not_the_damage() -> None:
    assert (
        len(causes([event("1", 0, "a", "nyc"), event("2", MINUTE, "a", "nyc", -40.0, direction="down")])) == 2
    )


def test_one_pair_measured_two_ways_is_one_line() -> None:
    (cause,) = causes([event("icmp", 0, "a", "nyc"), event("tcp", MINUTE, "a", "nyc", 42.0)])
    assert in_words(cause) == "slower by 42 ms: a from nyc"
    assert cause.confidence > 0.9


def test_updates_of_an_event_are_not_events() -> None:
    assert len(causes([event("1", 0, "a", "nyc"), event("1c", 0, "a", "nyc", updates=True)])[0].events) == 1


events = st.builds(
    lambda n, at, target, vantage: event(str(n), at * MINUTE, f"t{target}", f"v{vantage}"),
    st.integers(0, 10**6), st.integers(0, 200), st.integers(0, 4), st.integers(0, 3),
)  # fmt: skip


@given(st.lists(events, max_size=30, unique_by=lambda each: each.id), st.randoms())
def test_every_event_has_exactly_one_cause_whatever_the_order(made: list[Event], random: object) -> None:
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def members(found: list[Cause]) -> list[list[str]]:
        return sorted(sorted(each.id for each in cause.events) for cause in found)

    assert members(causes(made)) == members(causes(shuffled))
    assert sorted(each for ids in members(causes(made)) for each in ids) == sorted(each.id for each in made)
