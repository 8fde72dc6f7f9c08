"""The engine over a virtual network: time, stamps and answers are the test's own, to the nanosecond."""

import heapq
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from nettrace.errors import Unmeasurable
from nettrace.measure.kernel.clock import KERNEL_RECEIVE_ERROR_NS, KERNEL_SEND_ERROR_NS, Reading, Timeline
from nettrace.measure.kernel.stall import StallGuard
from nettrace.measure.packets.ip import packed
from nettrace.measure.probing.engine import MOST_PER_STEP, Engine
from nettrace.measure.probing.pace import TICK_NS, burst_of
from nettrace.measure.probing.routes import Route
from nettrace.measure.probing.transport import Intake, Shipment, Tags
from nettrace.measure.tracing.answer import Answer
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.politeness import Limits, Politeness, Rate
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.measurement import Grade, Method, Outcome, Reason, SampleState
from nettrace.model.path import ReplyKind, StopReason

MS = 1_000_000
SECOND = 1_000 * MS
HOUR = 3_600 * SECOND
BAR_NS = KERNEL_SEND_ERROR_NS + KERNEL_RECEIVE_ERROR_NS


class Net:
    """A transport whose packets take `delay_ns` there and back; it stands for sockets, poller and clocks too."""

    def __init__(self, delay_ns: int = 10 * MS) -> None:
        self.delay_ns = delay_ns
        self.now = 7 * SECOND
        self.wall = 1_700_000_000 * SECOND
        self.tags = Tags(slot_bits=10, secret=bytes(32))
        self.poller = self
        self.routes = self
        self.interfaces: dict[str, int] = {}
        self.without_stamps: set[str] = set()
        self.silent: set[str] = set()
        self.stamps_departures = True
        self.serial_ns = 0
        self.forbidden: str | None = None
        self.refuses: str | None = None
        self.gives_stamps = True
        self.stamp_delay_ns = 0
        self.handover_ns = 20_000
        self.queued_ns = 0
        self.answers = True
        self.copies = 1
        self.departures: list[int] = []
        self.under_way = self.most_under_way = 0
        self._order = 0
        self._events: list[tuple[int, int, Callable[[Intake], None]]] = []

    # what the engine uses of sockets, poller and transport

    def transport(self, method: Method, version: int) -> "Net":
        if self.forbidden:
            raise Unmeasurable(self.forbidden)
        return self

    def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
        for tag, probe, _ in batch:
            if self.refuses:
                intake.refused.append((tag, self.refuses))
                continue
            before, left = self.now, self.now + self.handover_ns
            self.now = left + 30_000
            left += self.queued_ns
            intake.sent.append(((tag,), before, self.now))
            self.departures.append(left)
            if self.gives_stamps and probe.address not in self.without_stamps:
                self._later(
                    left, lambda i, t=tag, w=left + self.wall: i.stamps.append((t, w)), self.stamp_delay_ns
                )
            if self.answers and probe.address not in self.silent:
                self.under_way += 1
                self.most_under_way = max(self.under_way, self.most_under_way)
                answer = self.answer(tag, probe)
                for _ in range(self.copies):
                    self._later(left + self.delay_ns, lambda i, a=answer: self._arrive(i, a))

    def answer(self, tag: int, probe: Any) -> Answer:
        return Answer(tag, ReplyKind.ECHO_REPLY, packed(probe.address))

    def to(self, address: str) -> Route:
        return Route("192.0.2.1", self.interfaces.get(address, 1))

    def collect(self, intake: Intake) -> int:
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2](intake)
        return 0

    def _arrive(self, intake: Intake, answer: Answer) -> None:
        self.under_way -= 1
        stamp = self._event_at + self.wall
        intake.answers.append((answer, stamp))
        intake.finished.append(answer.tag)

    def _later(self, at: int, event: Callable[[Intake], None], seen_after: int = 0) -> None:
        self._order += 1

        def happen(intake: Intake) -> None:
            self._event_at = at
            event(intake)

        heapq.heappush(self._events, (at + seen_after, self._order, happen))

    # what the test uses

    def read(self) -> Reading:
        return Reading(self.now, self.now + self.wall, self.now, 100)

    def engine(self, **options: Any) -> Engine:
        guard = StallGuard(lambda: 0)
        return Engine(self, timeline=Timeline(self.read), guard=guard, **options)  # type: ignore[arg-type]

    def finish(self, engine: Engine, *, late_ns: int = 0, each: Callable[[], None] | None = None) -> None:
        """Step at the planned moments (or `late_ns` later) until every machine has ended."""
        for _ in range(100_000):
            until = engine.step()
            if not engine.unfinished:
                return
            self.now = max(self.now + 1_000, until - engine.timeline.from_monotonic(0) + late_ns)
            if each is not None:
                each()
        pytest.fail("the engine did not come to an end")


