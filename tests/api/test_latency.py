"""Latency and its history: three outcomes, windows, pages, columns."""

import statistics

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.conftest import NOW, Hub, ping

from nettrace.api.cursor import seal, unseal
from nettrace.api.problems import BadRequest
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Reason

HISTORY = "/api/v1/latency/api.example.com/history"


async def series(hub: Hub, host: str, region: str) -> dict[str, object]:
    page = await hub.json(f"/api/v1/latency/{host}?region={region}")
    assert len(page["data"]) == 1
    return page["data"][0]


async def test_a_failed_newest_round_is_shown_as_failed_beside_what_was_last_measured(hub: Hub) -> None:
    row = await series(hub, "b.example.com", "sin")
    assert (row["outcome"], row["reason"], row["rtt_ms"], row["loss"]) == ("failed", "timeout", None, 1.0)
    assert row["last_measured"] == {"rtt_ms": 30.68, "at": "2026-11-20T11:55:00.005000Z", "age_s": 300.0}
    assert row["stale"] is False


async def test_what_was_not_measured_is_neither_down_nor_zero(hub: Hub) -> None:
    due = NOW - NS_PER_S
    silent = ping("api.example.com", None, due, Reason.NOT_PERMITTED)
    silent = msgspec.structs.replace(silent, outcome="not_measured", samples=())
    hub.report("nyc", [(due, "api.example.com", silent)])
    await hub.service.refresh()
    row = await series(hub, "api.example.com", "nyc")
    assert (row["outcome"], row["reason"], row["rtt_ms"], row["loss"]) == (
        "not_measured",
        "not_permitted",
        None,
        None,
    )
    assert row["last_measured"]["rtt_ms"] == 9.02


async def test_an_old_round_is_stale_and_says_how_old(hub: Hub) -> None:
    row = await series(hub, "api.example.com", "fra")
    assert (row["outcome"], row["stale"]) == ("measured", True)
    assert row["last_measured"]["age_s"] == pytest.approx(660.0)


async def test_a_new_round_shows_at_once_in_every_answer_from_memory(hub: Hub) -> None:
    before = await hub.get("/api/v1/targets")
    hub.report("nyc", [(NOW - NS_PER_S, "api.example.com", ping("api.example.com", 5.0, NOW - NS_PER_S))])
    assert await hub.service.refresh()
    after = await hub.get("/api/v1/targets")
    assert before.headers["etag"] != after.headers["etag"]
    assert next(row for row in after.json()["data"] if row["host"] == "api.example.com")["rtt_ms"] == 5.02
    assert (await hub.json("/api/v1/latency/api.example.com?region=nyc"))["rtt_ms"] == 5.02
    assert (
        'host="api.example.com",name="Example",category="crypto",region="nyc"} 5.02'
        in (await hub.get("/metrics")).text
    )


async def test_an_unknown_target_is_404_with_the_nearest_name(hub: Hub) -> None:
    for path in (
        "latency/api.exampel.com",
        "latency/api.exampel.com/history",
        "routes/api.exampel.com",
        "export/api.exampel.com",
    ):
        answer = await hub.get(f"/api/v1/{path}")
        assert answer.status_code == 404
        assert "api.example.com" in answer.json()["hint"]


