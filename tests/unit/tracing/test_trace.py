"""A trace step by step: what it asks when, and what it concludes."""

from collections.abc import Callable

import pytest

from nettrace.measure.packets.note import NOTE
from nettrace.measure.packets.probe import MIN_PAYLOAD_BYTES
from nettrace.measure.tracing.loop import loop_end
from nettrace.measure.tracing.meaning import annotation
from nettrace.measure.tracing.ping import PingOptions
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Reason
from nettrace.model.path import Departure, Probe, Reply, ReplyKind, StopReason

NOW = 1_767_225_600 * NS_PER_S
HOST = "198.18.0.1"

Answer = Callable[[Probe], Reply | None]


def passed(probe: Probe, source: str, at: int, **more: object) -> Reply:
    return Reply(key=probe.key, kind=ReplyKind.TIME_EXCEEDED, source=source, received_at=at, **more)  # type: ignore[arg-type]


def port(probe: Probe, at: int, length: int | None = None, source: str = HOST) -> Reply:
    quoted = None if length is None else probe.ttl - length + 1
    return Reply(
        key=probe.key, kind=ReplyKind.UNREACHABLE, code=3, source=source, received_at=at, quoted_ttl=quoted
    )


class Bench:
    """A machine and its clock: `ask` sends what is due, `tell` delivers answers."""

    def __init__(self, **options: object) -> None:
        self.machine = TraceRun("h", HOST, TraceOptions(**options))  # type: ignore[arg-type]
        self.now = NOW
        self.last_sent = NOW
        self.sent: list[Probe] = []

    def ask(self, after_ms: float = 0, room: int = 64) -> list[int]:
        """TTLs asked for after this while."""
        self.now += int(after_ms * NS_PER_MS)
        probes = list(self.machine.due(self.now, room))
        for probe in probes:
            self.machine.departed(Departure(probe.key, self.now, 0, Grade.KERNEL))
        self.sent += probes
        self.last_sent = self.now if probes else self.last_sent
        return [probe.ttl for probe in probes]

    def probe(self, ttl: int) -> Probe:
        return next(probe for probe in reversed(self.sent) if probe.ttl == ttl)

    def tell(self, *replies: Reply) -> None:
        for reply in replies:
            self.machine.replied(reply)

    def finish(self, answer: Answer | None = None) -> None:
        for _ in range(500):
            wake = self.machine.wake_at(self.now)
            if wake is None:
                break
            before = len(self.sent)
            self.ask(max(0, wake - self.now) / NS_PER_MS)
            for probe in self.sent[before:] if answer else ():
                reply = answer(probe) if answer else None
                if reply:
                    self.tell(reply)
        assert self.machine.done

    @property
    def addresses(self) -> list[str | None]:
        return [hop.address for hop in self.machine.result().hops]


def test_every_probe_has_room_for_the_note_that_says_who_it_is() -> None:
    for options in (TraceOptions(), PingOptions()):
        assert options.payload_bytes >= MIN_PAYLOAD_BYTES + len(NOTE)


def test_it_begins_with_the_destination_and_a_small_window() -> None:
    assert Bench().ask() == [32, 1, 2, 3]
    assert Bench(scout=False, window=5).ask() == [1, 2, 3, 4, 5]


def test_a_quoted_ttl_opens_exactly_the_whole_path() -> None:
    bench = Bench()
    bench.ask()
    bench.tell(port(bench.probe(32), bench.now + 5, length=9))

    assert bench.ask(1) == [4, 5, 6, 7, 8, 9]


def test_the_ttl_of_an_echo_reply_opens_the_path_up_to_a_guess() -> None:
    bench = Bench(method=Method.ICMP)
    bench.ask()
    scout = bench.probe(32)
    bench.tell(
        Reply(key=scout.key, kind=ReplyKind.ECHO_REPLY, source=HOST, received_at=bench.now + 5, reply_ttl=56)
    )

    assert bench.ask(1) == [4, 5, 6, 7, 8, 9]


def test_the_length_of_last_time_opens_the_path_at_once() -> None:
    assert Bench(expected_ttl=8).ask() == [32, *range(1, 9)]


def test_each_answer_moves_the_window_on() -> None:
    bench = Bench()
    bench.ask()
    bench.tell(passed(bench.probe(1), "10.0.0.1", bench.now + 1))

    assert bench.ask(1) == [4]


def test_the_room_it_is_given_is_kept_and_nothing_is_forgotten() -> None:
    bench = Bench()

    assert [bench.ask(room=0), bench.ask(room=1), bench.ask(room=2), bench.ask(room=9)] == [
        [],
        [32],
        [1, 2],
        [3],
    ]


