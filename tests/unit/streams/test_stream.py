"""One kernel-clocked TCP connection: what its marks and arrivals stand for, and how sure they are."""

import asyncio
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest

from nettrace.measure.kernel import stamps
from nettrace.measure.kernel.clock import Reading, read_clocks
from nettrace.measure.kernel.stamps import Interval, drift_ns
from nettrace.measure.kernel.tcp_info import TcpInfo, parse_tcp_info
from nettrace.measure.streams.deadline import Broken, Deadline, LagMeter, broken_by
from nettrace.measure.streams.stream import Arrival, connect
from nettrace.measure.streams.tls import Records
from nettrace.model.measurement import Grade, Outcome, Reason

MS = 1_000_000
PLANTED_S = 0.15
PLANTED_NS = 150 * MS


def tcp_info_bytes(length: int = 232) -> bytes:
    data = bytearray(length)
    for offset, kind, value in (
        (68, "=I", 12_345), (84, "=I", 1448), (100, "=I", 2), (128, "=Q", 7), (140, "=I", 9), (152, "=I", 5),
    ):  # fmt: skip
        if offset + struct.calcsize(kind) <= length:
            struct.pack_into(kind, data, offset, value)
    return bytes(data)


def test_tcp_info_is_read_by_offsets() -> None:
    assert parse_tcp_info(tcp_info_bytes()) == TcpInfo(12_345, 1448, 2, 7, 9, 5)


def test_an_old_kernel_s_tcp_info_has_only_the_old_fields() -> None:
    assert parse_tcp_info(tcp_info_bytes(104)) == TcpInfo(12_345, 1448, 2, None, None, None)


@pytest.mark.parametrize("length", [0, 1, 68, 103])
def test_tcp_info_that_is_too_short_is_none(length: int) -> None:
    assert parse_tcp_info(bytes(length)) is None


def reading(ns: int, realtime_ahead: int = 0, raw_ahead: int = 0) -> Reading:
    return Reading(monotonic=ns, realtime=ns + realtime_ahead, raw=ns + raw_ahead)


def test_two_kernel_stamps_make_grade_k() -> None:
    stage = Interval(reading(0), 10, left_ns=5, arrived_ns=5 + MS, read=reading(2 * MS)).stage()
    assert (stage.duration_ns, stage.grade) == (MS, Grade.KERNEL)
    assert stage.error_ns < 100_000


def test_two_stamps_of_a_departure_put_it_between_them() -> None:
    told = Interval(
        reading(0), MS, left_ns=8_000, arrived_ns=MS, read=reading(2 * MS), queued_ns=2_000
    ).stage()
    assert (told.duration_ns, told.grade) == (MS - 5_000, Grade.KERNEL)
    alone = Interval(reading(0), MS, left_ns=8_000, arrived_ns=MS, read=reading(2 * MS)).stage()
    assert 3_000 <= told.error_ns < alone.error_ns
    queued = Interval(reading(0), 2 * MS, MS, arrived_ns=2 * MS, read=reading(2 * MS), queued_ns=0).stage()
    assert queued.duration_ns == MS


def test_without_a_departure_stamp_the_system_call_brackets_it() -> None:
    stage = Interval(reading(0), MS, left_ns=None, arrived_ns=5 * MS, read=reading(6 * MS)).stage()
    assert stage.grade is Grade.RECEPTION
    for left in (0, MS):
        assert abs(5 * MS - left - stage.duration_ns) <= stage.error_ns


def test_without_an_arrival_stamp_the_bar_is_how_long_nobody_listened() -> None:
    watched = Interval(reading(0), 0, 0, None, reading(50 * MS), deaf_ns=7 * MS).stage()
    assert (watched.duration_ns, watched.error_ns, watched.grade) == (50 * MS, 7 * MS, Grade.USER)
    unwatched = Interval(reading(0), 0, 0, None, reading(50 * MS)).stage()
    assert unwatched.error_ns == 50 * MS


def test_a_clock_stepped_by_an_hour_spoils_the_stamps_not_the_figure() -> None:
    hour = 3600 * 10**9
    read = reading(10 * MS, realtime_ahead=hour)
    stage = Interval(reading(0), 0, left_ns=0, arrived_ns=hour + 9 * MS, read=read).stage()
    assert (stage.duration_ns, stage.error_ns, stage.grade) == (10 * MS, 10 * MS, Grade.USER)