def round_of(count: int = 5, **options: Any) -> PingRound:
    return PingRound("h", "198.18.0.1", PingOptions(count=count, interval_ns=20 * MS, **options))


def test_a_round_trip_is_the_difference_of_two_kernel_stamps() -> None:
    net, round_ = Net(delay_ns=12_345_678), round_of()
    engine = net.engine()
    engine.add(round_)
    net.finish(engine)
    ping = round_.result()
    assert [sample.rtt_ns for sample in ping.samples] == [12_345_678] * 5
    assert {sample.grade for sample in ping.samples} == {Grade.KERNEL}
    assert all(BAR_NS <= (sample.error_ns or 0) <= BAR_NS + net.handover_ns for sample in ping.samples)


def test_a_host_interrupted_before_the_departure_stamp_widens_the_bar() -> None:
    net, round_ = Net(), round_of(count=40)
    engine = net.engine()
    engine.add(round_)

    def interrupt() -> None:
        net.handover_ns = 300_000 if len(net.departures) == 30 else 20_000

    net.finish(engine, each=interrupt)
    bars = [sample.error_ns or 0 for sample in round_.result().samples]
    assert bars[30] >= 280_000
    assert max(bars[20:30] + bars[31:]) < BAR_NS + 20_000


def test_reading_late_does_not_change_a_round_trip() -> None:
    net, round_ = Net(delay_ns=3 * MS), round_of()
    engine = net.engine()
    engine.add(round_)
    net.finish(engine, late_ns=MS)
    assert {sample.rtt_ns for sample in round_.result().samples} == {3 * MS}
    assert not any(sample.stalled for sample in round_.result().samples)


def test_a_stall_is_told_and_makes_silence_prove_nothing() -> None:
    net, round_ = Net(), round_of(timeout_ns=100 * MS)
    net.answers = False
    engine = net.engine()
    engine.add(round_)
    net.finish(engine, late_ns=300 * MS)
    assert {sample.state for sample in round_.result().samples} == {SampleState.NOT_MEASURED}
    assert {sample.reason for sample in round_.result().samples} == {"stalled"}


@pytest.mark.parametrize("late_ns", [0, 5 * MS, 75 * MS])
def test_silence_without_a_stall_is_loss_also_when_a_quota_held_us_back(late_ns: int) -> None:
    net, round_ = Net(), round_of(timeout_ns=100 * MS)
    net.answers = False
    engine = net.engine()
    engine.add(round_)
    net.finish(engine, late_ns=late_ns)
    assert {sample.state for sample in round_.result().samples} == {SampleState.LOST}


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_the_clock_stepped_by_an_hour_changes_nothing(step: int) -> None:
    net, round_ = Net(delay_ns=10 * MS), round_of(count=30)
    engine = net.engine()
    engine.add(round_)
    steps = iter([0, 0, 0, step] * 40)

    def set_the_clock() -> None:
        net.wall += next(steps)

    net.finish(engine, each=set_the_clock)
    assert engine.timeline.steps > 5
    for sample in round_.result().samples:
        assert sample.state is SampleState.ANSWERED
        assert sample.rtt_ns is not None and sample.error_ns is not None
        assert abs(sample.rtt_ns - 10 * MS) <= sample.error_ns


def test_small_steps_stay_within_the_bar() -> None:
    net, round_ = Net(delay_ns=10 * MS), round_of(count=30)
    engine = net.engine()
    engine.add(round_)
    steps = iter([0, 0, 700_000] * 60)

    def set_the_clock() -> None:
        net.wall += next(steps)

    net.finish(engine, each=set_the_clock)
    for sample in round_.result().samples:
        assert sample.rtt_ns is not None and sample.error_ns is not None
        assert abs(sample.rtt_ns - 10 * MS) <= sample.error_ns


