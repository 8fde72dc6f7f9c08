"""The way to the writer: typed, in order, several calls at once, and honest about what went wrong."""

import asyncio
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import pytest
from tests.unit.hub.conftest import listening as listener_at
from tests.unit.hub.conftest import running
from tests.unit.hub.reports import NOW, record, report
from tests.unit.hub.test_work import request as asked

from nettrace.errors import NetTraceError, NotAllowed, StoreBusy, StoreFull, Unreachable
from nettrace.hub.link import HubWriter, Request, WriterLink, blocking_link, frame, methods
from nettrace.hub.recorder import Recorder
from nettrace.hub.serving import WriterServer
from nettrace.hub.writer import listen
from nettrace.model.vantage import VantageState
from nettrace.runtime.logs import Log
from nettrace.store.port import StoreWriter
from nettrace.store.rows import MeasurementState

PATIENCE_S = 60
"""No test waits for this long: it only turns a hang into a failure."""


def far_deadline(name, **options):
    return asked(name, deadline_s=10**9, **options)


def test_every_method_of_the_port_travels():
    port = {name for name, value in vars(StoreWriter).items() if callable(value) and name[0] != "_"}
    assert port - {"close"} <= methods().keys()


async def test_a_report_is_answered_with_what_is_on_disk(link, store):
    taken = await link.call(HubWriter.take, report("node_nyc", record(1), record(2)))
    assert taken.upto_seq == 2
    assert store.entries["node_nyc"] == [record(1), record(2)]
    behind_a_hole = await link.call(HubWriter.take, report("node_nyc", record(7)))
    assert behind_a_hole.upto_seq == 2


async def test_reports_that_wait_are_committed_together_and_each_gets_its_own_answer(link, store):
    reports = [
        report(f"node_{code}", *map(record, range(1, count))) for code, count in (("nyc", 4), ("lon", 6))
    ]
    many = reports + [report("node_sfo", record(1))] * 60
    taken = await asyncio.gather(*(link.call(HubWriter.take, each) for each in many))
    assert [each.upto_seq for each in taken] == [3, 5] + [1] * 60
    commits = [line for line in store.journal if line[0] == "accept_all"]
    assert len(commits) < len(many)
    assert sum(len(nodes) for _, nodes in commits) == len(many)


async def test_strangers_and_revoked_nodes_get_nothing_in(link, store):
    with pytest.raises(NotAllowed, match="enrolled"):
        await link.call(HubWriter.take, report("node_mars", record(1)))
    await link.call(HubWriter.set_state, "node_lon", VantageState.REVOKED, NOW)
    results = await asyncio.gather(
        link.call(HubWriter.take, report("node_lon", record(1))),
        link.call(HubWriter.take, report("node_nyc", record(1))),
        return_exceptions=True,
    )
    assert isinstance(results[0], NotAllowed) and results[1].upto_seq == 1
    assert "node_lon" not in store.entries


async def test_a_full_disk_is_told_as_such_to_everybody_who_waits(link, store):
    store.failing = StoreFull("no room", "make some")
    with pytest.raises(StoreFull, match=r"no room\. make some") as met:
        await link.call(HubWriter.take, report("node_nyc", record(1)))
    assert met.value.status == 507


async def test_a_full_queue_refuses_reports_at_once_and_takes_everything_else(link, monkeypatch):
    monkeypatch.setattr("nettrace.hub.serving.MOST_WAITING_BYTES", 10)
    with pytest.raises(StoreBusy, match="more reports than"):
        await link.call(HubWriter.take, report("node_nyc", record(1)))
    await link.call(HubWriter.put_setting, "x", b"1", NOW)
    assert (await link.call(HubWriter.status)).refused == 1


async def test_one_bad_report_does_not_take_the_others_with_it(link, store):
    store.poison = "bad"
    good, bad = report("node_nyc", record(1)), report("node_lon", record(1), epoch="bad")
    results = await asyncio.gather(
        *(link.call(HubWriter.take, each) for each in [good, bad] * 10), return_exceptions=True
    )
    assert [getattr(result, "upto_seq", None) for result in results[::2]] == [1] * 10
    assert all(isinstance(result, NetTraceError) for result in results[1::2])