def test_slew_goes_into_the_bar() -> None:
    steady = Interval(reading(0), 0, 0, 100 * MS, reading(100 * MS)).stage()
    slewed = Interval(reading(0), 0, 0, 100 * MS, reading(100 * MS, raw_ahead=40_000)).stage()
    assert slewed.error_ns - steady.error_ns == 40_000


def test_an_ordinary_reading_is_no_step() -> None:
    first = read_clocks()
    assert drift_ns(first, read_clocks()) is not None
    assert drift_ns(first, first._replace(realtime=first.realtime + MS)) is None


def test_stamps_are_found_among_other_control_messages() -> None:
    stamp = struct.pack("@6l", 5, 7, 0, 0, 0, 0)
    assert (
        stamps.received_at([(0, 2, b"x"), (socket.SOL_SOCKET, stamps.SO_TIMESTAMPING, stamp)])
        == 5_000_000_007
    )
    assert stamps.received_at([(socket.SOL_SOCKET, stamps.SO_TIMESTAMPING, stamp[:8])]) is None
    assert stamps.received_at([]) is None


def test_connect_is_timed_by_the_kernel(run: Callable, serve: Callable) -> None:
    server = serve(lambda connection: connection.recv(1))

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        try:
            assert stream.connect.grade is Grade.KERNEL
            assert stream.connect.duration_ns > 0
            assert stream.retransmitted == 0
        finally:
            stream.close()

    run(timed())


def echo_after(delay_s: float, answer: bytes, *, pieces: int = 1) -> Callable[[socket.socket], None]:
    def handler(connection: socket.socket) -> None:
        while connection.recv(65_536):
            time.sleep(delay_s)
            for _ in range(pieces):
                connection.sendall(answer)

    return handler


def test_a_mark_to_an_arrival_is_the_peer_s_delay(run: Callable, serve: Callable) -> None:
    server = serve(echo_after(PLANTED_S, b"answer"))

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        try:
            mark = await stream.send(b"question", acknowledgement=True)
            arrival = await stream.receive()
            assert arrival.data == b"answer"
            assert arrival.exact
            assert stream.seen_leaving(mark)
            stage = stream.until_first_byte(mark, arrival, only_answer=True)
            assert stage == stream.until_last_byte(mark, arrival)
            assert stage.grade is Grade.KERNEL
            assert stage.duration_ns >= PLANTED_NS
        finally:
            stream.close()

    run(timed())


def test_marks_are_told_apart_by_their_bytes(run: Callable, serve: Callable) -> None:
    server = serve(echo_after(0, b"x"))

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        try:
            first = await stream.send(b"a" * 10)
            await stream.receive()
            await asyncio.sleep(0.05)
            second = await stream.send(b"b" * 20)
            await stream.receive()
            assert (first.key, second.key) == (9, 29)
            assert stream.left_at_ns(second) - stream.left_at_ns(first) >= 50 * MS
        finally:
            stream.close()

    run(timed())


def test_a_busy_loop_does_not_reach_into_the_figure(run: Callable, serve: Callable) -> None:
    """The program sleeps through the arrival for 300 ms; the stamps know nothing of it."""
    server = serve(echo_after(0.02, b"answer"))

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        try:
            mark = await stream.send(b"question", acknowledgement=True)
            time.sleep(0.3)  # noqa: ASYNC251 - this very stall is the test
            arrival = await stream.receive()
            assert stream.until_last_byte(mark, arrival).duration_ns < 250 * MS
            assert stream.deadline.stalled
        finally:
            stream.close()

    run(timed())


def test_a_burst_read_at_once_has_its_length_in_the_bar(run: Callable, serve: Callable) -> None:
    """Two segments 100 ms apart are read together: the first came somewhere in between, and the bar says so."""
    together = threading.Event()

    def handler(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"first")
        time.sleep(0.1)
        connection.sendall(b"second")
        together.set()
        connection.recv(100)

    server = serve(handler)

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        try:
            mark = await stream.send(b"question", acknowledgement=True)
            await asyncio.get_running_loop().run_in_executor(None, together.wait)
            arrival = await stream.receive()
            assert arrival.data == b"firstsecond"
            assert not arrival.exact
            unsure = stream.until_first_byte(mark, arrival, only_answer=False)
            assert unsure.duration_ns >= 100 * MS
            assert unsure.duration_ns - unsure.error_ns <= 50 * MS
        finally:
            stream.close()

    run(timed())


