"""When silence is a loss, and when it proves nothing."""

import pytest

from nettrace.measure.tracing.flight import Flight, Watch, clock_of, silence
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import Clock, Grade, Outcome, Reason, Sample, SampleState
from nettrace.model.path import Departure, Reply, ReplyKind

NOW = 1_767_225_600 * NS_PER_S
TIMEOUT = NS_PER_S
LATER = NOW + TIMEOUT


def flight(sent_at: int | None = NOW, grade: Grade = Grade.KERNEL, error_ns: int = 0) -> Flight:
    made = Flight(0, NOW)
    if sent_at is not None:
        made.depart(Departure(0, sent_at, error_ns, grade))
    return made


def reply(at: int, error_ns: int = 0, grade: Grade = Grade.KERNEL, source: str = "198.18.0.1") -> Reply:
    return Reply(
        key=0, kind=ReplyKind.ECHO_REPLY, source=source, received_at=at, error_ns=error_ns, grade=grade
    )


def test_silence_for_the_whole_timeout_is_a_loss() -> None:
    assert flight().sample(TIMEOUT, Watch(), LATER).state is SampleState.LOST
    assert flight().sample(TIMEOUT, Watch(), LATER - 1).reason == "aborted"


def test_a_bracketed_departure_proves_a_loss_and_one_in_user_space_does_not() -> None:
    assert flight(grade=Grade.RECEPTION).sample(TIMEOUT, Watch(), LATER).state is SampleState.LOST
    assert flight(grade=Grade.USER).sample(TIMEOUT, Watch(), LATER).reason == "departure not seen"


def test_a_probe_nobody_saw_leave_is_not_measured() -> None:
    sample = flight(sent_at=None).sample(TIMEOUT, Watch(), LATER)

    assert (sample.state, sample.reason) == (SampleState.NOT_MEASURED, "departure not seen")


def test_a_probe_the_system_refused_says_why() -> None:
    refused = Flight(0, NOW)
    refused.depart(Departure(0, None, 0, Grade.USER, "queue full"))

    assert refused.sample(TIMEOUT, Watch(), NOW).reason == "queue full"


@pytest.mark.parametrize("window", [(-10, 0), (0, 5), (500, 501), (999, 1500), (1000, 1001)])
def test_a_stall_anywhere_in_its_time_spoils_a_loss(window: tuple[int, int]) -> None:
    watch = Watch()
    watch.stalled(NOW + window[0] * NS_PER_MS, NOW + window[1] * NS_PER_MS)

    sample = flight().sample(TIMEOUT, watch, LATER + NS_PER_S)

    assert (sample.state, sample.reason, sample.stalled) == (SampleState.NOT_MEASURED, "stalled", True)


def test_a_stall_before_or_after_spoils_nothing() -> None:
    watch = Watch()
    watch.stalled(NOW - 5, NOW - 1)
    watch.stalled(LATER + 1, LATER + 5)

    assert flight().sample(TIMEOUT, watch, LATER + 10).state is SampleState.LOST


def test_an_overflow_spoils_a_loss_but_widens_no_bar() -> None:
    watch = Watch()
    watch.overflowed(NOW, NOW + NS_PER_MS)
    answered = flight()
    answered.hear(reply(NOW + 2 * NS_PER_MS), 0)

    assert flight().sample(TIMEOUT, watch, LATER).reason == "overflow"
    assert answered.sample(TIMEOUT, watch, LATER).error_ns == 0


def test_the_bar_is_both_stamps_and_the_stall_within_the_flight() -> None:
    watch = Watch()
    watch.stalled(NOW + 3 * NS_PER_MS, NOW + 8 * NS_PER_MS)
    watch.stalled(NOW + 7 * NS_PER_MS, NOW + 9 * NS_PER_MS)  # overlaps: counted once
    watch.stalled(NOW + 90 * NS_PER_MS, NOW + 99 * NS_PER_MS)  # after the answer: not counted
    probe = flight(grade=Grade.RECEPTION, error_ns=20_000)
    probe.hear(reply(NOW + 10 * NS_PER_MS, error_ns=7), 0)

    sample = probe.sample(TIMEOUT, watch, LATER)

    assert sample.rtt_ns == 10 * NS_PER_MS
    assert sample.error_ns == 20_000 + 7 + 6 * NS_PER_MS
    assert sample.stalled


