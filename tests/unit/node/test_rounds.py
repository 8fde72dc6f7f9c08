"""Single rounds on loopback: what permission, policy, names and answers make of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from nettrace.model.measurement import Method, Outcome, Ping, Reason
from nettrace.model.target import Endpoint, Role, RoundMethod, Series
from nettrace.node.driver import Driver
from nettrace.node.policy import NodePolicy
from nettrace.node.rounds import Done, Job, Rounds
from nettrace.node.runner import SIDE_BY_SIDE, Runner
from nettrace.node.schedule import Due, Moment
from nettrace.node.spool import Entry
from nettrace.wire.frames import Assignment, Record, Task

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
