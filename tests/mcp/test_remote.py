"""The same questions answered by a hub elsewhere, over its REST API."""

import httpx2
import pytest
from tests.api.conftest import NOW, Hub, ping, running
from tests.mcp.conftest import EVERYTHING, World, document, session, text
from tests.mcp.hostile import PATHS

from nettrace.errors import NotFound, Unauthenticated, Unreachable
from nettrace.hub.access import OWNER
from nettrace.mcp import measuring
from nettrace.mcp.desk import TOOLS, Desk
from nettrace.mcp.remote import Remote
from nettrace.model.account import Scope

QUESTIONS = [
    ("overview", {}),
    ("find_target", {"text": "crypto"}),
    ("latency_summary", {"host": "api.example.com", "region": "nyc"}),
    ("compare", {"hosts": ["api.example.com", "b.example.com"], "regions": ["nyc", "sin"]}),
    ("matrix", {"category": "crypto"}),
    ("path_at", {"host": "api.example.com", "detail": True}),
    ("route_changes", {"host": "api.example.com"}),
    ("list_signals", {"limit": 5}),
    ("explain_change", {"host": "b.example.com", "at": "2026-11-20T11:56:00Z", "region": "sin"}),
    ("rank", {"category": "crypto", "region": "sin"}),
    ("fleet_status", {}),
]


def over(hub: Hub, headers: dict[str, str]) -> Remote:
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=hub.app), base_url="http://localhost")
    return Remote("http://localhost", headers.get("Authorization", "")[7:] or None, client)


async def test_a_hub_elsewhere_answers_as_its_folder_does(world: World) -> None:
    async with running(world.data.folder) as hub:
        remote = Desk(over(hub, {}), None, now=lambda: NOW, scopes=EVERYTHING)
        async with session(world.desk(*EVERYTHING)) as here, session(remote) as there:
            for tool, arguments in QUESTIONS:
                near = document(await here.call_tool(tool, arguments))
                far = document(await there.call_tool(tool, arguments))
                if tool == "latency_summary":  # the API does not tell what light allows
                    near["rows"] = [{**row, "floor_ms": None} for row in near["rows"]]
                assert far == near, tool
            then = await there.call_tool("path_at", {"host": "api.example.com", "at": "2026-11-20T11:00:00Z"})
            assert text(then).startswith("invalid: a hub's API tells only the present path")


async def test_tools_of_the_folder_are_absent_and_a_keys_scopes_hold(world: World) -> None:
    async with running(world.data.folder) as hub:
        reads = Desk(
            over(hub, hub.key(scopes=frozenset({Scope.READ}))), None, now=lambda: NOW, scopes=EVERYTHING
        )
        async with session(reads) as client:
            listed = {each.name for each in (await client.list_tools()).tools}
            assert listed == {tool.name for tool in TOOLS} - {
                "blame",
                "locate",
                "query",
                "machines",
                "drain",
                "scale",
                "deploy",
                "logs",
                "scan_remote",
            }
        measures = Desk(over(hub, hub.key()), None, now=lambda: NOW, scopes=EVERYTHING)
        async with session(measures) as client:
            asked = {"target": "api.example.com", "regions": ["nyc"]}
            assert document(await client.call_tool("scan_remote", asked))["preview"]["probes"] == 5
            with hub.reading() as reader:
                assert reader.requests() == []


async def test_a_measurement_is_asked_for_and_its_results_read_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "PATIENCE_S", 0.01)
    async with (
        running(world.data.folder) as hub,
        session(Desk(over(hub, {}), None, now=lambda: NOW, scopes=EVERYTHING)) as client,
    ):
        asked = {"target": "api.example.com", "regions": ["nyc"], "dry_run": False}
        answer = await client.call_tool("scan_remote", asked)
        waiting = document(answer)
        assert waiting["rows"] == []
        assert "Not yet: nyc" in text(answer)
        hub.report("nyc", [(NOW, "api.example.com", ping("api.example.com", 12.5, NOW))], waiting["id"])
        done = document(await client.call_tool("scan_remote", {"id": waiting["id"]}))
        assert [(row["region"], row["outcome"]) for row in done["rows"]] == [("nyc", "measured")]
        assert 12.5 <= done["rows"][0]["rtt_ms"] < 12.6


async def test_without_any_hub_what_needs_none_is_there() -> None:
    async with session(Desk(None, None, now=lambda: NOW, scopes=frozenset({Scope.MEASURE}))) as client:
        assert {each.name for each in (await client.list_tools()).tools} == {
            "check_claim",
            "plan_placement",
            "scan",
        }
        found = document(await client.call_tool("check_claim", {"claims": ["LON -> NYC 10ms"]}))
        assert found["rows"][0]["verdict"] == "impossible"


async def test_problems_of_the_hub_are_told_as_ours(world: World) -> None:
    async with running(world.data.folder) as hub:
        remote = over(hub, {"Authorization": "Bearer nt_live_" + "0" * 36})
        with pytest.raises(Unauthenticated):
            await remote.vantages(OWNER)
        assert await remote.scopes(OWNER) == {Scope.READ}
        await remote.close()
    silent = Remote("http://127.0.0.1:9", None)
    with pytest.raises(Unreachable):
        await silent.limits(OWNER)
    await silent.close()


@pytest.mark.parametrize("host", PATHS)
async def test_no_host_leads_to_another_path_of_the_api(host: str) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.raw_path.decode())
        return httpx2.Response(200, json={"data": []})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://hub.example")
    remote = Remote("http://hub.example", None, client)
    try:
        await remote.latency(OWNER, host, None)
    except NotFound:
        assert set(host) <= {"."}
    await remote.close()
    for path in asked:
        assert path.startswith("/api/v1/latency/")
        assert path.count("/") == 4
        assert "?" not in path.rstrip("?")
