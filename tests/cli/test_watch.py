"""`trace --watch` without a screen: what rows remember, when a path has changed, and what fits on narrow screens."""

import pytest

from nettrace.cli.watch import FRESH_ROUNDS, PathHistory, sparkline
from nettrace.cli.watch_table import table
from nettrace.model.measurement import Grade, Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, Place, StopReason, Trace

MS = 1_000_000


def sample(rtt_ms: float | None) -> Sample:
    if rtt_ms is None:
        return Sample(state=SampleState.LOST)
    return Sample(state=SampleState.ANSWERED, rtt_ns=int(rtt_ms * MS), error_ns=0, grade=Grade.KERNEL)


def trace(*routers: str | None, rtt_ms: float = 10.0, reached: bool = True, **more: object) -> Trace:
    hops = tuple(
        Hop(ttl=ttl, address=address, samples=(sample(rtt_ms if address else None),), **more)  # type: ignore[arg-type]
        for ttl, address in enumerate(routers, start=1)
    )
    return Trace(
        target="t", address=routers[-1], at=0, outcome=Outcome.MEASURED, method=Method.UDP, flow=0, reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP, rtt_ns=int(rtt_ms * MS) if reached else None, hops=hops,
    )  # fmt: skip


def watched(*traces: Trace) -> tuple[PathHistory, list[str | None]]:
    history = PathHistory()
    return history, [history.add(each) for each in traces]


def test_figures_of_a_hop_run_over_all_rounds() -> None:
    history, news = watched(
        trace("a", "t", rtt_ms=10), trace("a", "t", rtt_ms=20), trace("a", "t", rtt_ms=30)
    )
    row = history.hops[0]
    assert (row.sent, row.received, row.loss_percent) == (3, 3, 0.0)
    assert (row.last_ns, row.best_ns, row.worst_ns, row.mean_ns) == (30 * MS, 10 * MS, 30 * MS, 20 * MS)
    assert row.spread_ns == pytest.approx(10 * MS)
    assert news == [None, None, None]
    assert not history.is_fresh(row)


def test_a_probe_that_this_host_spoiled_is_no_loss() -> None:
    spoiled = Hop(ttl=1, address=None, samples=(Sample(state=SampleState.NOT_MEASURED, reason="stalled"),))
    history, _ = watched(trace("a", "t"), trace(None, "t"))
    history.add(
        Trace(**{**{f: getattr(trace("t"), f) for f in trace("t").__struct_fields__}, "hops": (spoiled,)})
    )
    assert (history.hops[0].sent, history.hops[0].received) == (2, 1)


def test_a_silent_round_keeps_the_router_on_its_row() -> None:
    history, news = watched(trace("a", "b", "t"), trace("a", None, "t"))
    assert [row.label for row in history.hops] == ["a", "b", "t"]
    assert news == [None, None]


def test_a_new_router_begins_a_new_row_and_is_news() -> None:
    history, news = watched(trace("a", "b", "t"), trace("a", "b", "t"), trace("a", "x", "t", rtt_ms=25))
    assert news[-1] == "the path changed from hop 2 on: 10.00 → 25.00 ms"
    assert [row.label for row in history.hops] == ["a", "x", "t"]
    assert [row.sent for row in history.hops] == [3, 1, 3]
    assert [history.is_fresh(row) for row in history.hops] == [False, True, False]
    for _ in range(FRESH_ROUNDS):
        assert history.add(trace("a", "x", "t", rtt_ms=25)) is None
    assert not any(history.is_fresh(row) for row in history.hops)


def test_a_path_that_shrinks_and_grows_back_says_so_and_drops_what_is_gone() -> None:
    history, news = watched(trace("a", "b", "c", "t"), trace("a", "t"), trace("a", "b", "c", "t"))
    assert news[1] == "the path changed from hop 2 on: 4 → 2 hops, 10.00 → 10.00 ms"
    assert news[2] is not None
    assert "2 → 4 hops" in news[2]
    assert [row.label for row in history.hops] == ["a", "b", "c", "t"]


def test_a_round_that_does_not_arrive_changes_no_path() -> None:
    history, news = watched(trace("a", "b", "t"), trace("a", None, None, None, reached=False))
    assert news == [None, None]
    assert (history.rounds, history.reached_rounds) == (2, 1)
    assert [row.label for row in history.hops] == ["a", "b", "t"]


def test_a_hop_balanced_by_packet_stops_being_news() -> None:
    addresses = [f"b{number % 7}" for number in range(30)]
    history, news = watched(*(trace("a", address, "t") for address in addresses))
    assert 0 < sum(each is not None for each in news) <= 3
    assert "+" in history.hops[1].label


@pytest.mark.parametrize("height", [4, 8, 50])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
def test_the_table_fits_every_screen(width: int, height: int) -> None:
    place = Place(name="San Francisco", latitude=37.8, longitude=-122.4, radius_km=10, evidence="given")
    routers = [f"ae{number}.a-router-with-a-long-name.example" for number in range(20)]
    history, _ = watched(*[trace(*routers, rtt_ms=150.04, asn=4_200_000_000, place=place)] * 3)
    lines = [line.text for line in table(history, dict.fromkeys(range(1, 21), 1.5), width, height)]
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    heading = lines[0].split()
    assert heading[:2] == ["ttl", "hop"]
    if width >= 60:
        assert {"loss", "last", "best"} <= set(heading)
    if width >= 80:
        assert {"stretch", "AS"} <= set(heading)
        assert all("1.50x" in line for line in lines[1:] if "more hops" not in line)
    if width >= 132:
        assert {"mean", "worst"} <= set(heading)
    assert lines[-1].split()[0] == "20", "the end of the path is always there"
    assert any("more hops" in line for line in lines) is (height < 21)


def test_columns_with_nothing_to_show_leave_their_room_to_the_name() -> None:
    history, _ = watched(trace("a-very-long-name-of-a-router.example.net", "t"))
    (heading, first, _) = (line.text for line in table(history, {}, 80, 20))
    assert "AS" not in heading.split()
    assert "place" not in heading
    assert "a-very-long-name-of-a-router.example.net" in first


def test_sparks_show_loss_as_a_point() -> None:
    assert sparkline([10, None, 30]) == "▁·█"
    assert sparkline([None, None]) == "··"
