"""Round trips by TCP handshake."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable

import pytest

from nettrace.errors import Invalid
from nettrace.measure.streams.tcp import TcpTarget, connect_ping, connect_pings
from nettrace.model.measurement import Clock, Grade, Method, Outcome, Ping, Reason, SampleState


def quiet(connection: socket.socket) -> None:
    connection.recv(1)


def test_a_round_is_a_ping_of_method_tcp(run: Callable, serve: Callable) -> None:
    server = serve(quiet)
    ping: Ping = run(connect_ping("api.example", "127.0.0.1", server.port, count=3, interval_s=0.01))
    assert (ping.target, ping.address, ping.port, ping.method) == (
        "api.example",
        "127.0.0.1",
        server.port,
        Method.TCP,
    )
    assert (ping.outcome, ping.reason, ping.clock) == (Outcome.MEASURED, None, Clock.KERNEL)
    assert [sample.state for sample in ping.samples] == [SampleState.ANSWERED] * 3
    assert {sample.grade for sample in ping.samples} == {Grade.KERNEL}
    assert all(sample.rtt_ns and sample.error_ns for sample in ping.samples)
    assert [sample.sent_at for sample in ping.samples] == sorted(
        sample.sent_at or 0 for sample in ping.samples
    )


def test_ipv6(run: Callable, serve: Callable, has_ipv6: bool) -> None:
    if not has_ipv6:
        pytest.skip("no IPv6 on loopback")
    server = serve(quiet, host="::1")
    ping = run(connect_ping("::1", "::1", server.port, count=1))
    assert (ping.outcome, ping.clock) == (Outcome.MEASURED, Clock.KERNEL)


def test_the_connection_ends_with_a_fin_not_a_reset(run: Callable, serve: Callable) -> None:
    endings: list[bytes] = []
    ended = threading.Event()

    def handler(connection: socket.socket) -> None:
        endings.append(connection.recv(1))  # a reset would raise instead
        ended.set()

    server = serve(handler)
    run(connect_ping("x", "127.0.0.1", server.port, count=1))
    assert ended.wait(10)
    assert endings == [b""]


def test_a_refusal_proves_the_host_is_there(run: Callable, closed_port: int) -> None:
    ping = run(connect_ping("x", "127.0.0.1", closed_port, count=2, interval_s=0.01))
    assert (ping.outcome, ping.reason, ping.clock) == (Outcome.FAILED, Reason.REFUSED, Clock.USER)
    for sample in ping.samples:
        assert (sample.state, sample.grade, sample.reason) == (SampleState.ANSWERED, Grade.USER, "refused")
        assert sample.rtt_ns
        assert sample.error_ns


def test_silence_is_a_loss_and_a_timeout(run: Callable, deaf_port: int) -> None:
    ping = run(connect_ping("x", "127.0.0.1", deaf_port, count=2, interval_s=0.01, timeout_s=0.2))
    assert (ping.outcome, ping.reason, ping.clock) == (Outcome.FAILED, Reason.TIMEOUT, None)
    assert [sample.state for sample in ping.samples] == [SampleState.LOST] * 2
    assert [sample.rtt_ns for sample in ping.samples] == [None, None]


def test_a_request_that_had_to_be_sent_again_is_a_lost_sample(run: Callable) -> None:
    """The queue is full when the SYN comes and free when the kernel sends it again a second later."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filler = stack.enter_context(socket.socket())
        filler.connect(listener.getsockname())

        async def freed_late() -> Ping:
            loop = asyncio.get_running_loop()
            loop.call_later(0.5, lambda: stack.enter_context(listener.accept()[0]))
            return await connect_ping("x", "127.0.0.1", listener.getsockname()[1], count=1, timeout_s=10)

        ping = run(freed_late())
    assert [sample.state for sample in ping.samples] == [SampleState.LOST]
    assert "answered only after" in (ping.samples[0].reason or "")
    assert (ping.outcome, ping.reason) == (Outcome.FAILED, Reason.TIMEOUT)


