"""An assistant's work, scripted: what it asks, and that the answer is right, small and true to its schema."""

from typing import Any

import pytest
from tests.api.conftest import NOW
from tests.mcp.conftest import EVERYTHING, World, document, session, text, tokens

from nettrace.hub.open import open_writer
from nettrace.mcp.desk import DEFAULT_TOKENS, TOOLS
from nettrace.model.account import Scope
from nettrace.model.instant import NS_PER_S, rfc3339
from nettrace.model.vantage import Vantage
from nettrace.store.port import EnrolToken

TOOL_LIST_TOKENS = 4000
NAMED = """venue = [{name = "binance-spot", usd_per_ms_month = 9}]
site = [{name = "vultr:nrt", usd_month = 60}, {name = "vultr:ewr", usd_month = 48}]"""
REQUEST = """
venue = [{name = "v", usd_per_ms_month = 2.0}]
site = [{name = "near", usd_month = 30}, {name = "far", usd_month = 5}]
latency = [{venue = "v", site = "near", p50_ms = 2}, {venue = "v", site = "far", p50_ms = 90}]
"""
HOST = "api.example.com"


def at(ago_s: int) -> str:
    return rfc3339(NOW - ago_s * NS_PER_S)


def rows(found: dict[str, Any], field: str) -> list[Any]:
    return [row[field] for row in found["rows"]]