async def test_a_fault_in_the_writer_is_an_error_to_the_caller_and_not_its_end(link, store, capfd):
    store.put_token = lambda token: 1 / 0
    with pytest.raises(NetTraceError, match="ZeroDivisionError"):
        from nettrace.store.port import EnrolToken

        await link.call(
            HubWriter.put_token, EnrolToken(id="t", hash=b"", region="x", created_at=0, expires_at=0)
        )
    assert (await link.call(HubWriter.status)).waiting == 0
    assert "ZeroDivisionError" in capfd.readouterr().err


async def test_a_vantage_that_waits_for_work_gets_it_as_soon_as_somebody_asks(link, store):
    waiting = asyncio.create_task(link.call(HubWriter.claim, "nyc", 30.0))
    other = asyncio.create_task(link.call(HubWriter.claim, "lon", 0.2))
    await asyncio.sleep(0)
    await link.call(HubWriter.put_request, far_deadline("a"))
    async with asyncio.timeout(PATIENCE_S):
        assert [work.request for work in await waiting] == ["a"]
        assert await other == ()
    assert store.kept_requests["a"].state is MeasurementState.RUNNING


async def listening(link, number):
    """Returns when so many calls wait for work at the writer."""
    async with asyncio.timeout(PATIENCE_S):
        while (await link.call(HubWriter.status)).listening != number:
            pass


async def test_work_is_not_handed_to_somebody_who_has_gone(link, store, tmp_path):
    other = WriterLink(tmp_path / "writer.sock")
    gone = asyncio.create_task(other.call(HubWriter.claim, "nyc", 30.0))
    impatient = asyncio.create_task(link.call(HubWriter.claim, "nyc", 30.0))
    await listening(link, 2)
    impatient.cancel()
    await other.close()
    with pytest.raises(Unreachable):
        await gone
    await listening(link, 0)
    await link.call(HubWriter.put_request, far_deadline("a"))
    assert [work.request for work in await link.call(HubWriter.claim, "nyc", 5.0)] == ["a"]


async def test_the_last_wanted_answer_finishes_a_request(link, store):
    await link.call(HubWriter.put_request, far_deadline("a", wanted=("nyc", "lon")))
    await link.call(HubWriter.take, report("node_nyc", record(1, request="a")))
    assert store.kept_requests["a"].answered == ("nyc",)
    await link.call(HubWriter.take, report("node_lon", record(1, request="a")))
    assert store.kept_requests["a"].state is MeasurementState.FINISHED


async def test_a_request_nobody_answers_expires(link, store):
    await link.call(HubWriter.put_request, asked("a", deadline_s=-(10**9)))
    async with asyncio.timeout(PATIENCE_S):
        while store.kept_requests["a"].state is not MeasurementState.EXPIRED:
            await link.call(HubWriter.claim, "nyc", 0.05)


async def test_a_writer_started_again_goes_on_with_open_requests_and_counts_answers_it_had_not(
    store, tmp_path
):
    from nettrace.model.measurement import Outcome
    from nettrace.model.target import RoundMethod, Series
    from nettrace.store.rows import Round

    path = tmp_path / "writer.sock"
    async with running(store, path) as link:
        await link.call(HubWriter.put_request, far_deadline("a", wanted=("nyc", "lon")))
    series = Series("nyc", "t.example", "site", RoundMethod.TCP)
    store.answers["a"] = [Round(id="ms_1", series=series, due=NOW, at=NOW, outcome=Outcome.MEASURED)]
    async with running(store, path.with_name("again.sock")) as link:
        assert store.kept_requests["a"].answered == ("nyc",)
        assert [work.request for work in await link.call(HubWriter.claim, "lon")] == ["a"]
        assert await link.call(HubWriter.claim, "nyc") == ()


