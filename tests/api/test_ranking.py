"""Rankings, comparisons, routes, events: no mixing, honest ties, hops that belong to their route."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.api.conftest import NOW, Hub, entries, ping, record

from nettrace.hub import query
from nettrace.hub.query import Group
from nettrace.hub.tally import Tally
from nettrace.hub.watchers import Watchers
from nettrace.model.target import Endpoint, Role, RoundMethod, Series, Target
from nettrace.model.vantage import Vantage
from nettrace.store.port import Conclusion
from nettrace.store.rows import Event, Summary, Window
from nettrace.wire.frames import Gap, Record, Report


async def test_an_edge_is_never_ranked_among_apis_or_engines(hub: Hub) -> None:
    page = await hub.json("/api/v1/rankings?region=nyc")
    groups = {row["host"]: row["group"] for row in page["data"]}
    assert groups["edge.example.com"] == "edge"  # the fastest of all, and first only among edges
    assert groups["engine.example.com"] == "origin"
    for group in set(groups.values()):
        own = [row for row in page["data"] if row["group"] == group]
        assert own[0]["rank"] == 1
        assert [row["p50_ms"] for row in own] == sorted(row["p50_ms"] for row in own)
    assert "gone.example.com" not in groups
    only = await hub.json("/api/v1/rankings?region=nyc&role=edge")
    assert [row["host"] for row in only["data"]] == ["edge.example.com"]


async def test_a_ranking_says_from_where_and_who_could_not_be_ranked(hub: Hub) -> None:
    page = await hub.json("/api/v1/rankings?category=crypto")
    assert page["region"] in {"nyc", "sin"}  # fra is silent
    assert page["unranked"] == []
    old = await hub.json("/api/v1/rankings?start=2026-11-01T00:00:00Z&end=2026-11-02T00:00:00Z&region=nyc")
    assert (old["data"], len(old["unranked"])) == ([], 4)


def place(host: str, median: int, low: int, high: int) -> tuple[Target, Endpoint, Summary]:
    endpoint = Endpoint(name="rest", host=host, role=Role.API)
    summary = Summary(
        series=Series("nyc", host, "rest", RoundMethod.TCP), window=Window(0, 1), rounds=9, measured=9, failed=0,
        not_measured=0, sent=9, received=9, min_ns=low, max_ns=high, mean_ns=median, low_p50_ns=low, high_p50_ns=high,
        quantiles_ns={"p50": median, "p95": high},
    )  # fmt: skip
    return Target(host=host, name=host, category="c", endpoints=(endpoint,)), endpoint, summary


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)).map(sorted),
        min_size=1,
        max_size=12,
    )
)
def test_a_place_is_certain_exactly_when_no_interval_overlaps(bounds: list[list[int]]) -> None:
    rows = [place(f"h{number}", median, low, high) for number, (low, median, high) in enumerate(bounds)]
    ranked = {row.target.host: row for row in query._places(Group.API, rows)}
    for number, (low, _, high) in enumerate(bounds):
        others = [each for place, each in enumerate(bounds) if place != number]
        row = ranked[f"h{number}"]
        assert row.rank == 1 + sum(each[2] < low for each in others)
        assert row.rank_last == len(bounds) - sum(each[0] > high for each in others)
        assert row.tied is any(each[0] <= high and low <= each[2] for each in others)
        assert 1 <= row.rank <= row.rank_last <= len(bounds)


async def test_a_comparison_names_the_fastest_only_when_it_clearly_is(hub: Hub) -> None:
    clear = await hub.json("/api/v1/compare?hosts=api.example.com,b.example.com&region=nyc")
    (difference,) = clear["differences"]
    assert clear["fastest"] == "api.example.com"
    assert (difference["host"], difference["than"], difference["clear"]) == (
        "b.example.com",
        "api.example.com",
        True,
    )
    assert difference["low_ms"] <= difference["difference_ms"] <= difference["high_ms"]
    mixed = await hub.json("/api/v1/compare?hosts=api.example.com,edge.example.com&region=nyc")
    assert mixed["fastest"] is None  # an edge is no API
    assert mixed["differences"][0]["comparable"] is False
    every = await hub.json("/api/v1/compare?hosts=api.example.com,b.example.com")
    assert {row["region"] for row in every["data"]} == {"fra", "nyc", "sin"}


async def test_a_comparison_is_of_two_to_ten(hub: Hub) -> None:
    for hosts in (
        "api.example.com",
        "api.example.com,api.example.com",
        ",".join(f"h{n}" for n in range(11)),
        "",
    ):
        answer = await hub.get(f"/api/v1/compare?hosts={hosts}")
        assert answer.status_code == 400
    assert (await hub.get("/api/v1/compare")).status_code == 400


async def test_a_routes_hops_are_those_of_its_trace(hub: Hub) -> None:
    page = await hub.json("/api/v1/routes/api.example.com?region=nyc")
    (row,) = page["data"]
    assert [hop["address"] for hop in row["hops"]] == ["10.0.0.1", "10.0.1.1", "198.18.0.1"]
    assert (row["hop_count"], row["rtt_ms"], row["reached"]) == (3, 3.0, True)
    assert page["hops"] == row["hops"]
    assert page["route_hash"] == row["route"]


async def test_route_changes_keep_the_earlier_names(hub: Hub) -> None:
    page = await hub.json("/api/v1/routes/api.example.com/changes")
    (row,) = page["data"]
    assert (row["class"], row["old_route_hash"], row["new_route_hash"], row["rtt_delta"]) == (
        "as_path",
        "rt_a",
        "rt_b",
        4.5,
    )
    assert page["changes"] == page["data"]


async def test_signals_are_filtered_and_paged_newest_first(hub: Hub) -> None:
    seen: list[str] = []
    url = "/api/v1/signals?kind=shift&direction=up&limit=6"
    while url:
        answer = await hub.get(url)
        seen += [row["id"] for row in answer.json()["data"]]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == [f"sig_{number:03}" for number in range(38, -1, -2)]
    assert (await hub.json("/api/v1/signals?signal_type=anomaly&limit=100"))["count"] == 20
    assert (await hub.json("/api/v1/signals?direction=down"))["count"] == 0
    assert (await hub.json("/api/v1/events?limit=100"))["count"] == 41
    counted = await hub.json("/api/v1/signals/summary")
    assert counted["by_type"] == [{"name": "anomaly", "count": 20}, {"name": "shift", "count": 20}]


class SaysOneShift:
    """A watcher that says the same of every report: a shift that was confirmed at once."""

    def recall(self) -> None:
        """It remembers nothing."""

    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: int) -> Conclusion:
        body = msgspec.json.encode({"detector": "shift/1", "tier": "confirmed", "updates": False})
        return Conclusion(events=(Event(id=f"sig_{at}", kind="shift", at=at, detected_at=at, body=body),))


async def test_each_detectors_record_holds_its_hits_and_its_null_results(hub: Hub) -> None:
    assert (await hub.json("/api/v1/signals/record"))["detectors"] == []
    day = 86_400 * 10**9
    with hub.reading() as reader:
        watch, seq = Watchers([SaysOneShift()], Tally(reader.detector_state)), len(entries("nyc")) + 1
        for number in range(2):
            rounds = tuple(
                record(seq + 3 * number + each, "api.example.com", "rest", NOW + number * day + each, ping("api.example.com", 9.0, NOW))
                for each in range(3)
            )  # fmt: skip
            report = Report(node="node-nyc", epoch="e", first_seq=rounds[0].seq, entries=rounds, sent_at=NOW)
            hub.store.accept(report, NOW + number * day, watch)
    found = {row["detector"]: row for row in (await hub.json("/api/v1/signals/record"))["detectors"]}
    shift, loss = found["shift"], found["loss"]
    assert (shift["days"], shift["looked"], shift["said"], shift["hit_rate"]) == (2, 6, 2, 1.0)
    assert (loss["looked"], loss["said"], loss["hit_rate"]) == (6, 0, None)
    lately = (await hub.json("/api/v1/signals/record?days=1"))["detectors"]
    assert {row["looked"] for row in lately} == {0, 3}  # traces, of which there were none, and rounds
    assert (await hub.get("/api/v1/signals/record?days=0")).status_code == 400


async def test_a_vantage_that_fell_silent_is_down(hub: Hub) -> None:
    up = {row["code"]: row["up"] for row in (await hub.json("/api/v1/vantages"))["data"]}
    assert up == {"fra": False, "nyc": True, "sin": True}
    answer = await hub.get("/api/v1/vantages/nycc")
    assert (answer.status_code, answer.json()["hint"]) == (404, "Did you mean 'nyc'?")