TASKS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("how is the hub", "overview", {}, lambda d: d["targets"] == 4 and d["vantages_down"] == ["fra"] and d["rows"][0]["host"] == "b.example.com"),
    ("which target do I mean", "find_target", {"text": "sons"}, lambda d: rows(d, "host") == ["b.example.com"]),
    ("a category", "find_target", {"text": "crypto"}, lambda d: "gone.example.com" not in rows(d, "host")),
    ("a misspelt host", "find_target", {"text": "apii.example.com"}, lambda d: HOST in rows(d, "host")),
    ("how far is it", "latency_summary", {"host": HOST}, lambda d: {"fra", "nyc", "sin"} == set(rows(d, "region"))),
    ("from one place", "latency_summary", {"host": HOST, "region": "nyc"},
     lambda d: set(rows(d, "region")) == {"nyc"} and 8.9 < d["rows"][0]["rtt_ms"] < 9.3),
    ("an outage is failed, not 0", "latency_summary", {"host": "b.example.com", "region": "sin"},
     lambda d: d["rows"][0]["outcome"] == "failed" and d["rows"][0]["rtt_ms"] is None),
    ("silence of a vantage is stale", "latency_summary", {"host": HOST, "region": "fra"}, lambda d: d["rows"][0]["stale"]),
    ("history", "history", {"host": HOST, "region": "nyc", "hours": 2},
     lambda d: d["resolution"] == "15m" and len(d["rows"]) >= 8 and 9.0 < d["rows"][2]["p50_ms"] < 9.2),
    ("history at length", "history", {"host": HOST, "region": "nyc", "hours": 2, "detail": True},
     lambda d: d["resolution"] == "1m" and len(d["rows"]) > 100),
    ("before anything was measured", "history", {"host": HOST, "hours": 1, "end": "2020-01-01T00:00:00Z"}, lambda d: d["rows"] == []),
    ("who is faster", "compare", {"hosts": [HOST, "engine.example.com"], "regions": ["nyc"]},
     lambda d: d["fastest"] is None and d["differences"][0]["clear"] and not d["differences"][0]["comparable"]),
    ("like with like", "compare", {"hosts": [HOST, "b.example.com"], "regions": ["sin"]},
     lambda d: d["differences"][0]["comparable"] and d["fastest"] == HOST),
    ("the matrix", "matrix", {"category": "crypto"},
     lambda d: d["regions"] == ["fra", "nyc", "sin"] and dict(zip(rows(d, "host"), rows(d, "cells"), strict=True))["b.example.com"][2] == "failed"),
    ("silent cells are null", "matrix", {"regions": ["fra"]}, lambda d: all(cells == [None] for cells in rows(d, "cells"))),
    ("the path now", "path_at", {"host": HOST, "region": "nyc"}, lambda d: d["rows"][0]["hops"] == ["10.0.0.1", "10.0.1.1", "198.18.0.1"]),
    ("the path then, hop by hop", "path_at", {"host": HOST, "at": at(3600), "detail": True},
     lambda d: d["rows"][0]["hops"][1]["asn"] == 64502 and d["rows"][0]["at"] <= at(3600)),
    ("what changed on the way", "route_changes", {"host": HOST},
     lambda d: d["rows"][0]["what"] == {"class": "as_path", "from": "rt_a", "to": "rt_b", "rtt_delta_ms": 4.5}),
    ("what happened", "list_events", {"hours": 3, "limit": 5}, lambda d: d["rows"][0]["kind"] == "route_change" and d["truncated"]),
    ("only one kind", "list_events", {"kinds": ["anomaly"]}, lambda d: set(rows(d, "kind")) == {"anomaly"}),
    ("what detectors say", "list_signals", {"host": HOST, "limit": 4}, lambda d: len(d["rows"]) == 4 and "route_change" not in rows(d, "kind")),
    ("why did it change", "explain_change", {"host": HOST, "at": at(1800), "region": "nyc"},
     lambda d: abs(d["rows"][0]["moved_ms"]) < 0.1 and d["rows"][0]["failed_after"] == 0),
    ("an outage explained", "explain_change", {"host": "b.example.com", "at": at(240), "region": "sin"},
     lambda d: d["rows"][0]["failed_after"] >= 3 and d["rows"][0]["failed_before"] == 0),
    ("the leaderboard", "rank", {"category": "crypto", "region": "sin"},
     lambda d: d["rows"][0]["rank"] == 1 and {"api", "edge"} == set(rows(d, "group"))),
    ("which leg is to blame", "blame", {"since": at(3600)}, lambda d: d["verdict"] == "none" and d["paths"] > 0),
    ("is this possible", "check_claim", {"claims": ["EWR -> SIN 40ms", "EWR -> SIN 240ms"]},
     lambda d: rows(d, "verdict") == ["impossible", "possible"]),
    ("where to rent", "plan_placement", {"request": REQUEST}, lambda d: d["status"] == "optimal" and d["sites"] == ["near"]),
    ("where to rent, of names the registry knows", "plan_placement", {"request": NAMED},
     lambda d: d["sites"] == ["vultr:nrt"] and rows(d, "evidence") == ["estimated"]),
    ("how is the fleet", "fleet_status", {}, lambda d: dict(zip(rows(d, "code"), rows(d, "up"), strict=True)) == {"fra": False, "nyc": True, "sin": True}),
    ("the fleet by its earlier name", "status", {}, lambda d: len(d["rows"]) == 3),
    ("what may I do", "limits", {}, lambda d: d["tier"] == "self" and "measure" in d["scopes"]),
    ("SQL", "query", {"sql": "select target, count(*) n, max(due) newest from rounds group by 1 order by 1"},
     lambda d: d["columns"] == ["target", "n", "newest"] and d["rows"][0][0] == HOST and d["rows"][0][2].startswith("2026-11-20T11:59")),
    ("SQL cut by rows", "query", {"sql": "select * from range(5000)", "limit": 10}, lambda d: len(d["rows"]) == 10 and d["truncated"]),
    ("SQL cut by bytes", "query", {"sql": "select repeat('x', 250) from range(1000)", "limit": 1000}, lambda d: d["more"] > 900),
    ("measure from here", "scan", {"host": "127.0.0.1", "probes": 2, "method": "udp"}, lambda d: rows(d, "what") == ["ping"]),
    ("what would it cost", "scan", {"host": "127.0.0.1", "trace": True, "dry_run": True}, lambda d: d["rows"] == [] and d["preview"]["packets"] == 37),
    ("what would vantages cost", "scan_remote", {"target": HOST, "regions": ["nyc", "sin"]},
     lambda d: d["preview"]["probes"] == 10 and d["preview"]["packets"] == 30),
    ("the machines", "machines", {}, lambda d: rows(d, "state") == ["active"] * 3),
    ("what is written of a machine", "logs", {"machine": "nyc"}, lambda d: "enrolled" in rows(d, "what")),
    ("fewer nodes: only a plan", "scale", {"count": 2},
     lambda d: d["applied"] is False and d["confirm"] and [(row["region"], row["to"]) for row in d["rows"]] == [("fra", "drained")]),
    ("what works here", "diag", {"name": "doctor"}, lambda d: all("available" in row for row in d["rows"])),
    ("the clock, by the seed's name", "exec", {"name": "clock"}, lambda d: d["rows"][0]["synchronised"] in (True, False, None)),
    ("the spool", "diag", {"name": "spool"}, lambda d: d["rows"] == []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "right"), [task[1:] for task in TASKS], ids=[task[0] for task in TASKS]
)
async def test_a_task_is_answered_rightly_within_its_budget(
    world: World, name: str, arguments: dict[str, Any], right: Any
) -> None:
    async with session(world.desk(*EVERYTHING)) as client:
        answer = await client.call_tool(name, arguments)
    found = document(answer)
    assert right(found), found
    if not arguments.get("detail"):
        assert tokens(answer) <= DEFAULT_TOKENS
    tool = next(each for each in TOOLS if name in {each.name, each.alias})
    assert set(found) == {*tool.fields, *(("rows", "more") if tool.row else ())}
    if tool.row:
        assert all(set(row) == set(tool.row) for row in found["rows"])