def test_an_answer_that_carried_the_ack_has_its_first_byte_known(run: Callable, serve: Callable) -> None:
    """Without TLS, when no bare ACK came, the ACK of the request came with the answer's first segment."""

    def handler(connection: socket.socket) -> None:
        for _ in range(20):  # ping-pong first, so that the peer's kernel stops sending bare ACKs at once
            connection.recv(100)
            connection.sendall(b"x")
        connection.recv(100)
        connection.sendall(b"first")
        time.sleep(0.1)
        connection.sendall(b"second")
        together.set()
        connection.recv(100)

    together = threading.Event()
    server = serve(handler)

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        try:
            for _ in range(20):
                await stream.send(b"q")
                await stream.receive()
            mark = await stream.send(b"question", acknowledgement=True)
            await asyncio.get_running_loop().run_in_executor(None, together.wait)
            arrival = await stream.receive()
            stage = stream.until_first_byte(mark, arrival, only_answer=True)
            assert stage.duration_ns - stage.error_ns < 50 * MS
        finally:
            stream.close()

    run(timed())


def arrival(data: bytes) -> Arrival:
    return Arrival(data, 0, 0, True, 0, reading(0), True, None)


def tls_record(kind: int, body: bytes) -> bytes:
    return bytes((kind, 3, 3)) + len(body).to_bytes(2) + body


def test_tls_records_are_cut_wherever_the_reads_were() -> None:
    first, second = tls_record(22, b"a" * 300), tls_record(23, b"b" * 20)
    wire = first + second
    for cut in range(len(wire) + 1):
        records = Records()
        one, two = arrival(wire[:cut]), arrival(wire[cut:])
        found = [*records.complete(one), *records.complete(two)]
        assert [record.data for record in found] == [first, second]
        assert [record.began for record in found] == [one if cut else two, one if cut > len(first) else two]
        assert found[1].leading == (cut == len(first))
        assert records.unfinished_bytes == 0


def test_an_unfinished_tls_record_tells_its_length() -> None:
    records = Records()
    assert list(records.complete(arrival(tls_record(23, b"x" * 9000)[:100]))) == []
    assert records.unfinished_bytes == 9005


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n", b"\x16\x03\x03\xff\xff", b"\x16\x02\x00\x00\x01x"]
)
def test_what_is_no_tls_is_passed_on_as_it_comes(data: bytes) -> None:
    records = Records()
    assert b"".join(record.data for record in records.complete(arrival(data))) == data
    assert b"".join(record.data for record in records.complete(arrival(b"more"))) == b"more"


def test_the_user_clock_says_so_and_states_its_bar(run: Callable, serve: Callable) -> None:
    server = serve(echo_after(PLANTED_S, b"answer"))

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5), kernel_stamps=False)
        try:
            assert stream.connect.grade is Grade.USER
            mark = await stream.send(b"question", acknowledgement=True)
            arrival = await stream.receive()
            stage = stream.until_first_byte(mark, arrival, only_answer=True)
            assert (stage.grade, arrival.exact) == (Grade.USER, False)
            assert stage.duration_ns >= PLANTED_NS
            assert 5 * MS <= stage.error_ns < stage.duration_ns
        finally:
            stream.close()

    run(timed())


def test_the_lag_meter_knows_the_longest_deaf_spell(run: Callable) -> None:
    async def timed() -> None:
        meter = LagMeter()
        await asyncio.sleep(0.02)
        time.sleep(0.2)  # noqa: ASYNC251 - this very stall is the test
        assert meter.bar_ns >= 200 * MS  # also before the overdue beat has run
        await asyncio.sleep(0.02)
        assert meter.bar_ns >= 200 * MS
        meter.stop()

    run(timed())