def test_a_silent_hop_is_asked_again_after_a_second_and_then_left() -> None:
    bench = Bench(timeout_ns=300 * NS_PER_MS, retry_ns=NS_PER_S)
    asked_at: list[int] = []

    def answer(probe: Probe) -> Reply | None:
        if probe.ttl == 2:
            asked_at.append(bench.now - NOW)
            return None
        return (
            port(probe, bench.now + 1, 4)
            if probe.ttl >= 4
            else passed(probe, f"10.0.0.{probe.ttl}", bench.now + 1)
        )

    bench.finish(answer)

    assert asked_at == [0, NS_PER_S]
    assert bench.addresses == ["10.0.0.1", None, "10.0.0.3", HOST]
    assert [str(sample.state) for sample in bench.machine.result().hops[1].samples] == ["lost", "lost"]


def test_retries_pause_longer_each_time() -> None:
    bench = Bench(attempts=4, max_ttl=1, scout=False)
    at: list[int] = []

    def answer(probe: Probe) -> None:
        at.append((bench.now - NOW) // NS_PER_S)

    bench.finish(answer)

    assert at == [0, 1, 3, 7]


def test_probes_of_one_hop_keep_their_distance() -> None:
    bench = Bench(probes_per_hop=3, max_ttl=1, scout=False, hop_interval_ns=100 * NS_PER_MS)

    assert [bench.ask(0), bench.ask(99), bench.ask(1), bench.ask(100), bench.ask(100)] == [
        [1],
        [],
        [1],
        [1],
        [],
    ]


def test_a_hop_that_answered_once_of_three_is_not_asked_a_fourth_time() -> None:
    bench = Bench(probes_per_hop=3, max_ttl=1, scout=False)
    heard: list[int] = []

    def answer(probe: Probe) -> Reply | None:
        heard.append(probe.key)
        return passed(probe, "10.0.0.1", bench.now + 1) if probe.key == 1 else None

    bench.finish(answer)

    assert heard == [0, 1, 2]
    assert [str(sample.state) for sample in bench.machine.result().hops[0].samples] == [
        "lost",
        "answered",
        "lost",
    ]


def test_a_stalled_probe_is_replaced_and_does_not_count_as_an_attempt() -> None:
    bench = Bench(max_ttl=1, scout=False, attempts=1)
    bench.ask()
    bench.machine.stalled(NOW + 5, NOW + 10)
    bench.ask(1000)

    assert bench.ask(100) == [] and len(bench.sent) == 2
    bench.tell(passed(bench.probe(1), "10.0.0.1", bench.now))
    bench.finish()
    samples = bench.machine.result().hops[0].samples
    assert [sample.reason for sample in samples] == ["stalled", None]


def test_the_hop_list_is_cut_at_the_lowest_ttl_that_arrived() -> None:
    bench = Bench(scout=False, window=6)
    bench.ask()
    for ttl in (5, 4, 6, 3):
        bench.tell(port(bench.probe(ttl), bench.now + ttl))
    bench.tell(
        passed(bench.probe(1), "10.0.0.1", bench.now + 1), passed(bench.probe(2), "10.0.0.2", bench.now + 2)
    )
    bench.finish()

    trace = bench.machine.result()
    assert bench.addresses == ["10.0.0.1", "10.0.0.2", HOST]
    assert (trace.stop, trace.rtt_ns, trace.outcome) == (StopReason.REACHED, 3, Outcome.MEASURED)


def test_a_quote_names_the_end_even_when_that_hop_itself_stays_silent() -> None:
    bench = Bench()

    def answer(probe: Probe) -> Reply | None:
        if probe.ttl == 4:
            return None
        return (
            port(probe, bench.now + 9, 4)
            if probe.ttl > 4
            else passed(probe, f"10.0.0.{probe.ttl}", bench.now + 1)
        )

    bench.finish(answer)

    trace = bench.machine.result()
    assert bench.addresses == ["10.0.0.1", "10.0.0.2", "10.0.0.3", HOST]
    assert [sample.rtt_ns for sample in trace.hops[-1].samples] == [None, None]
    assert trace.rtt_ns == 9


def test_a_router_where_the_quote_put_the_destination_is_asked_again() -> None:
    bench = Bench()
    bench.ask()
    bench.tell(port(bench.probe(32), bench.now + 1, length=3))
    bench.tell(passed(bench.probe(3), "10.0.0.3", bench.now + 2))

    assert 3 in bench.ask(100)
    bench.tell(port(bench.probe(3), bench.now + 1, length=3))
    bench.finish(lambda probe: passed(probe, f"10.0.0.{probe.ttl}", bench.now + 1))
    trace = bench.machine.result()
    assert (trace.hops[-1].address, trace.hops[-1].also, len(trace.hops)) == (HOST, ("10.0.0.3",), 3)
    assert "the path changed while tracing" in (trace.detail or "")


def test_sending_order_not_arrival_decides_which_address_stands_for_a_hop() -> None:
    bench = Bench(probes_per_hop=2, max_ttl=1, scout=False)
    bench.ask()
    bench.ask(100)
    first, second = bench.sent
    bench.tell(passed(second, "10.0.0.2", bench.now + 1), passed(first, "10.0.0.1", bench.now + 2))

    hop = bench.machine.result().hops[0]
    assert (hop.address, hop.also) == ("10.0.0.1", ("10.0.0.2",))


def test_a_late_answer_still_counts_before_the_end_and_not_after() -> None:
    bench = Bench(max_ttl=1, scout=False, attempts=2)
    bench.ask()
    bench.ask(1000)
    late = passed(bench.sent[0], "10.0.0.1", bench.now + 50)
    bench.tell(late)
    bench.finish()
    before = bench.machine.result()
    bench.tell(passed(bench.sent[1], "10.0.0.9", bench.now + 60))

    assert before.hops[0].address == "10.0.0.1"
    assert bench.machine.result() == before


def test_unreachable_ends_the_trace_with_its_letter() -> None:
    def answer(probe: Probe) -> Reply:
        if probe.ttl <= 2:
            return passed(probe, f"10.0.0.{probe.ttl}", bench.now + 1)
        return Reply(
            key=probe.key, kind=ReplyKind.UNREACHABLE, code=13, source="10.0.0.2", received_at=bench.now + 1
        )

    bench = Bench()
    bench.finish(answer)

    trace = bench.machine.result()
    assert (trace.stop, trace.outcome, trace.reason) == (
        StopReason.UNREACHABLE,
        Outcome.FAILED,
        Reason.UNREACHABLE,
    )
    assert [(hop.address, hop.annotation) for hop in trace.hops] == [
        ("10.0.0.1", None), ("10.0.0.2", None), ("10.0.0.2", "!X"),
    ]  # fmt: skip


@pytest.mark.parametrize("scout_first", [True, False])
def test_port_unreachable_from_a_router_of_the_path_is_a_filter_and_no_arrival(scout_first: bool) -> None:
    bench = Bench(attempts=1, max_ttl=8)
    bench.ask()
    filtered = port(bench.probe(8), bench.now + 4, length=4, source="10.0.0.3")
    routers = [passed(bench.probe(ttl), f"10.0.0.{ttl}", bench.now + ttl) for ttl in (1, 2, 3)]
    bench.tell(*([filtered, *routers] if scout_first else [*routers, filtered]))
    bench.ask(10)
    bench.tell(port(bench.probe(4), bench.now + 4, length=4, source="10.0.0.3"))
    bench.finish()

    trace = bench.machine.result()
    assert (trace.outcome, trace.reason, trace.reached) == (Outcome.FAILED, Reason.UNREACHABLE, False)
    assert bench.addresses == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.3"]
    assert (trace.stop, trace.answered_from, trace.rtt_ns) == (StopReason.UNREACHABLE, None, None)


def test_a_router_that_refuses_makes_no_arrival_of_others_undone() -> None:
    bench = Bench(attempts=1, max_ttl=8)
    bench.ask()
    bench.tell(port(bench.probe(8), bench.now + 4, length=3, source="192.0.2.9"))
    bench.tell(*(passed(bench.probe(ttl), f"10.0.0.{ttl}", bench.now + ttl) for ttl in (1, 2)))
    bench.tell(port(bench.probe(3), bench.now + 4, length=3, source="192.0.2.9"))
    bench.finish()

    assert bench.addresses == ["10.0.0.1", "10.0.0.2", "192.0.2.9"]
    assert (bench.machine.result().reached, bench.machine.result().answered_from) == (True, "192.0.2.9")


def test_behind_a_satellite_hops_are_found_whatever_the_timeout_and_none_is_called_lossy() -> None:
    bench = Bench(timeout_ns=NS_PER_S)
    rtt = 2_400 * NS_PER_MS
    waiting: list[tuple[int, Reply]] = []

    def answer(probe: Probe) -> None:
        at = bench.now + rtt
        made = port(probe, at, length=5) if probe.ttl >= 5 else passed(probe, f"10.0.0.{probe.ttl}", at)
        waiting.append((at, made))

    for _ in range(500):
        wake = bench.machine.wake_at(bench.now)
        if wake is None:
            break
        arrives = min(waiting, default=(wake + 1, None), key=lambda each: each[0])
        at = min(wake, arrives[0])
        if arrives[1] is not None and at == arrives[0]:
            waiting.remove((arrives[0], arrives[1]))
            bench.now = at
            bench.tell(arrives[1])
            continue
        before = len(bench.sent)
        bench.ask((at - bench.now) / NS_PER_MS)
        for probe in bench.sent[before:]:
            answer(probe)

    trace = bench.machine.result()
    assert (trace.reached, len(trace.hops)) == (True, 5)
    assert {sample.rtt_ns for hop in trace.hops for sample in hop.samples} == {rtt}
    assert bench.now - NOW < 8 * NS_PER_S


def test_a_dark_end_is_listened_to_for_twice_the_timeout_and_no_longer() -> None:
    bench = Bench(timeout_ns=NS_PER_S, attempts=1, gap_limit=3, scout=False)
    bench.finish()

    assert bench.machine.result().stop is StopReason.GAP
    assert bench.now - bench.last_sent == 2 * NS_PER_S


def test_where_packets_are_lost_silent_hops_are_asked_three_times_more() -> None:
    bench = Bench(scout=False, max_ttl=3, window=3)
    asked: dict[int, list[int]] = {1: [], 2: [], 3: []}

    def answer(probe: Probe) -> Reply | None:
        asked[probe.ttl].append((bench.now - NOW) // NS_PER_S)
        lost = probe.ttl == 2 or (probe.ttl == 1 and len(asked[1]) == 1)
        return None if lost else passed(probe, f"10.0.0.{probe.ttl}", bench.now + 5)

    bench.finish(answer)

    assert asked == {1: [0, 1], 2: [0, 1, 2, 3, 4], 3: [0]}


def test_a_destination_that_arrives_outweighs_a_router_that_refuses() -> None:
    def answer(probe: Probe) -> Reply:
        if probe.ttl == 3:
            return Reply(
                key=probe.key,
                kind=ReplyKind.UNREACHABLE,
                code=1,
                source="10.0.0.2",
                received_at=bench.now + 1,
            )
        return (
            port(probe, bench.now + 1, 5)
            if probe.ttl >= 5
            else passed(probe, f"10.0.0.{probe.ttl}", bench.now + 1)
        )

    bench = Bench()
    bench.finish(answer)

    trace = bench.machine.result()
    assert (trace.stop, len(trace.hops), trace.hops[2].annotation) == (StopReason.REACHED, 5, "!H")
    assert "10.0.0.2 said !H at TTL 3" in (trace.detail or "")


def test_nothing_permitted_means_not_measured_after_one_round() -> None:
    machine = TraceRun("h", HOST)
    for probe in machine.due(NOW, 64):
        machine.departed(Departure(probe.key, None, 0, Grade.USER, "not_permitted"))
    machine.due(NOW + 1, 64)

    trace = machine.result()
    assert machine.done
    assert (trace.outcome, trace.reason) == (Outcome.NOT_MEASURED, Reason.NOT_PERMITTED)


def test_an_interrupted_trace_that_had_arrived_stays_measured() -> None:
    bench = Bench()
    bench.ask()
    bench.tell(port(bench.probe(2), bench.now + 1))

    trace = bench.machine.result()
    assert (trace.stop, trace.reached, trace.outcome) == (StopReason.ABORTED, True, Outcome.MEASURED)
    assert [hop.address for hop in trace.hops] == [None, HOST]


def test_a_too_big_probe_shrinks_to_the_quoted_mtu_and_never_below_reason() -> None:
    bench = Bench(payload_bytes=1472)
    bench.ask()
    big = bench.probe(2)
    bench.tell(
        Reply(
            key=big.key,
            kind=ReplyKind.PACKET_TOO_BIG,
            source="10.0.0.1",
            received_at=bench.now + 1,
            mtu_bytes=1400,
        )
    )
    bench.ask(100)

    assert bench.probe(2).payload_bytes == 1400 - 28
    assert bench.machine.result().path_mtu_bytes == 1400


@pytest.mark.parametrize("mtu", [9000, 28 + MIN_PAYLOAD_BYTES - 1])
def test_an_mtu_that_cannot_be_is_a_refusal(mtu: int) -> None:
    bench = Bench()
    bench.ask()
    reply = Reply(
        key=bench.probe(2).key,
        kind=ReplyKind.PACKET_TOO_BIG,
        source="10.0.0.1",
        received_at=bench.now + 1,
        mtu_bytes=mtu,
    )
    bench.tell(reply, passed(bench.probe(1), "10.0.0.1", bench.now + 1))
    bench.finish()

    assert bench.machine.result().hops[1].annotation == f"!F-{mtu}"
    assert bench.machine.result().stop is StopReason.UNREACHABLE


def test_the_letters_of_refusals() -> None:
    def letter(code: int, source: str = "10.0.0.1") -> str | None:
        return annotation(Reply(key=0, kind=ReplyKind.UNREACHABLE, source=source, received_at=0, code=code))

    assert [letter(code) for code in (0, 1, 2, 3, 13, 77)] == ["!N", "!H", "!P", None, "!X", "!<77>"]
    assert [letter(code, "2001:db8::1") for code in (0, 1, 3, 4)] == ["!N", "!X", "!H", None]


def test_every_probe_of_a_trace_has_one_flow() -> None:
    bench = Bench(flow_number=3)
    bench.finish()

    assert {probe.flow for probe in bench.sent} == {bench.machine.flow}
    assert bench.machine.result().flow == 3


def test_a_probe_answered_by_a_router_and_by_the_destination_has_arrived_in_either_order() -> None:
    for arrived_first in (True, False):
        bench = Bench(scout=False)
        bench.ask()
        bench.tell(passed(bench.probe(1), "10.0.0.1", bench.now + 1))
        both = [port(bench.probe(2), bench.now + 9), passed(bench.probe(2), "10.0.0.2", bench.now + 3)]
        bench.tell(*(both if arrived_first else both[::-1]))
        bench.finish()

        assert bench.addresses == ["10.0.0.1", HOST]
        assert bench.machine.result().stop is StopReason.REACHED


def test_it_ends_at_once_when_the_path_is_complete_and_waits_for_nothing_behind_its_end() -> None:
    bench = Bench(scout=False)
    bench.ask()
    bench.tell(passed(bench.probe(1), "10.0.0.1", bench.now + 1), port(bench.probe(2), bench.now + 2))
    bench.ask(1)

    assert bench.machine.done


def test_it_waits_for_the_departure_of_an_answered_probe_and_no_longer() -> None:
    machine = TraceRun("h", HOST, TraceOptions(scout=False, window=1))
    (probe,) = machine.due(NOW, 64)
    machine.replied(port(probe, NOW + 5))
    machine.due(NOW + 10, 64)
    assert not machine.done
    assert machine.wake_at(NOW + 10) == NOW + NS_PER_S

    machine.departed(Departure(probe.key, NOW + 1, 0, Grade.KERNEL))
    assert machine.wake_at(NOW + 20) == NOW + 20
    machine.due(NOW + 20, 64)

    assert machine.done
    assert machine.result().rtt_ns == 4


def test_a_refused_scout_alone_does_not_make_thirty_hops() -> None:
    bench = Bench(attempts=1)
    bench.ask()
    scout = bench.probe(32)
    refusal = Reply(
        key=scout.key, kind=ReplyKind.UNREACHABLE, code=1, source="10.0.0.9", received_at=bench.now + 1
    )
    bench.tell(refusal)
    bench.finish()

    trace = bench.machine.result()
    assert (trace.stop, trace.outcome, len(trace.hops)) == (StopReason.UNREACHABLE, Outcome.FAILED, 6)
    assert "10.0.0.9 said unreachable" in (trace.detail or "")


def test_silence_holds_the_window_up_for_a_third_of_a_second_only() -> None:
    bench = Bench()
    bench.ask()

    assert [bench.ask(299), bench.ask(1), bench.ask(299), bench.ask(1)] == [[], [4, 5, 6], [], []]


def test_a_system_that_refuses_for_ever_is_not_asked_for_ever() -> None:
    machine, asked, now = TraceRun("h", HOST, TraceOptions(max_ttl=1, scout=False)), 0, NOW
    while not machine.done and asked < 100:
        for probe in machine.due(now, 64):
            asked += 1
            machine.departed(Departure(probe.key, None, 0, Grade.USER, "queue full"))
        now = machine.wake_at(now) or now

    assert asked == 5
    assert machine.result().outcome is Outcome.NOT_MEASURED


def test_one_router_that_answers_for_every_ttl_is_a_wall_and_no_loop() -> None:
    assert loop_end(["a", *["b"] * 9]) is None
    assert loop_end(["a", "b", None, "b", None, "b"]) == 5
    assert loop_end(["a", "b", "c", "a"]) is None
    assert loop_end(["a", "b", "c", "a", "b"]) == 4