async def test_the_whole_tool_list_fits_its_budget_and_every_tool_says_what_it_takes_and_gives(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async with session(world.desk(*EVERYTHING)) as client:
        listed = await client.list_tools()
    with capsys.disabled():
        print(  # noqa: T201 - the figure of the budget
            f"\ntool list: {len(listed.tools)} tools, {tokens(listed)} tokens of {TOOL_LIST_TOKENS} (bytes / 4)"
        )
    assert tokens(listed) <= TOOL_LIST_TOKENS
    assert {each.name for each in listed.tools} == {tool.name for tool in TOOLS}
    for each in listed.tools:
        assert each.description
        assert each.output_schema and each.output_schema["properties"]
        assert each.annotations and each.annotations.read_only_hint == (each.name not in WRITING)
    assert [each.name for each in listed.tools if each.annotations and each.annotations.destructive_hint] == [
        "drain", "scale",
    ]  # fmt: skip


WRITING = {"scan", "scan_remote", "machines", "drain", "diag", "scale", "deploy", "logs"}


@pytest.mark.parametrize(
    ("scopes", "hidden"),
    [
        ((), WRITING),
        ((Scope.MEASURE,), {"machines", "drain", "diag", "scale", "deploy", "logs"}),
        ((Scope.FLEET,), {"scan", "scan_remote"}),
    ],
)
async def test_tools_beyond_the_scopes_are_neither_listed_nor_callable(
    world: World, scopes: tuple[Scope, ...], hidden: set[str]
) -> None:
    async with session(world.desk(*scopes)) as client:
        listed = {each.name for each in (await client.list_tools()).tools}
        assert listed == {tool.name for tool in TOOLS} - hidden
        for name in hidden:
            answer = await client.call_tool(name, {"machine": "nyc"})
            assert answer.is_error
            assert text(answer).startswith("not-allowed")


async def test_a_large_answer_is_cut_and_says_so(world: World) -> None:
    async with session(world.desk()) as client:
        answer = await client.call_tool("list_events", {"hours": 24, "limit": 200})
        found = document(answer)
        assert tokens(answer) <= DEFAULT_TOKENS
        assert found["more"] > 0
        assert found["more"] + len(found["rows"]) == 41
        assert "More rows were left out" in text(answer)


async def test_somebody_elses_target_does_not_exist(world: World) -> None:
    async with session(world.desk()) as client:
        answer = await client.call_tool("latency_summary", {"host": "own.example.com"})
        assert answer.is_error
        assert text(answer).startswith("not-found: no target 'own.example.com'")


async def test_a_host_that_is_near_everywhere_is_told_as_anycast(world: World) -> None:
    places = {"fra": (50.11, 8.68), "nyc": (40.71, -74.0), "sin": (1.35, 103.82)}
    store = open_writer(world.data)
    for region, (latitude, longitude) in places.items():
        secret = region.encode() * 5
        store.put_token(
            EnrolToken(id=f"t_{region}", hash=secret, region=region, created_at=NOW, expires_at=NOW * 2)
        )
        heir = Vantage(
            code=region, node=f"heir-{region}", latitude=latitude, longitude=longitude, enrolled_at=NOW
        )
        assert store.enrol(secret, heir, b"k" * 32, NOW)
    store.close()
    async with session(world.desk()) as client:
        answer = await client.call_tool("locate", {"host": HOST})
        found = document(answer)
        assert tokens(answer) <= DEFAULT_TOKENS
        assert (found["edge"]["found"], found["vantages"], found["origin"]) == ("anycast", 3, None)
        unknown = await client.call_tool("where", {"host": "nobody.example.com"})
        assert text(unknown).startswith("not-found")