async def test_an_unknown_parameter_is_pointed_at_with_the_nearest_name(hub: Hub) -> None:
    answer = await hub.get(f"{HISTORY}?regoin=nyc&limit=5")
    assert answer.status_code == 400
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "#/query/regoin"
    assert "did you mean 'region'" in fault["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "#/query/limit"),
        ("limit=x", "#/query/limit"),
        ("limit=1&limit=2", "#/query/limit"),
        ("start=yesterday", "#/query/start"),
        ("start=2026-11-20T00:00:00", "#/query/start"),
        ("start=2026-11-20T12:00:00Z&end=2026-11-20T11:00:00Z", "#/query/start"),
        ("resolution=2h", "#/query/resolution"),
        ("percentiles=50,x", "#/query/percentiles"),
        ("as_of=2027-01-01T00:00:00Z", "#/query/as_of"),
        ("method=smtp", "#/query/method"),
        ("cursor=AAAA", "#/query/cursor"),
        ("order=desc", "#/query/order"),
    ],
)
async def test_what_is_wrong_is_pointed_at(hub: Hub, query: str, pointer: str) -> None:
    answer = await hub.get(f"{HISTORY}?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("resolution", ["raw", "1m", "15m"])
async def test_pages_follow_each_other_without_holes_or_repeats(hub: Hub, resolution: str) -> None:
    path = f"{HISTORY}?resolution={resolution}"
    whole = await hub.json(f"{path}&limit=1000")
    rows: list[dict[str, object]] = []
    url = f"{path}&limit=7"
    while url and len(rows) < 1000:
        answer = await hub.get(url)
        page = answer.json()
        rows += page["data"]
        assert page["window"] == whole["window"]
        url = answer.links["next"]["url"] if page["has_more"] else ""
        assert page["has_more"] is (page["next_cursor"] is not None)
    assert rows == whole["data"]
    places = [(row["at"], row["region"]) for row in rows]
    assert places == sorted(set(places))
    assert {row["region"] for row in rows} == {"fra", "nyc", "sin"}


async def test_start_is_included_and_end_is_not(hub: Hub) -> None:
    page = await hub.json(
        f"{HISTORY}?resolution=raw&region=nyc&start=2026-11-20T11:00:00Z&end=2026-11-20T11:03:00Z"
    )
    assert [row["at"][11:16] for row in page["data"]] == ["11:00", "11:01", "11:02"]
    same = await hub.json(
        f"{HISTORY}?resolution=raw&region=nyc&start=1795172400000000000&end=1795172580000000000"
    )
    assert same["data"] == page["data"]


async def test_buckets_agree_with_the_rounds_they_hold(hub: Hub) -> None:
    stretch = "region=nyc&start=2026-11-20T11:00:00Z&end=2026-11-20T12:00:00Z"
    rounds = (await hub.json(f"/api/v1/rounds?host=api.example.com&method=tcp&{stretch}&limit=100"))["data"]
    (hour,) = (await hub.json(f"{HISTORY}?resolution=1h&{stretch}&percentiles=0,50,99.9"))["data"]
    samples = sorted(sample for row in rounds for sample in row["samples_ms"])
    assert (hour["rounds"], hour["sent"], hour["received"]) == (60, 300, 300)
    assert hour["rtt_ms"] == pytest.approx(statistics.median_low(samples), rel=0.01)
    assert hour["p99_9_ms"] == pytest.approx(samples[-1], rel=0.01)
    assert hour["min_ms"] == samples[0]
    assert "p95_ms" not in hour


async def test_columns_hold_what_rows_hold(hub: Hub) -> None:
    rows = (await hub.json(f"{HISTORY}?resolution=15m"))["data"]
    page = await hub.json(f"{HISTORY}?resolution=15m&columnar=true")
    assert page["data"] == []
    again = [
        (at, one["region"], rtt)
        for one in page["series"]
        for at, rtt in zip(one["columns"]["at"], one["columns"]["rtt_ms"], strict=True)
    ]
    assert sorted(again) == sorted((row["at"], row["region"], row["rtt_ms"]) for row in rows)


async def test_as_of_answers_what_was_known_then(hub: Hub) -> None:
    path = f"{HISTORY}?resolution=raw&region=fra,nyc&limit=1000&as_of=2026-11-20T11:55:00Z"
    then = await hub.get(path)
    assert {row["region"] for row in then.json()["data"]} == {"fra"}  # nyc's report was stored at 11:59:59
    assert "immutable" in then.headers["cache-control"]


async def test_a_closed_window_never_changes_and_an_open_one_until_the_next_round(hub: Hub) -> None:
    old = await hub.get(f"{HISTORY}?start=2026-11-01T00:00:00Z&end=2026-11-02T00:00:00Z")
    assert "immutable" in old.headers["cache-control"]
    now = await hub.get(HISTORY)
    age = int(now.headers["cache-control"].partition("max-age=")[2].partition(",")[0])
    assert 0 < age <= 60


async def test_a_cursor_is_good_for_its_own_question_only(hub: Hub) -> None:
    cursor = (await hub.json(f"{HISTORY}?resolution=raw&limit=3"))["next_cursor"]
    assert (await hub.get(f"{HISTORY}?resolution=raw&limit=5&cursor={cursor}")).status_code == 200
    for other in (f"{HISTORY}?resolution=1m&cursor={cursor}", f"/api/v1/rounds?cursor={cursor}"):
        assert (await hub.get(other)).status_code == 400


@given(st.integers(0, 2**60), st.text(max_size=20), st.binary(min_size=1, max_size=4), st.integers(0, 200))
def test_a_changed_cursor_is_refused(at: int, name: str, noise: bytes, place: int) -> None:
    cursor = seal(b"secret", "q", (at, name))
    assert unseal(b"secret", "q", cursor, tuple[int, str]) == (at, name)
    place %= len(cursor)
    for changed in (cursor[:place] + noise.hex() + cursor[place + 1 :], cursor[:place]):
        if changed != cursor:
            with pytest.raises(BadRequest):
                unseal(b"secret", "q", changed, tuple[int, str])


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=30,
    deadline=None,
)
@given(minute=st.integers(0, 119), length=st.integers(1, 119))
async def test_counts_of_any_window_are_those_of_its_minutes(hub: Hub, minute: int, length: int) -> None:
    start, end = NOW - (120 - minute) * 60 * NS_PER_S, NOW - max(0, 120 - minute - length) * 60 * NS_PER_S
    page = await hub.json(f"{HISTORY}?resolution=1m&region=nyc&start={start}&end={end}&limit=1000")
    assert sum(row["rounds"] for row in page["data"]) == (end - start) // (60 * NS_PER_S)
