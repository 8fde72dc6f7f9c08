"""IPv6 against IPv4: who wins, by the kernel's clock, and both figures."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

from nettrace.measure.streams.race import Race, race
from nettrace.model.measurement import Grade, Outcome, Reason


@pytest.fixture
def raced(run: Callable, has_ipv6: bool) -> Callable[..., Race]:
    """Race the addresses and close the winner; tells also where the winner's stream led."""
    if not has_ipv6:
        pytest.skip("no IPv6 on loopback")

    def raced(addresses: list[str], port: int, **options: Any) -> Race:
        async def go() -> Race:
            result, stream = await race(addresses, port, **options)
            assert (stream.address if stream else None) == result.winner
            if stream:
                stream.close()
            return result

        return run(go())

    return raced


def quiet(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.fixture
def both_ports(serve: Callable) -> int:
    """One port that is served on both families: the first that is free on both."""
    while True:
        six = serve(quiet, host="::1")
        with contextlib.suppress(OSError):  # somebody has this number on the other family
            return serve(quiet, host="127.0.0.1", port=six.port).port


def test_ipv6_has_the_head_start_and_both_are_measured(raced: Callable, both_ports: int) -> None:
    result = raced(["127.0.0.1", "::1"], both_ports)
    assert result.winner == "::1"
    assert [attempt.address for attempt in result.attempts] == ["::1", "127.0.0.1"]
    for attempt in result.attempts:
        assert attempt.outcome is Outcome.MEASURED
        assert attempt.connect is not None
        assert attempt.connect.grade is Grade.KERNEL
    assert [attempt.head_start_ns for attempt in result.attempts] == [0, 250_000_000]


def test_a_refusal_starts_the_other_family_at_once(raced: Callable, serve: Callable) -> None:
    server = serve(quiet)
    result = raced(["::1", "127.0.0.1"], server.port, delay_s=20.0)
    assert result.winner == "127.0.0.1"
    assert (result.attempts[0].outcome, result.attempts[0].reason) == (Outcome.FAILED, Reason.REFUSED)
    assert result.attempts[1].head_start_ns < 20_000_000_000


def test_a_silent_ipv6_loses_to_ipv4_after_its_head_start(
    raced: Callable, serve: Callable, deaf_port: int
) -> None:
    """IPv4 is the deaf one's port on another loopback address; IPv6 stands in as an address nobody answers."""
    server = serve(quiet, host="127.0.0.2", port=deaf_port)
    result = raced(["::ffff:127.0.0.1", "127.0.0.2"], server.port, delay_s=0.05, timeout_s=0.5)
    assert result.winner == "127.0.0.2"
    assert result.attempts[0].reason is Reason.TIMEOUT
    assert result.attempts[1].head_start_ns == 50_000_000


def test_the_loser_is_left_alone_when_only_the_winner_matters(raced: Callable, both_ports: int) -> None:
    result = raced(["::1", "127.0.0.1"], both_ports, both=False, delay_s=20.0)
    assert result.winner == "::1"
    assert (result.attempts[1].outcome, result.attempts[1].reason) == (Outcome.NOT_MEASURED, Reason.ABORTED)


def test_nobody_wins(raced: Callable, closed_port: int) -> None:
    result = raced(["::1", "127.0.0.1"], closed_port)
    assert result.winner is None
    assert {attempt.reason for attempt in result.attempts} == {Reason.REFUSED}


def test_one_family_races_alone(raced: Callable, both_ports: int) -> None:
    result = raced(["127.0.0.1", "127.0.0.2"], both_ports)
    assert (result.winner, len(result.attempts)) == ("127.0.0.1", 1)


def test_the_kernel_s_clock_decides_not_who_woke_first(raced: Callable, both_ports: int) -> None:
    """Without a head start both connect at once; the smaller connect time has won, whatever the loop did."""
    result = raced(["::1", "127.0.0.1"], both_ports, delay_s=0.0)
    by_kernel = {
        attempt.address: attempt.connect.duration_ns for attempt in result.attempts if attempt.connect
    }
    assert by_kernel[result.winner or ""] == min(by_kernel.values())


def test_cancelling_closes_everything(run: Callable, deaf_port: int) -> None:
    async def cancelled() -> int:
        running = asyncio.create_task(race(["127.0.0.1"], deaf_port, timeout_s=20))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return len(asyncio.all_tasks())

    assert run(cancelled()) <= 2