async def test_what_is_in_the_queue_when_the_writer_ends_is_still_stored_and_answered(store, tmp_path):
    path = tmp_path / "writer.sock"
    async with running(store, path) as link:
        calls = [
            asyncio.create_task(link.call(HubWriter.take, report("node_nyc", record(seq))))
            for seq in range(1, 40)
        ]
        await calls[0]
    results = await asyncio.gather(*calls, return_exceptions=True)
    acknowledged = max(result.upto_seq for result in results if not isinstance(result, Exception))
    assert all(isinstance(result, Unreachable) for result in results if isinstance(result, Exception))
    assert len(store.entries["node_nyc"]) >= acknowledged
    assert store.upto["node_nyc", "e1"] >= acknowledged


async def test_who_connects_as_the_writer_ends_is_not_left_waiting(store, tmp_path, monkeypatch):
    """The kernel had accepted it before the end, and it is talked to behind it."""
    ended, late = asyncio.Event(), []
    serve = asyncio.start_unix_server

    def start(talk, **options):
        late.append(talk)
        return serve(talk, **options)

    monkeypatch.setattr(asyncio, "start_unix_server", start)
    ended.set()
    with ThreadPoolExecutor(1) as thread:
        server = WriterServer(Recorder(store, store, time.time_ns), thread, Log("writer", "text"))
        await server.serve(listener_at(tmp_path / "writer.sock"), ended)
        here, there = socket.socketpair()
        with there:
            there.sendall(frame(Request(1, "known_nodes", msgspec.Raw(msgspec.msgpack.encode([])))))
            async with asyncio.timeout(10):
                await late[0](*await asyncio.open_unix_connection(sock=here))
            there.setblocking(False)
            async with asyncio.timeout(10):
                with suppress(ConnectionResetError):
                    assert await asyncio.get_running_loop().sock_recv(there, 1) == b""


async def test_a_socket_whose_path_is_longer_than_the_kernel_takes(store, tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    async with running(store, folder / "writer.sock") as link:
        assert (await link.call(HubWriter.take, report("node_nyc", record(1)))).upto_seq == 1


async def test_a_command_line_uses_the_writer_as_if_it_were_here(link, store, tmp_path):
    def command():
        writer = blocking_link(tmp_path / "writer.sock")
        writer.put_setting("x", b"1", NOW)
        with pytest.raises(NotAllowed):
            writer.take(report("node_mars"))
        status = writer.status()
        writer.close()
        return status

    await link.call(HubWriter.status)
    assert (await asyncio.to_thread(command)).pid > 0
    assert store.kept_settings == {"x": b"1"}


async def test_a_link_finds_a_writer_that_was_started_again(store, tmp_path, monkeypatch):
    monkeypatch.setattr("nettrace.hub.link._CONNECT_S", 0.05)
    path = tmp_path / "writer.sock"
    async with running(store, path):
        link = WriterLink(path)
        await link.call(HubWriter.status)
    with pytest.raises(Unreachable):
        await link.call(HubWriter.status)
    path.unlink()
    async with running(store, path):
        assert (await link.call(HubWriter.take, report("node_nyc", record(1)))).upto_seq == 1
        await link.close()


async def test_those_who_wait_for_a_writer_wait_at_the_same_time(tmp_path, monkeypatch):
    """One behind the other, the last of many calls gave up many times later than its node had: nobody got an answer."""
    tries = 0

    def nobody(path):
        nonlocal tries
        tries += 1
        raise Unreachable("nobody there")

    monkeypatch.setattr("nettrace.hub.link.dial", nobody)
    monkeypatch.setattr("nettrace.hub.link._CONNECT_S", 0.1)
    link = WriterLink(tmp_path / "writer.sock")
    calls = [link.call(HubWriter.status) for _ in range(10)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, Unreachable) for each in results)
    assert tries < 2 * len(calls)  # the first tried as long as there was time, the others once


async def test_nobody_there_is_said_in_words(tmp_path):
    with pytest.raises(Unreachable, match="nettrace up"):
        blocking_link(tmp_path / "nobody.sock")


def test_the_writers_socket_is_its_owners_alone_and_takes_a_dead_ones_place(tmp_path):
    path = tmp_path / "writer.sock"
    for _ in range(2):
        with listen(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