@pytest.mark.parametrize(
    ("sent", "received", "worst"),
    [("K", "K", "K"), ("R", "K", "R"), ("K", "U", "U"), ("U", "K", "U"), ("R", "U", "U")],
)
def test_a_sample_is_graded_by_its_worse_stamp(sent: str, received: str, worst: str) -> None:
    probe = flight(grade=Grade(sent))
    probe.hear(reply(NOW + 5, grade=Grade(received)), 0)

    assert probe.sample(TIMEOUT, Watch(), NOW).grade == worst


def test_the_departure_may_be_told_after_the_answer() -> None:
    probe = flight(sent_at=None)
    probe.hear(reply(NOW + 5 * NS_PER_MS), 0)
    probe.depart(Departure(0, NOW + NS_PER_MS, 0, Grade.KERNEL))

    assert probe.sample(TIMEOUT, Watch(), NOW).rtt_ns == 4 * NS_PER_MS


def test_a_better_stamp_of_the_departure_replaces_a_worse_one_only() -> None:
    probe = flight(sent_at=NOW + 50, grade=Grade.RECEPTION, error_ns=60)
    probe.depart(Departure(0, NOW + 10, 0, Grade.KERNEL))
    probe.depart(Departure(0, NOW + 99, 99, Grade.USER))
    probe.depart(Departure(0, None, 0, Grade.USER, "queue full"))

    assert (probe.sent_at, probe.sent_error_ns, probe.grade, probe.refusal) == (
        NOW + 10,
        0,
        Grade.KERNEL,
        None,
    )


def test_copies_and_weaker_answers_change_nothing_whatever_the_order() -> None:
    first, copy, weaker = reply(NOW + 5), reply(NOW + 9), reply(NOW + 1, source="10.0.0.1")
    for order in ((first, copy, weaker), (weaker, copy, first), (copy, first, weaker)):
        probe = flight()
        for heard in order:
            probe.hear(heard, 3 if heard is weaker else 0)
        assert probe.answer is first


@pytest.mark.parametrize("received_at", [NOW - 1, NOW - 3600 * NS_PER_S])
def test_an_answer_before_its_departure_is_the_clocks_doing(received_at: int) -> None:
    probe = flight()
    probe.hear(reply(received_at), 0)

    assert probe.sample(TIMEOUT, Watch(), LATER).reason == "clock"


def test_a_negative_value_within_its_bar_lies_between_zero_and_the_bars_end() -> None:
    probe = flight(error_ns=50, grade=Grade.RECEPTION)
    probe.hear(reply(NOW - 20), 0)

    sample = probe.sample(TIMEOUT, Watch(), LATER)

    assert (sample.rtt_ns, sample.error_ns) == (15, 15)


def test_stamps_outside_this_hosts_own_time_are_not_believed() -> None:
    early = flight(sent_at=NOW - 5 * NS_PER_MS)
    early.hear(reply(NOW + 5), 0)
    future = flight()
    future.hear(reply(NOW + NS_PER_S), 0)
    future.verify(NOW + 10 * NS_PER_MS)
    preempted = flight()
    preempted.hear(reply(NOW + 80 * NS_PER_MS), 0)
    preempted.verify(NOW + 10 * NS_PER_MS)

    assert early.sample(TIMEOUT, Watch(), LATER).reason == "clock"
    assert future.sample(TIMEOUT, Watch(), LATER).reason == "clock"
    assert preempted.sample(TIMEOUT, Watch(), LATER).state is SampleState.ANSWERED


def graded(*grades: Grade) -> list[Sample]:
    return [Sample(state=SampleState.ANSWERED, rtt_ns=1, grade=grade) for grade in grades]


def test_the_clock_of_a_result_is_the_common_grade_or_mixed() -> None:
    assert clock_of(graded(Grade.KERNEL, Grade.KERNEL)) is Clock.KERNEL
    assert clock_of(graded(Grade.USER)) is Clock.USER
    assert clock_of(graded(Grade.KERNEL, Grade.USER)) is Clock.MIXED
    assert clock_of(graded(Grade.RECEPTION)) is Clock.MIXED
    assert clock_of([Sample(state=SampleState.LOST)]) is None


def test_one_proven_loss_makes_silence_the_targets_failure() -> None:
    lost = Sample(state=SampleState.LOST, reason="no answer")
    ours = Sample(state=SampleState.NOT_MEASURED, reason="stalled")
    forbidden = Sample(state=SampleState.NOT_MEASURED, reason="not_permitted")

    assert silence([ours, lost]) == (Outcome.FAILED, Reason.TIMEOUT)
    assert silence([ours, ours]) == (Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN)
    assert silence([ours, forbidden]) == (Outcome.NOT_MEASURED, Reason.NOT_PERMITTED)
    assert silence([]) == (Outcome.NOT_MEASURED, Reason.ABORTED)
