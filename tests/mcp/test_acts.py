"""What changes or measures: only after a plan was confirmed, written down, and never twice by one token."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mcp.conftest import EVERYTHING, World, document, session, text
from tests.unit.outside_remote.doubles import FakeGlobalping, pinged, served

from nettrace.errors import Conflict, StoreBusy, Unreachable
from nettrace.hub.access import Caller
from nettrace.mcp.confirm import LASTS_S, Confirmations
from nettrace.mcp.plain import fitted, size
from nettrace.model.account import Scope
from nettrace.model.instant import NS_PER_S
from nettrace.runtime.logs import Log, fields_of


async def plan(client: Any, **arguments: Any) -> dict[str, Any]:
    return document(await client.call_tool("drain", arguments))


async def test_a_machine_is_drained_by_the_token_of_its_plan_and_only_once(world: World) -> None:
    async with session(world.desk(*EVERYTHING)) as client:
        shown = await plan(client, machine="nyc")
        assert not shown["applied"]
        assert shown["rows"] == [{"node": "node-nyc", "region": "nyc", "from": "active", "to": "drained"}]
        assert set(world.states().values()) == {"active"}

        done = await plan(client, machine="nyc", confirm=shown["confirm"])
        assert done["applied"]
        assert world.states() == {"node-fra": "active", "node-nyc": "drained", "node-sin": "active"}

        again = await client.call_tool("drain", {"machine": "nyc", "confirm": shown["confirm"]})
        assert text(again).startswith("conflict")
        back = await plan(client, machine="node-nyc", undo=True)
        await plan(client, machine="node-nyc", undo=True, confirm=back["confirm"])
        assert set(world.states().values()) == {"active"}
    lines = [(line.actor, line.action, line.outcome) for line in world.audit()]
    assert set(lines) == {("mcp:self", "mcp.drain", "allowed"), ("mcp:self", "mcp.drain", "conflict")}
    assert len(lines) == 6


@pytest.mark.parametrize("other", [{"machine": "sin"}, {"machine": "nyc", "undo": True}])
async def test_a_token_holds_for_no_other_arguments(world: World, other: dict[str, Any]) -> None:
    async with session(world.desk(*EVERYTHING)) as client:
        shown = await plan(client, machine="nyc")
        answer = await client.call_tool("drain", {**other, "confirm": shown["confirm"]})
        assert text(answer).startswith("conflict: the confirm token does not hold")
    assert set(world.states().values()) == {"active"}


async def test_a_token_ends_after_five_minutes(world: World) -> None:
    async with session(world.desk(*EVERYTHING)) as client:
        shown = await plan(client, machine="nyc")
        world.clock += LASTS_S * NS_PER_S
        answer = await client.call_tool("drain", {"machine": "nyc", "confirm": shown["confirm"]})
        assert "over after five minutes" in text(answer)
    assert set(world.states().values()) == {"active"}


async def test_a_token_holds_for_nobody_else(world: World) -> None:
    desk = world.desk(*EVERYTHING)
    shown = document(await desk.call("drain", {"machine": "nyc"}, desk.owner))
    other = world.access.caller(f"Bearer {world.key(scopes=EVERYTHING)}", None, world.clock)
    stolen = await desk.call("drain", {"machine": "nyc", "confirm": shown["confirm"]}, other)
    assert text(stolen).startswith("conflict")
    await desk.close()
    assert set(world.states().values()) == {"active"}


@given(st.lists(st.text(max_size=40) | st.integers(), max_size=30), st.integers(60, 900), st.integers(0, 5))
def test_an_answer_keeps_the_first_rows_that_fit_and_counts_the_others(
    rows: list[object], budget: int, more: int
) -> None:
    cut = fitted({"rows": rows, "more": more}, budget)
    assert size(cut) <= budget
    assert cut["rows"] == rows[: len(cut["rows"])]
    assert cut["more"] - more == len(rows) - len(cut["rows"])


@given(st.text(max_size=120))
def test_no_text_is_a_token(made_up: str) -> None:
    with pytest.raises(Conflict):
        Confirmations().take(made_up, "key", "drain", {}, 0)


async def test_a_measurement_costs_nothing_until_it_is_meant_and_needs_a_running_hub(world: World) -> None:
    async with session(world.desk(Scope.MEASURE)) as client:
        preview = document(await client.call_tool("scan_remote", {"target": "api.example.com"}))
        assert preview["preview"]["regions"] == ["nyc", "sin"]  # fra is silent
        answer = await client.call_tool("scan_remote", {"target": "api.example.com", "dry_run": False})
        assert text(answer).startswith(Unreachable.slug)
        retired = await client.call_tool("scan_remote", {"target": "gone.example.com"})
        assert text(retired).startswith("unmeasurable")
    assert {line.action for line in world.audit()} == {"mcp.scan_remote"}


async def test_other_peoples_vantages_cost_is_told_first_and_only_this_machines_user_spends_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeGlobalping([pinged(2.5, 2.25)])
    fake.polls_until_finished = 1
    asked = {"target": "api.example", "regions": ["globalping:Tokyo"], "probes": 2}
    with served(fake) as double:
        monkeypatch.setenv("NETTRACE_GLOBALPING_URL", double.url)
        monkeypatch.setenv("NETTRACE_LEDGER", str(tmp_path / "ledger.sqlite"))
        async with session(world.desk(Scope.MEASURE)) as client:
            preview = document(await client.call_tool("scan_remote", asked))["preview"]
            assert (preview["tests"], preview["left"], preview["usd"]) == (1, 250, 0.0)
            assert fake.used == 0
            done = await client.call_tool("scan_remote", {**asked, "dry_run": False})
            assert "not this hub's vantages" in text(done)
            [row] = document(done)["rows"]
            assert (row["region"], row["min_ms"], row["received"]) == ("globalping:tokyo-jp-as16509", 2.25, 2)
            inside = await client.call_tool("scan_remote", {**asked, "target": "10.0.0.1"})
            assert text(inside).startswith("invalid")
            mixed = await client.call_tool("scan_remote", {**asked, "regions": ["globalping:Tokyo", "nyc"]})
            assert text(mixed).startswith("invalid")
        desk = world.desk()
        stranger = world.access.caller(f"Bearer {world.key(scopes=EVERYTHING)}", None, world.clock)
        refused = await desk.call("scan_remote", {**asked, "dry_run": False}, stranger)
        await desk.close()
    assert text(refused).startswith("not-allowed")
    assert fake.used == 1


async def test_a_key_has_only_watched_targets_measured_from_here(world: World) -> None:
    desk = world.desk()
    secret = world.key(scopes=EVERYTHING)
    caller: Caller = world.access.caller(f"Bearer {secret}", None, world.clock)
    for tool, arguments in (
        ("scan", {"host": "127.0.0.1", "dry_run": True}),
        ("diag", {"name": "ping", "host": "127.0.0.1"}),
    ):
        answer = await desk.call(tool, arguments, caller)
        assert text(answer).startswith("not-allowed: only targets of this hub")
    answer = await desk.call("scan", {"host": "api.example.com", "dry_run": True}, caller)
    assert document(answer)["preview"]["probes"] == 5
    await desk.close()


async def test_a_tool_that_breaks_says_so_and_the_session_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = world.desk()

    async def broken(*_: object) -> None:
        raise RuntimeError("secret\ndetails")

    monkeypatch.setattr(desk.hub, "vantages", broken)
    answer = await desk.call("fleet_status", {}, desk.owner)
    assert text(answer).startswith("error: something broke here")
    assert "secret" not in text(answer)
    (record,) = caplog.records
    line = Log("mcp", "text").line("log", datetime.now(UTC), fields_of(record))
    assert "RuntimeError" in line
    assert line.isprintable()
    monkeypatch.undo()
    assert len(document(await desk.call("fleet_status", {}, desk.owner))["rows"]) == 3
    await desk.close()


async def test_what_cannot_be_written_down_is_not_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise StoreBusy("another process writes this folder")

    desk = world.desk(*EVERYTHING, audited=True)
    shown = document(await desk.call("drain", {"machine": "nyc"}, desk.owner))
    monkeypatch.setattr("nettrace.mcp.desk.writer", refuse)
    for tool, arguments in (("overview", {}), ("drain", {"machine": "nyc", "confirm": shown["confirm"]})):
        assert text(await desk.call(tool, arguments, desk.owner)).startswith("store-busy")
    await desk.close()
    assert set(world.states().values()) == {"active"}