def test_an_answer_that_overtakes_the_departure_stamp_waits_for_it() -> None:
    net, round_ = Net(delay_ns=MS), round_of()
    net.stamp_delay_ns = MS  # seen by the engine only together with the answer
    engine = net.engine()
    engine.add(round_)
    net.finish(engine)
    assert {(sample.rtt_ns, sample.grade) for sample in round_.result().samples} == {(MS, Grade.KERNEL)}


def test_without_any_stamp_the_system_call_brackets_the_departure() -> None:
    net, round_ = Net(), round_of()
    net.gives_stamps = False
    engine = net.engine()
    engine.add(round_)
    net.finish(engine)
    for sample in round_.result().samples:
        assert sample.grade is Grade.RECEPTION
        assert sample.rtt_ns is not None and sample.error_ns is not None
        assert sample.error_ns >= 25_000
        assert abs(sample.rtt_ns - 10 * MS) <= sample.error_ns


def test_an_interface_without_stamps_proves_losses_beside_one_that_has_them() -> None:
    net, tunnel = Net(), "198.18.9.9"
    net.interfaces[tunnel] = 2
    net.without_stamps.add(tunnel)
    net.silent.add(tunnel)
    engine = net.engine()
    engine.add(round_of())
    dark = PingRound("h", tunnel, PingOptions(count=3, interval_ns=20 * MS, timeout_ns=200 * MS))
    engine.add(dark)
    net.finish(engine)
    assert [sample.state for sample in dark.result().samples] == [SampleState.LOST] * 3


def test_a_stamp_that_comes_late_takes_the_place_of_the_guess() -> None:
    """The packet waited for its neighbour's address: it left long after the system call."""
    net, round_ = Net(), round_of(count=1)
    net.queued_ns = 300 * MS
    engine = net.engine()
    engine.add(round_)
    net.finish(engine)
    (sample,) = round_.result().samples
    assert (sample.rtt_ns, sample.grade) == (10 * MS, Grade.KERNEL)


def test_a_probe_not_seen_to_leave_is_no_loss() -> None:
    net, round_ = Net(), round_of(count=6, timeout_ns=100 * MS)
    engine = net.engine()
    engine.add(round_)

    def unplug() -> None:
        if len(net.departures) == 3:
            net.gives_stamps = net.answers = False

    net.finish(engine, each=unplug)
    states = [sample.state for sample in round_.result().samples]
    assert states == [SampleState.ANSWERED] * 3 + [SampleState.NOT_MEASURED] * 3


def test_what_this_host_refuses_is_not_measured() -> None:
    net, round_ = Net(), round_of()
    net.refuses = "no route from this host"
    engine = net.engine()
    engine.add(round_)
    net.finish(engine)
    ping = round_.result()
    assert (ping.outcome, ping.reason) == (Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN)
    assert {sample.reason for sample in ping.samples} == {"no route from this host"}


def test_what_this_host_forbids_is_not_permitted() -> None:
    net, round_ = Net(), round_of()
    net.forbidden = "no raw sockets"
    engine = net.engine()
    engine.add(round_)
    net.finish(engine)
    assert (round_.result().outcome, round_.result().reason) == (Outcome.NOT_MEASURED, Reason.NOT_PERMITTED)


def test_an_overflow_makes_silence_prove_nothing() -> None:
    net, round_ = Net(), round_of(count=3, timeout_ns=100 * MS)
    net.answers = False
    engine = net.engine()
    engine.add(round_)
    plain = net.collect

    def overflowing(intake: Intake) -> int:
        intake.overflowed = True
        return plain(intake)

    net.collect = overflowing  # type: ignore[method-assign]
    net.finish(engine)
    assert {sample.reason for sample in round_.result().samples} == {"overflow"}


@pytest.mark.parametrize("rate", [50.0, 1_000.0, 20_000.0])
def test_the_rate_is_never_exceeded(rate: float) -> None:
    net = Net()
    engine = net.engine(rate_pps=rate)
    for number in range(40):
        engine.add(PingRound("h", f"198.18.1.{number}", PingOptions(count=5, interval_ns=1)))
    net.finish(engine)
    assert len(net.departures) == 200
    for first, at in enumerate(net.departures):
        for count, later in enumerate(net.departures[first:], 1):
            burst = min(max(1.0, rate * 2 * TICK_NS / SECOND), MOST_PER_STEP)
            assert count <= burst + rate * (later - at) / SECOND + 1


