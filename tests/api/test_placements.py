"""Placements over HTTP: the command's own answer, conflicts as problems, and nobody else waits for a solver."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.api.conftest import Hub

from nettrace.cli.commands.plan import command
from nettrace.errors import Infeasible, SolverBusy, SolverStopped
from nettrace.hub.placements import refuse
from nettrace.hub.solving import Job, Solvers, solve

REQUEST = (
    """
[limits]
budget_usd_month = 90
[[venue]]
name = "near"
usd_per_ms_month = 3
max_ms = 5
[[venue]]
name = "far"
usd_per_ms_month = 1
max_ms = 40
[[site]]
name = "east"
usd_month = 60
[[site]]
name = "west"
usd_month = 40
latency = [
]
""".replace("latency = [\n]\n", "")
    + "".join(
        f'[[latency]]\nvenue = "{venue}"\nsite = "{site}"\np50_ms = {p50}\nlow_ms = {p50 - 0.5}\nhigh_ms = {p50 + 0.5}\n'
        for venue, site, p50 in (
            ("near", "east", 2),
            ("near", "west", 60),
            ("far", "east", 30),
            ("far", "west", 1),
        )
    )
)
NAMED = """
venue = [{name = "binance-spot", usd_per_ms_month = 2}]
site = [{name = "vultr:nrt", usd_month = 60}, {name = "vultr:ewr", usd_month = 48}]
"""
"""Pairs of the registry: estimated."""
WATCHED = """
venue = [{name = "v", usd_per_ms_month = 2}]
site = [{name = "nyc", usd_month = 60}]
[[document.venue]]
name = "v"
host = "%s"
"""
"""A pair that only measurements know."""


async def test_the_answer_is_the_commands_own(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "request.toml").write_text(NAMED)
    done = CliRunner().invoke(command, [str(tmp_path / "request.toml"), "-o", "json"])
    assert done.exit_code == 0, done.output
    answer = await hub.post("/api/v1/placements", {"request": NAMED})
    assert answer.status_code == 200, answer.text
    assert answer.json() == msgspec.json.decode(done.stdout)
    assert answer.json()["assignments"][0]["evidence"] == "estimated"


@pytest.mark.parametrize("form", ["toml", "json"])
async def test_what_cannot_be_is_a_problem_that_points_at_the_conflict(hub: Hub, form: str) -> None:
    text = REQUEST.replace("max_ms = 40", "max_ms = 20")
    body: Any = text
    if form == "json":
        body = solve(Job(request=text, bare=True)).request
        body = {
            **body,
            "latency": [{k: v for k, v in row.items() if k != "evidence"} for row in body["latency"]],
        }
    answer = await hub.post("/api/v1/placements", {"request": body})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "infeasible")
    assert {each["pointer"] for each in problem["errors"]} == {
        "#/body/request/limits/budget_usd_month",
        "#/body/request/venue/0/max_ms",
        "#/body/request/venue/1/max_ms",
    }
    assert problem["errors"][0]["detail"] == "budget_usd_month = 90"
    fits = await hub.post("/api/v1/placements", {"request": REQUEST, "document": False})
    assert fits.json()["sites"] == ["east"]
    assert "document" not in fits.json()


async def test_a_wrong_request_is_told_where(hub: Hub) -> None:
    for body, words in (
        ("x =", "no TOML"),
        ('[[venue]]\nname = "v"\nusd_per_ms = 1', "venue 'v' (line 3): unknown key 'usd_per_ms'"),
        ({"venue": [{"name": 1}], "site": []}, "name: expected text"),
        ({"venue": 3}, "venue"),
        ({"venue": [], "site": [], "document": 3}, "[document]"),
    ):
        answer = await hub.post("/api/v1/placements", {"request": body})
        assert answer.status_code == 400, answer.text
        assert words in answer.json()["detail"]
        assert answer.json()["errors"][0]["pointer"] == "#/body/request"
    answer = await hub.post("/api/v1/placements", {"request": "", "chance": 0})
    assert answer.json()["errors"][0]["pointer"] == "#/body/chance"


async def test_a_placement_costs_calls_and_needs_a_key_where_others_do(hub: Hub) -> None:
    headers = hub.key("free")
    assert (await hub.post("/api/v1/placements", {"request": REQUEST})).status_code == 401
    answer = await hub.post("/api/v1/placements", {"request": REQUEST}, headers=headers)
    assert answer.headers["nettrace-cost"] == "5"


async def test_own_measurements_stand_for_latencies_as_far_as_their_targets_are_seen(hub: Hub) -> None:
    headers = hub.key("enterprise", account="somebody-else")
    asked = {"request": WATCHED % "api.example.com", "hours": 24}
    made = (await hub.post("/api/v1/placements", asked, headers=headers)).json()
    assert made["assignments"][0]["evidence"] == "measured"
    assert made["measured"][0]["n"] > 100
    hidden = {"request": WATCHED % "own.example.com", "hours": 24}
    assert (await hub.post("/api/v1/placements", hidden, headers=headers)).status_code == 422


async def test_others_are_answered_while_a_placement_is_solved(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.get_running_loop().create_future()
    start = asyncio.create_subprocess_exec

    async def held(*words: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*words, **options)
        process.send_signal(signal.SIGSTOP)  # it takes as long as this test wants
        started.set_result(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", held)
    solving = asyncio.create_task(hub.post("/api/v1/placements", {"request": NAMED}))
    process = await started
    for _ in range(20):
        assert (await hub.get("/livez")).status_code == 200
        assert not solving.done()
    process.send_signal(signal.SIGCONT)
    assert (await solving).status_code == 200


async def test_so_many_at_once_and_no_longer_than_the_limit() -> None:
    solvers = Solvers(at_once=1, waiting=0)
    first = asyncio.create_task(solvers.run(Job(request=REQUEST)))
    await asyncio.sleep(0)
    with pytest.raises(SolverBusy, match="1 placements"):
        await solvers.run(Job(request=NAMED))
    made = await first
    assert await solvers.run(Job(request=REQUEST)) is made
    with pytest.raises(SolverStopped, match=r"no answer within 0\.05 s"):
        await Solvers(limit_s=0.05).run(Job(request=NAMED))


async def test_without_the_extra_it_says_what_to_install(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "highspy.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # for the solving process
    small = await hub.post("/api/v1/placements", {"request": REQUEST})
    assert small.json()["sites"] == ["east"]
    more = "".join(f'[[site]]\nname = "s{at}"\nusd_month = 9\n' for at in range(14))
    answer = await hub.post("/api/v1/placements", {"request": REQUEST + more})
    assert (answer.status_code, answer.json()["code"]) == (501, "missing-extra")
    assert "pip install 'nettrace[plan]'" in answer.json()["hint"]


def test_the_spread_of_a_trade_is_that_of_its_intervals() -> None:
    made = solve(Job(request=REQUEST))
    trades = made.plan["pareto"]
    at = next(place for place, trade in enumerate(trades) if trade["sites"] == ["east"])
    assert made.spread[at] == (1.5 * 3 + 29.5, 2.5 * 3 + 30.5)
    assert all(
        low <= trade["latency_usd_month"] <= high
        for trade, (low, high) in zip(trades, made.spread, strict=True)
    )


def test_a_pair_of_venues_is_placed_by_its_legs_and_named_where_it_stands() -> None:
    pair = '[[pair]]\nname = "legs"\nvenues = ["near", "far"]\nusd_per_ms_month = 2\nby = "sum"\n'
    made = solve(Job(request=REQUEST + pair))
    assert {row["venue"]: (row["site"], row["p50_ms"]) for row in made.plan["assignments"]}["legs"] == (
        "east",
        32,
    )
    with pytest.raises(Infeasible) as raised:
        refused = solve(Job(request=REQUEST + pair + "max_ms = 10\n"))
        refuse(refused.plan, refused.request)
    assert [where for where, _ in raised.value.conflict] == ["pair/0/max_ms"]
    lone = '[[venue]]\nname = "dark"\nusd_per_ms_month = 1\n[document]\nunmeasured = "set aside"\n'
    aside = solve(Job(request=REQUEST + pair.replace("far", "dark") + lone))
    assert aside.plan["set_aside"] == ["dark", "legs"]
    assert aside.plan["sites"] == ["east"]
