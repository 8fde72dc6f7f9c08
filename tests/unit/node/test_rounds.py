"""Single rounds on loopback: what permission, policy, names and answers make of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from nettrace.measure.probing.engine import FEW_RUNS
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.model.measurement import Method, Outcome, Ping, Reason
from nettrace.model.target import Endpoint, Role, RoundMethod, Series
from nettrace.node.driver import Driver
from nettrace.node.keeper import Keeper
from nettrace.node.policy import NodePolicy
from nettrace.node.rounds import Done, Job, Rounds
from nettrace.node.runner import SIDE_BY_SIDE, Runner
from nettrace.node.schedule import Due, Moment
from nettrace.node.spool import Entry
from nettrace.wire.frames import Assignment, Gap, Record, Task

DUE = 1_767_225_600_000_000_000


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    def failed(error: Exception) -> None:
        raise error

    driver = Driver(200.0, failed)
    yield driver
    driver.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that answers every request with 403."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def job(port: int, method: RoundMethod, **more: object) -> Job:
    endpoint = Endpoint(
        name="rest",
        host="127.0.0.1",
        role=Role.API,
        port=port,
        url=f"http://127.0.0.1:{port}/",
        expect_status=more.pop("expect_status", (200,)),
    )
    return Job(target="t", endpoint=endpoint, method=method, due=DUE, probes=2, spacing_s=0.01, **more)


def rounds_of(driver: Driver, *open_networks: str) -> Rounds:
    return Rounds(driver, NodePolicy.of(open_networks=open_networks), "nyc")


async def made(rounds: Rounds, wanted: Job) -> Done:
    return await rounds.make(wanted, lambda _: None)


async def test_a_status_that_was_expected_is_a_measurement(driver: Driver, port: int) -> None:
    rounds = rounds_of(driver, "127.0.0.0/8")
    unexpected = (await made(rounds, job(port, RoundMethod.HTTP))).measurement
    assert (unexpected.outcome, unexpected.reason) == (Outcome.FAILED, Reason.BLOCKED)
    expected = (await made(rounds, job(port, RoundMethod.HTTP, expect_status=(401, 403)))).measurement
    assert (expected.outcome, expected.reason) == (Outcome.MEASURED, None)


async def test_icmp_that_is_not_permitted_becomes_tcp_unless_tcp_is_measured_anyway(
    driver: Driver, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        driver, "permits", lambda method, _: "this host has no right" if method is Method.ICMP else None
    )
    rounds = rounds_of(driver, "127.0.0.0/8")
    instead = await made(rounds, job(port, RoundMethod.ICMP))
    assert instead.method is RoundMethod.TCP
    assert isinstance(instead.measurement, Ping)
    assert (instead.measurement.method, instead.measurement.outcome) == (Method.TCP, Outcome.MEASURED)
    assert instead.measurement.detail == "by TCP connect, because this host has no right"
    beside = await made(rounds, job(port, RoundMethod.ICMP, also_tcp=True))
    assert beside.method is RoundMethod.ICMP
    assert beside.measurement.reason is Reason.NOT_PERMITTED


@pytest.mark.parametrize("method", list(RoundMethod))
async def test_a_loopback_address_is_closed_to_everybody_elses_wishes(
    driver: Driver, port: int, method: RoundMethod
) -> None:
    wanted = job(port, method)
    if method is RoundMethod.WS:
        endpoint = Endpoint(name="f", host="127.0.0.1", role=Role.DATA, url=f"ws://127.0.0.1:{port}/")
        wanted = Job(target="t", endpoint=endpoint, method=method, due=DUE)
    if method is RoundMethod.DNS:
        endpoint = Endpoint(name="r", host="127.0.0.1", role=Role.RESOLVER)
        wanted = Job(target="t", endpoint=endpoint, method=method, due=DUE)
    done = await made(rounds_of(driver), wanted)
    assert (done.measurement.outcome, done.measurement.reason) == (
        Outcome.NOT_MEASURED,
        Reason.NOT_PERMITTED,
    )
    assert "loopback" in (done.measurement.detail or "")
    assert (done.method, done.measurement.vantage) == (method, "nyc")


async def test_rounds_that_pile_up_are_not_made_and_an_end_hands_out_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Semaphore(0)

    async def never(_self: Rounds, _job: Job, _partial: object) -> Done:
        begun.release()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Rounds, "make", never)
    out: list[Entry] = []
    runner = Runner("nyc", out.append)
    endpoint = Endpoint(name="rest", host="198.18.0.1", role=Role.API)
    task = Task(target="t", endpoint=endpoint, methods=(RoundMethod.HTTP,))
    runner.assign(Assignment(version=1, tasks=(task,)))
    series = Series("nyc", "t", "rest", RoundMethod.HTTP)
    for number in range(SIDE_BY_SIDE + 2):
        runner._start(Due(series, DUE + number), Moment(0, DUE + number))
        if number < SIDE_BY_SIDE:
            await begun.acquire()
    await runner.stop(0.0)
    records = [entry for entry in out if isinstance(entry, Record)]
    assert [entry.measurement.reason for entry in records] == [Reason.NOT_SCHEDULED] * 2 + [
        Reason.ABORTED
    ] * 4
    assert {entry.measurement.outcome for entry in records} == {Outcome.NOT_MEASURED}
    assert len({entry.due for entry in records}) == SIDE_BY_SIDE + 2


async def test_what_the_hub_did_not_want_measured_is_stated_once_it_does_again(tmp_path: Path) -> None:
    endpoint = Endpoint(name="rest", host="198.18.0.1", role=Role.API)
    tasks = {name: Task(target=name, endpoint=endpoint, methods=(RoundMethod.HTTP,)) for name in "ab"}
    out: list[Entry] = []

    async def life(keeper: Keeper, *assigned: str) -> None:
        """A process that is told so, one after the other: targets, or `drained`."""
        runner = Runner("nyc", out.append, rest=keeper.rest, remember=keeper.remember)
        for number, wanted in enumerate(assigned):
            given = tuple(tasks[name] for name in wanted if wanted != "drained")
            runner.assign(Assignment(version=number, tasks=given, drained=wanted == "drained"))
        await runner.stop(0.0)
        keeper._spool.close()

    def stated() -> list[tuple[str, str]]:
        found = [(each.reason, each.target) for each in out if isinstance(each, Gap)]
        assert all(0 < each.since <= each.until for each in out if isinstance(each, Gap))
        out.clear()
        return found

    await life(Keeper(tmp_path), "ab", "a", "ab", "ab")
    assert stated() == [("unassigned", "b")]
    await life(Keeper(tmp_path), "ab", "drained", "drained", "ab")
    assert stated() == [("drained", "")], "all of it, and no target beside it"
    await life(Keeper(tmp_path), "ab", "a", "drained")
    await life(Keeper(tmp_path), "drained", "ab")
    assert stated() == [("drained", ""), ("unassigned", "b")], "a kill in between takes nothing of it"


async def test_many_rounds_go_with_one_tick_few_at_once(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of the engine for every round that begins would cost a node ten times its packets."""
    steps, ticks = 0, list[Callable[[], None]]()
    real, later = driver.engine.step, asyncio.get_running_loop().call_later

    def counted() -> int:
        nonlocal steps
        steps += 1
        return real()

    def held(_delay_s: float, tick: Callable[[], None]) -> asyncio.TimerHandle:
        ticks.append(tick)
        return later(3600, tick)

    monkeypatch.setattr(driver.engine, "step", counted)
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", held)  # no tick comes while rounds begin
    machines = [PingRound("t", "127.0.0.1", PingOptions(count=1)) for _ in range(3 * FEW_RUNS)]
    waiting = [asyncio.create_task(driver.measure(machine)) for machine in machines[: 2 * FEW_RUNS]]
    for _ in range(2):
        await asyncio.sleep(0)
    before = steps
    for machine in machines[2 * FEW_RUNS :]:
        waiting.append(asyncio.create_task(driver.measure(machine)))
        for _ in range(2):
            await asyncio.sleep(0)
    assert steps == before  # they wait for the tick that is set already
    monkeypatch.undo()
    ticks[-1]()
    await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert all(machine.done for machine in machines)


def test_an_address_is_judged_once_by_a_policy() -> None:
    policy = NodePolicy.of(open_networks=["10.1.0.0/16"], opted_out=["10.1.2.0/24"])
    for _ in range(2):
        assert policy.refuses("10.1.3.3") is None
        assert policy.refuses("10.1.2.3") == "among those who asked not to be measured"
        assert policy.refuses("10.9.0.1") is not None
    assert NodePolicy.of().refuses("10.1.3.3") is not None  # another assignment judges for itself