class Stumbling(Net):
    """A host that stands still for most of the burst each third time, between the decision to send and the departure."""

    def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
        self.now += 0 if len(self.departures) % 3 else 95 * MS
        super().send(batch, intake)


def test_the_rate_is_kept_by_what_leaves_wherever_the_host_stood_still() -> None:
    net, rate = Stumbling(), 200.0
    engine = net.engine(rate_pps=rate)
    for _ in range(20):
        engine.add(round_of(count=20))
    net.finish(engine)
    assert len(net.departures) == 400
    for first, start in enumerate(net.departures):
        for count, end in enumerate(net.departures[first:], start=1):
            assert count <= rate * (end - start + burst_of(rate)) / SECOND + 1


def test_copies_and_answers_after_the_end_change_nothing() -> None:
    net, round_ = Net(), round_of()
    net.copies = 3
    engine = net.engine()
    engine.add(round_)
    engine.add(round_of(count=50))
    net.finish(engine)
    assert [sample.rtt_ns for sample in round_.result().samples] == [10 * MS] * 5


def test_where_a_flow_goes_one_by_one_it_is_asked_one_by_one() -> None:
    class Chain(Net):
        def answer(self, tag: int, probe: Any) -> Answer:
            if probe.ttl >= 5:
                return Answer(tag, ReplyKind.SYN_ACK, packed(probe.address))
            return Answer(tag, ReplyKind.TIME_EXCEEDED, packed(f"10.0.{probe.ttl}.1"))

    net = Chain()
    net.serial_ns = SECOND
    run = TraceRun("h", "198.18.0.1", TraceOptions(method=Method.TCP))
    engine = net.engine()
    engine.add(run)
    net.finish(engine)
    trace = run.result()
    assert net.most_under_way == 1
    assert [hop.address for hop in trace.hops] == [*(f"10.0.{ttl}.1" for ttl in (1, 2, 3, 4)), "198.18.0.1"]
    assert trace.stop is StopReason.REACHED


def test_the_end_of_an_earlier_attempt_does_not_hurry_the_one_under_way() -> None:
    class OneByOne(Net):
        """As connecting sockets do: the next probe of a flow ends the one before, which then hears nothing."""

        earlier: int | None = None

        def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
            super().send(batch, intake)
            if self.earlier is not None:
                intake.finished.append(self.earlier)
            self.earlier = batch[-1][0]

    net = OneByOne()
    net.answers, net.serial_ns = False, SECOND
    engine = net.engine()
    engine.add(TraceRun("h", "198.18.0.1", TraceOptions(attempts=2, max_ttl=4)))
    net.finish(engine)

    assert len(net.departures) > 4
    assert min(later - earlier for earlier, later in pairwise(net.departures)) >= SECOND


def test_more_probes_than_tags_wait_instead_of_being_mixed_up() -> None:
    net = Net()
    engine = net.engine(rate_pps=100_000.0)
    rounds = [
        PingRound("h", f"198.18.{n // 250}.{n % 250 + 1}", PingOptions(count=3, interval_ns=MS))
        for n in range(900)
    ]
    for round_ in rounds:
        engine.add(round_)
    net.finish(engine)
    assert {sample.rtt_ns for round_ in rounds for sample in round_.result().samples} == {10 * MS}


def test_budgets_by_target_hold() -> None:
    net = Net()
    limits = Limits(target=Rate(10, 1), network=Rate(1000, 1000), node=Rate(1000, 1000))
    engine = net.engine(rate_pps=10_000.0, politeness=Politeness(limits))
    rounds = [PingRound("h", f"198.18.1.{n}", PingOptions(count=4, interval_ns=1)) for n in (1, 2, 3)]
    for round_ in rounds:
        engine.add(round_)
    net.finish(engine)
    for round_ in rounds:
        left = [sample.sent_at or 0 for sample in round_.result().samples]
        assert all(later - earlier >= 99 * MS for earlier, later in pairwise(left))