def test_waiting_wakes_a_few_times_not_thousands(run: Callable, serve: Callable) -> None:
    """Stamps in the error queue make the socket ready; left there they would spin the loop."""
    server = serve(echo_after(PLANTED_S, b"answer"))

    class Counting(Deadline):
        waits = 0

        async def readable(self, sock: socket.socket, within_s: float | None = None) -> bool:
            self.waits += 1
            return await super().readable(sock, within_s)

    async def timed() -> int:
        deadline = Counting(5)
        stream = await connect("127.0.0.1", server.port, deadline)
        try:
            await stream.send(b"question", acknowledgement=True)
            await stream.receive()
        finally:
            stream.close()
        return deadline.waits

    assert run(timed()) <= 4


def test_a_half_open_peer_ends_in_a_timeout(run: Callable, serve: Callable) -> None:
    server = serve(lambda connection: [connection.recv(1) for _ in range(100)])

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(0.1))
        try:
            await stream.send(b"question")
            await stream.receive()
        finally:
            stream.close()

    with pytest.raises(Broken) as caught:
        run(timed())
    assert (caught.value.reason, caught.value.outcome) == (Reason.TIMEOUT, Outcome.FAILED)


def test_a_peer_that_does_not_read_ends_in_a_timeout(run: Callable, serve: Callable) -> None:
    hold = threading.Event()
    server = serve(lambda _: hold.wait(10))

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(0.2))
        try:
            await stream.send(bytes(50_000_000))
        finally:
            stream.close()

    with pytest.raises(Broken, match="stopped reading"):
        run(timed())
    hold.set()


def test_a_reset_is_told_as_one(run: Callable, serve: Callable) -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server = serve(reset)

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        try:
            await stream.send(b"q")
            await stream.receive()
        finally:
            stream.close()

    with pytest.raises(Broken, match="reset"):
        run(timed())


def test_time_this_host_slept_through_is_not_charged_to_the_target(run: Callable, serve: Callable) -> None:
    """The loop falls asleep just before the deadline and the answer comes meanwhile: it counts."""
    asleep, answered = threading.Event(), threading.Event()

    def handler(connection: socket.socket) -> None:
        connection.recv(100)
        asleep.wait(10)
        connection.sendall(b"answer")
        answered.set()
        connection.recv(100)

    server = serve(handler)

    def sleep() -> None:
        asleep.set()
        answered.wait(10)
        time.sleep(0.1)

    async def timed() -> bytes:
        deadline = Deadline(0.1)
        stream = await connect("127.0.0.1", server.port, deadline)
        try:
            await stream.send(b"question")
            asyncio.get_running_loop().call_later(deadline.left_s - 1e-6, sleep)
            return (await stream.receive()).data
        finally:
            stream.close()

    assert run(timed()) == b"answer"


def test_cancelling_a_wait_leaves_nothing_registered(run: Callable, serve: Callable) -> None:
    server = serve(lambda connection: [connection.recv(1) for _ in range(100)])

    async def timed() -> None:
        stream = await connect("127.0.0.1", server.port, Deadline(5))
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not asyncio.get_running_loop().remove_reader(stream._socket)
        stream.close()

    run(timed())


@pytest.mark.parametrize(
    ("code", "local", "outcome", "reason"),
    [
        (errno.ECONNREFUSED, False, Outcome.FAILED, Reason.REFUSED),
        (errno.EHOSTUNREACH, False, Outcome.FAILED, Reason.UNREACHABLE),
        (errno.ETIMEDOUT, False, Outcome.FAILED, Reason.TIMEOUT),
        (errno.ECONNREFUSED, True, Outcome.FAILED, Reason.REFUSED),
        (errno.ENETUNREACH, True, Outcome.NOT_MEASURED, Reason.UNREACHABLE),
        (errno.EPERM, True, Outcome.NOT_MEASURED, Reason.NOT_PERMITTED),
        (errno.EMFILE, True, Outcome.NOT_MEASURED, Reason.ABORTED),
    ],
)
def test_error_numbers_say_who_is_to_blame(code: int, local: bool, outcome: Outcome, reason: Reason) -> None:
    broken = broken_by(code, local=local)
    assert (broken.outcome, broken.reason) == (outcome, reason)
    assert broken.detail
