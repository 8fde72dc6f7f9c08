"""A ping round step by step: pace, end, refusals."""

from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Reason, SampleState
from nettrace.model.path import Departure, Reply, ReplyKind

NOW = 1_767_225_600 * NS_PER_S
HOST, ROUTER = "198.18.0.1", "10.0.0.1"


def ask(machine: PingRound, now: int) -> list[int]:
    """Keys of the probes due now, each seen to leave at once."""
    keys = [probe.key for probe in machine.due(now, 8)]
    for key in keys:
        machine.departed(Departure(key, now, 0, Grade.KERNEL))
    return keys


def answer(
    machine: PingRound,
    key: int,
    at: int,
    kind: ReplyKind = ReplyKind.ECHO_REPLY,
    source: str = HOST,
    code: int = 0,
) -> None:
    machine.replied(Reply(key=key, kind=kind, source=source, received_at=at, code=code))


def states(ping: Ping) -> list[str]:
    return [str(sample.state) for sample in ping.samples]


def test_probes_leave_one_interval_apart_on_one_flow() -> None:
    machine = PingRound("h", HOST, PingOptions(count=3))

    assert [machine.wake_at(NOW), *(len(machine.due(NOW + tenth * NS_PER_S // 10, 8)) for tenth in range(25))] == [
        NOW, 1, *[0] * 9, 1, *[0] * 9, 1, *[0] * 4,
    ]  # fmt: skip


def test_a_late_tick_does_not_make_probes_bunch_up() -> None:
    machine = PingRound("h", HOST, PingOptions(count=3))
    ask(machine, NOW)

    assert ask(machine, NOW + 5 * NS_PER_S) == [1]
    assert ask(machine, NOW + 5 * NS_PER_S + 900 * NS_PER_MS) == []
    assert ask(machine, NOW + 6 * NS_PER_S) == [2]


def test_no_room_no_probe_and_nothing_is_skipped() -> None:
    machine = PingRound("h", HOST, PingOptions(count=1))

    assert machine.due(NOW, 0) == ()
    assert ask(machine, NOW + 5) == [0]


def test_the_round_ends_with_the_last_answer() -> None:
    machine = PingRound("h", HOST, PingOptions(count=1))
    ask(machine, NOW)
    answer(machine, 0, NOW + 7 * NS_PER_MS)
    machine.due(NOW + 10 * NS_PER_MS, 8)

    assert machine.done
    assert machine.wake_at(NOW + 10 * NS_PER_MS) is None
    ping = machine.result()
    assert (ping.outcome, ping.samples[0].rtt_ns, ping.at) == (Outcome.MEASURED, 7 * NS_PER_MS, NOW)


def test_without_answers_it_ends_with_the_last_timeout() -> None:
    machine = PingRound("h", HOST, PingOptions(count=1))
    ask(machine, NOW)

    assert machine.wake_at(NOW + 5) == NOW + NS_PER_S
    machine.due(NOW + NS_PER_S - 1, 8)
    assert not machine.done
    machine.due(NOW + NS_PER_S, 8)
    assert machine.done
    assert (machine.result().outcome, machine.result().reason) == (Outcome.FAILED, Reason.TIMEOUT)


def test_an_answer_that_comes_after_its_timeout_counts_while_the_round_is_open() -> None:
    machine = PingRound("h", HOST, PingOptions(count=3, timeout_ns=NS_PER_S // 2))
    ask(machine, NOW)
    ask(machine, NOW + NS_PER_S)
    answer(machine, 0, NOW + 1100 * NS_PER_MS)

    assert machine.result().samples[0].rtt_ns == 1100 * NS_PER_MS


def test_behind_a_satellite_no_answer_is_called_lost_because_it_is_late() -> None:
    machine = PingRound("h", HOST, PingOptions(count=3, timeout_ns=2 * NS_PER_S))
    rtt = 2_450 * NS_PER_MS
    at = {key: NOW + key * NS_PER_S for key in range(3)}
    for key in range(3):
        ask(machine, at[key])
        if key == 2:
            answer(machine, 0, at[0] + rtt)
    for key in (1, 2):
        machine.due(at[key] + rtt, 8)
        assert not machine.done
        answer(machine, key, at[key] + rtt)

    assert machine.wake_at(at[2] + rtt) is None
    assert states(machine.result()) == ["answered"] * 3


def test_patience_has_an_end() -> None:
    machine = PingRound("h", HOST, PingOptions(count=12))
    for key in range(12):
        ask(machine, NOW + key * NS_PER_S)
    answer(machine, 0, NOW + 11 * NS_PER_S)

    assert machine.wake_at(NOW + 20 * NS_PER_S) == NOW + 21 * NS_PER_S
    machine.due(NOW + 21 * NS_PER_S, 8)
    assert machine.done


def test_an_answer_after_the_end_changes_nothing() -> None:
    machine = PingRound("h", HOST, PingOptions(count=1))
    ask(machine, NOW)
    machine.due(NOW + NS_PER_S, 8)
    before = machine.result()
    answer(machine, 0, NOW + 1100 * NS_PER_MS)

    assert machine.result() == before


def test_a_round_cut_short_says_nothing_about_the_probe_under_way() -> None:
    machine = PingRound("h", HOST, PingOptions(count=3))
    ask(machine, NOW)
    answer(machine, 0, NOW + 5)
    ask(machine, NOW + NS_PER_S)

    ping = machine.result()

    assert states(ping) == ["answered", "not_measured"]
    assert ping.samples[1].reason == "aborted"


def test_a_router_that_refuses_makes_it_lost_with_its_reason() -> None:
    machine = PingRound("h", HOST, PingOptions(count=1))
    ask(machine, NOW)
    answer(machine, 0, NOW + 5, ReplyKind.UNREACHABLE, ROUTER, code=1)
    machine.due(NOW + 10, 8)

    ping = machine.result()
    assert machine.done
    assert (ping.outcome, ping.reason, ping.samples[0].reason) == (
        Outcome.FAILED,
        Reason.UNREACHABLE,
        "unreachable !H",
    )
    assert ping.samples[0].state is SampleState.LOST


def test_the_real_answer_outweighs_a_refusal() -> None:
    machine = PingRound("h", HOST, PingOptions(count=2))
    ask(machine, NOW)
    answer(machine, 0, NOW + 5, ReplyKind.UNREACHABLE, ROUTER, code=1)
    answer(machine, 0, NOW + 9)

    assert machine.result().samples[0].rtt_ns == 9


def test_an_answer_to_a_request_to_connect_that_may_be_the_second_one_is_no_round_trip() -> None:
    """Hosts send it again after a second (RFC 6298); where every answer takes as long, it is the way."""
    repeated, distant = (
        PingRound("h", HOST, PingOptions(method=Method.TCP, count=2, interval_ns=0, timeout_ns=2 * NS_PER_S))
        for _ in range(2)
    )
    for machine, second in ((repeated, NOW + 40), (distant, NOW + NS_PER_S + 90)):
        ask(machine, NOW)
        ask(machine, NOW + 1)
        answer(machine, 0, NOW + NS_PER_S + 40, ReplyKind.SYN_ACK)
        answer(machine, 1, second, ReplyKind.SYN_ACK)

    assert states(repeated.result()) == ["not_measured", "answered"]
    assert repeated.result().samples[0].reason == "repeated answer"
    assert states(distant.result()) == ["answered", "answered"]


def test_a_port_unreachable_from_the_host_answers_a_udp_ping_and_a_reset_a_tcp_one() -> None:
    udp = PingRound("h", HOST, PingOptions(method=Method.UDP, count=1))
    tcp = PingRound("h", HOST, PingOptions(method=Method.TCP, port=81, count=1))
    ask(udp, NOW)
    ask(tcp, NOW)
    answer(udp, 0, NOW + 5, ReplyKind.UNREACHABLE, HOST, code=3)
    answer(tcp, 0, NOW + 5, ReplyKind.RESET)

    assert (states(udp.result()), udp.result().port) == (["answered"], 33434)
    assert (states(tcp.result()), tcp.result().port) == (["answered"], 81)
    assert "closed" in (tcp.result().detail or "")


def test_a_host_without_the_right_to_send_stops_after_one_try() -> None:
    machine = PingRound("h", HOST, PingOptions(count=10))
    machine.due(NOW, 8)
    machine.departed(Departure(0, None, 0, Grade.USER, "not_permitted"))
    machine.due(NOW + 1, 8)

    assert machine.done
    assert (machine.result().outcome, machine.result().reason) == (Outcome.NOT_MEASURED, Reason.NOT_PERMITTED)


def test_a_queue_that_is_full_costs_one_sample_only() -> None:
    machine = PingRound("h", HOST, PingOptions(count=2))
    machine.due(NOW, 8)
    machine.departed(Departure(0, None, 0, Grade.USER, "queue full"))
    ask(machine, NOW + NS_PER_S)
    answer(machine, 1, NOW + NS_PER_S + 5)

    assert [sample.reason for sample in machine.result().samples] == ["queue full", None]
    assert machine.result().outcome is Outcome.MEASURED


def test_the_ipv6_port_unreachable_has_another_number() -> None:
    machine = PingRound("h", "2001:db8::1", PingOptions(method=Method.UDP, count=2))
    ask(machine, NOW)
    ask(machine, NOW + NS_PER_S)
    answer(machine, 0, NOW + 5, ReplyKind.UNREACHABLE, "2001:db8::99", code=4)
    answer(machine, 1, NOW + NS_PER_S + 5, ReplyKind.UNREACHABLE, "2001:db8::98", code=3)

    assert states(machine.result()) == ["answered", "lost"]