@pytest.mark.parametrize("answered_before", [False, True])
def test_a_refusal_of_a_repeated_request_is_a_loss_only_where_others_were_answered_at_once(
    run: Callable, answered_before: bool
) -> None:
    """The queue is full when the SYN comes, and nobody listens any more when the kernel sends it again."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if answered_before:
            listener.listen(5)

        async def refused_late() -> Ping:
            loop = asyncio.get_running_loop()

            def fill() -> None:
                listener.listen(0)
                for _ in range(3):
                    filler = stack.enter_context(socket.socket())
                    filler.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        filler.connect(("127.0.0.1", port))

            count = 1 + answered_before
            loop.call_later(0.1 if answered_before else 0, fill)
            loop.call_later(0.8, listener.close)
            if not answered_before:
                await asyncio.sleep(0.1)
            return await connect_ping("x", "127.0.0.1", port, count=count, interval_s=0.3, timeout_s=10)

        ping = run(refused_late())
    *_, last = ping.samples
    if answered_before:
        assert [sample.state for sample in ping.samples] == [SampleState.ANSWERED, SampleState.LOST]
    else:  # which of the two was refused nobody knows: the bar spans both
        assert last.state is SampleState.ANSWERED
        assert (last.rtt_ns or 0) - (last.error_ns or 0) < 200_000_000 < 900_000_000 < (last.rtt_ns or 0)
    assert ping.outcome is (Outcome.MEASURED if answered_before else Outcome.FAILED)


def test_no_route_is_about_this_host(run: Callable) -> None:
    ping = run(connect_ping("x", "255.255.255.255", 80, count=1, timeout_s=1))
    assert ping.outcome is Outcome.NOT_MEASURED
    assert ping.samples[0].state is SampleState.NOT_MEASURED


def test_without_kernel_stamps_the_grade_is_u(run: Callable, serve: Callable) -> None:
    server = serve(quiet)
    ping = run(connect_ping("x", "127.0.0.1", server.port, count=1, kernel_stamps=False))
    assert (ping.clock, ping.samples[0].grade) == (Clock.USER, Grade.USER)
    assert (ping.samples[0].error_ns or 0) > 0


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"timeout_s": 0.0}, {"interval_s": -1.0}, {"port": 0}, {"port": 65_536}]
)
def test_impossible_requests_are_refused(wrong: dict[str, int], run: Callable) -> None:
    with pytest.raises(Invalid):
        run(connect_ping("x", "127.0.0.1", **{"port": 80, **wrong}))


def test_many_targets_finish_by_themselves_and_a_dark_one_holds_nobody_up(
    run: Callable, serve: Callable, deaf_port: int
) -> None:
    server = serve(quiet)
    targets = [TcpTarget("dark", "127.0.0.1", deaf_port)]
    targets += [TcpTarget(f"t{number}", "127.0.0.1", server.port) for number in range(30)]

    async def all_of_them() -> list[Ping]:
        return [ping async for ping in connect_pings(targets, 2, 0.01, timeout_s=1.0, rate=1000)]

    pings = run(all_of_them())
    assert sorted(ping.target for ping in pings) == sorted(target.host for target in targets)
    assert pings[-1].target == "dark"
    assert {ping.outcome for ping in pings[:-1]} == {Outcome.MEASURED}


def test_the_rate_is_kept(run: Callable, serve: Callable) -> None:
    server = serve(quiet)
    targets = [TcpTarget(f"t{number}", "127.0.0.1", server.port) for number in range(20)]

    async def all_of_them() -> list[Ping]:
        return [ping async for ping in connect_pings(targets, 2, 0.0, rate=200)]

    started = sorted(sample.sent_at or 0 for ping in run(all_of_them()) for sample in ping.samples)
    # 40 handshakes at 200/s: the last one starts no earlier than 39/200 s after the first.
    assert started[-1] - started[0] >= 39 / 200 * 1e9 * 0.95


def test_leaving_early_leaves_nothing_running(run: Callable, serve: Callable, deaf_port: int) -> None:
    server = serve(quiet)
    targets = [TcpTarget("a", "127.0.0.1", server.port), TcpTarget("dark", "127.0.0.1", deaf_port)]

    async def first_only() -> int:
        rounds = connect_pings(targets, 1, 0.01, timeout_s=20.0, rate=1000)
        async with contextlib.aclosing(rounds):
            async for ping in rounds:
                assert ping.target == "a"
                break
        return len(asyncio.all_tasks())

    assert run(first_only()) <= 2