def test_machines_behind_a_spent_budget_sleep_until_their_turn_and_go_in_order() -> None:
    """A thousand targets in four networks made the engine ask each of them at every tick."""
    asked = 0

    class Counted(Politeness):
        def turn(self, *args: int | str) -> int:
            nonlocal asked
            asked += 1
            return super().turn(*args)

    net, rate = Net(), Rate(20, 5)
    politeness = Counted(Limits(network=rate))
    engine = net.engine(rate_pps=10_000.0, politeness=politeness)
    rounds = [PingRound("h", f"198.18.1.{n}", PingOptions(count=1)) for n in range(1, 101)]
    for round_ in rounds:
        engine.add(round_)
    net.finish(engine)
    left = [round_.result().samples[0].sent_at or 0 for round_ in rounds]
    assert left == sorted(left)
    assert all(left[n + rate.burst] - left[n] >= SECOND // 20 for n in range(len(left) - rate.burst))
    assert left[-1] - left[0] <= (100 - rate.burst + 2) * SECOND // 20
    assert asked <= 3 * len(rounds)
    assert politeness.waited == {"node": 0, "target": 0, "network": 95, "router": 0}


def test_a_dropped_machine_sends_no_more() -> None:
    net, round_ = Net(), round_of(count=50)
    engine = net.engine()
    run = engine.add(round_)
    engine.step()
    engine.drop(run)
    net.finish(engine)
    assert len(net.departures) == 1


class Listening(Net):
    """Its hosts answer requests to connect."""

    def answer(self, tag: int, probe: Any) -> Answer:
        return Answer(tag, ReplyKind.SYN_ACK, packed(probe.address))


def span(round_: PingRound) -> tuple[int, int]:
    """From the first departure to the last answer."""
    samples = round_.result().samples
    assert {sample.state for sample in samples} == {SampleState.ANSWERED}
    return samples[0].sent_at or 0, (samples[-1].sent_at or 0) + (samples[-1].rtt_ns or 0)


def test_two_machines_with_one_tcp_flow_go_one_after_another() -> None:
    """Two endpoints of one host, traced at once when the route changed: a hop was shown that does not exist."""
    net = Listening()
    engine = net.engine()
    first, second = (round_of(method=Method.TCP) for _ in range(2))
    elsewhere = PingRound("h", "198.18.0.2", PingOptions(count=5, interval_ns=20 * MS, method=Method.TCP))
    for each in (first, second, elsewhere):
        engine.add(each)
    net.finish(engine)
    assert span(second)[0] > span(first)[1]
    assert span(elsewhere)[0] < span(first)[1]


@pytest.mark.parametrize("dropped", [0, 1])
def test_who_leaves_lets_the_next_one_of_its_flow_go(dropped: int) -> None:
    net = Listening()
    engine = net.engine()
    rounds = [round_of(method=Method.TCP) for _ in range(3)]
    runs = [engine.add(each) for each in rounds]
    engine.step()
    engine.drop(runs[dropped])
    net.finish(engine)
    one, other = (span(each) for each in rounds if each is not rounds[dropped])
    assert other[0] > one[1]


def test_an_answer_that_fits_several_probes_is_given_to_none() -> None:
    """Routers that quote too little: the flow goes on one by one, and the silence before proves nothing."""

    class Terse(Net):
        def _arrive(self, intake: Intake, answer: Answer) -> None:
            live = [tag for tag in self.recent if self.tags.pending.signature(tag) is not None]
            if len(live) > 1:
                intake.ambiguous += live
            elif live:
                super()._arrive(intake, answer)

        def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
            super().send(batch, intake)
            self.recent += [tag for tag, _, _ in batch]

    net = Terse()
    net.recent = []  # type: ignore[attr-defined]
    rounds = PingRound("h", "198.18.0.1", PingOptions(count=6, interval_ns=4 * MS, timeout_ns=200 * MS))
    engine = net.engine()
    engine.add(rounds)
    net.finish(engine)
    samples = rounds.result().samples
    assert SampleState.LOST not in {sample.state for sample in samples}
    assert [sample.rtt_ns for sample in samples if sample.rtt_ns][-1] == 10 * MS


def test_an_interrupted_run_leaves_what_is_known() -> None:
    net, round_ = Net(), round_of(count=5)
    engine = net.engine()
    engine.add(round_)
    for _ in range(5):
        net.now = engine.step() - engine.timeline.from_monotonic(0)
    assert engine.unfinished == [round_]
    ping = round_.result()
    assert ping.outcome is Outcome.MEASURED
    assert 0 < sum(sample.state is SampleState.ANSWERED for sample in ping.samples) < 5
