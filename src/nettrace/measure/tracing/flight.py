"""One probe's life, and the one place where it is decided what it proves."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Clock, Grade, Outcome, Reason, Sample, SampleState
from nettrace.model.path import Departure, Reply

STALLED = "stalled"
OVERFLOW = "overflow"
CLOCK = "clock"
UNSEEN = "departure not seen"
HALF_OPEN = "half-open connection"
REPEATED = "repeated answer"
ABORTED = "aborted"
NO_ANSWER = "no answer"

CLOCK_TOLERANCE_NS = 1 * NS_PER_MS
"""How far a departure may lie before its request: one slew of the system clock, not a step."""

FUTURE_TOLERANCE_NS = 250 * NS_PER_MS
"""How far an answer may lie after the instant it is judged at: a driver may read its clock, lose the processor,
and only then read its sockets."""

LONGEST_WAIT_NS = 10 * NS_PER_S
"""No answer is waited for longer, however late others came: drivers forget their probes then."""

_RANK = {Grade.KERNEL: 0, Grade.RECEPTION: 1, Grade.USER: 2}
_PUBLIC_REASONS = frozenset(reason.value for reason in Reason)
_GRADES = (Grade.KERNEL, Grade.RECEPTION, Grade.USER)
_KERNEL, _USER, _ANSWERED = Grade.KERNEL, Grade.USER, SampleState.ANSWERED


class Watch:
    """What this host admits about itself: when it stood still, and when it threw packets away."""

    __slots__ = ("_overflows", "_stalls")

    def __init__(self) -> None:
        self._stalls: list[tuple[Instant, Instant]] = []
        self._overflows: list[tuple[Instant, Instant]] = []

    def stalled(self, start: Instant, end: Instant) -> None:
        """Note a window in which this host did nothing."""
        _note(self._stalls, start, end)

    def overflowed(self, start: Instant, end: Instant) -> None:
        """Note a window in which received packets were thrown away."""
        _note(self._overflows, start, end)

    def stall_ns(self, start: Instant, end: Instant) -> int:
        """Nanoseconds of stall between the two instants."""
        if not self._stalls:
            return 0
        return sum(min(end, until) - max(start, since) for since, until in _within(self._stalls, start, end))

    def spoils(self, start: Instant, end: Instant) -> str | None:
        """Why silence between the two instants proves nothing, or None when it does."""
        if any(_within(self._stalls, start, end)):
            return STALLED
        return OVERFLOW if any(_within(self._overflows, start, end)) else None


def _note(windows: list[tuple[Instant, Instant]], start: Instant, end: Instant) -> None:
    """Add a window; they stay in order and apart."""
    while windows and start <= windows[-1][1]:
        since, until = windows.pop()
        start, end = min(since, start), max(until, end)
    windows.append((start, end))


def _within(
    windows: list[tuple[Instant, Instant]], start: Instant, end: Instant
) -> Iterator[tuple[Instant, Instant]]:
    """The windows that touch the time between the two instants."""
    for at in range(max(0, bisect_left(windows, (start,)) - 1), len(windows)):
        since, until = windows[at]
        if since > end:
            return
        if until >= start:
            yield since, until


class Flight(msgspec.Struct, gc=False, eq=False):
    """One probe from the request to send it until its verdict.

    Attributes:
        asked_at: when the machine asked for it.
        sent_at: when it left, or None as long as nobody saw it leave.
        refusal: why it could not be sent, or None.
        answer: the answer that counts, or None.
        rank: how much that answer says; the lowest wins, then the earliest stamp.
        void: it proves nothing about the path and is to be replaced.
        closed: nothing more is waited for.
        broken: its stamps contradict this host's own time.
        hidden: the destination may not have seen it for a half-open connection of ours.
        copied_at: when its answer came again, at last.
        repeated: its answer may be one that came before and was lost.
    """

    key: int
    asked_at: Instant
    ttl: int = 0
    payload_bytes: int = 0
    flow_number: int = 0
    sent_at: Instant | None = None
    sent_error_ns: int = 0
    grade: Grade = Grade.USER
    refusal: str | None = None
    answer: Reply | None = None
    rank: int = 0
    void: bool = False
    closed: bool = False
    broken: bool = False
    hidden: bool = False
    copied_at: Instant = 0
    repeated: bool = False

    def depart(self, departure: Departure) -> None:
        """Note that it left or could not; of several notices the best stamp counts."""
        if departure.sent_at is None:
            if self.sent_at is None:
                self.refusal = departure.reason or UNSEEN
            return
        if self.sent_at is None or _RANK[departure.grade] < _RANK[self.grade]:
            self.sent_at = departure.sent_at
            self.sent_error_ns = departure.error_ns
            self.grade = departure.grade
            self.refusal = None
            if departure.sent_at < self.asked_at - CLOCK_TOLERANCE_NS:
                self.broken = True

    def hear(self, reply: Reply, rank: int) -> bool:
        """Note an answer; True when it is the first. Copies and weaker answers change nothing."""
        before = self.answer
        if before is None:
            self.answer, self.rank = reply, rank
            return True
        self.copied_at = max(self.copied_at, reply.received_at)
        if (rank, reply.received_at) < (self.rank, before.received_at):
            self.answer, self.rank = reply, rank
        return False

    def verify(self, now: Instant) -> None:
        """Mark the answer as broken when its stamp lies in the future of its delivery."""
        if self.answer is not None and self.answer.received_at > now + FUTURE_TOLERANCE_NS:
            self.broken = True

    def deadline(self, timeout_ns: int) -> Instant:
        """When its time is up: counted from its departure, or from the request while that is unknown."""
        return (self.asked_at if self.sent_at is None else self.sent_at) + timeout_ns

    def sample(self, timeout_ns: int, watch: Watch, now: Instant) -> Sample:
        """What the probe proves as seen at `now`.

        A loss is a loss only when the probe was seen to leave (grade K or R), its time is up in full, and this
        host neither stalled nor overflowed meanwhile. An answer of any age counts with its true round trip.
        """
        if self.answer is not None:
            return self._answered(self.answer, watch)
        reason = self._doubt(timeout_ns, watch, now)
        if reason is not None:
            return Sample(
                state=SampleState.NOT_MEASURED, sent_at=self.sent_at, stalled=reason == STALLED, reason=reason
            )
        return Sample(state=SampleState.LOST, sent_at=self.sent_at, reason=NO_ANSWER)

    def _doubt(self, timeout_ns: int, watch: Watch, now: Instant) -> str | None:
        if self.broken:
            return CLOCK
        if self.sent_at is None:
            if self.refusal is not None:
                return self.refusal
            return UNSEEN if now >= self.asked_at + timeout_ns else ABORTED
        deadline = self.sent_at + timeout_ns
        if now < deadline:
            return ABORTED
        if self.grade is Grade.USER:
            return UNSEEN
        if self.hidden:
            return HALF_OPEN
        return watch.spoils(self.sent_at, deadline)

    def _answered(self, answer: Reply, watch: Watch) -> Sample:
        sent_at = self.sent_at
        if sent_at is None:
            return Sample(state=SampleState.NOT_MEASURED, reason=self.refusal or UNSEEN)
        if self.repeated:
            return Sample(state=SampleState.NOT_MEASURED, sent_at=sent_at, reason=REPEATED)
        stall_ns = watch.stall_ns(sent_at, answer.received_at)
        error_ns = self.sent_error_ns + answer.error_ns + stall_ns
        rtt_ns = answer.received_at - sent_at
        if self.broken or rtt_ns + error_ns < 0:
            return Sample(state=SampleState.NOT_MEASURED, sent_at=sent_at, reason=CLOCK)
        if rtt_ns <= 0:
            # The true value is positive: it lies between zero and the upper end of the bar.
            error_ns = max(1, (rtt_ns + error_ns + 1) // 2)
            rtt_ns = error_ns
        return Sample(
            state=SampleState.ANSWERED,
            sent_at=sent_at,
            rtt_ns=rtt_ns,
            error_ns=error_ns,
            grade=self.grade
            if self.grade is answer.grade
            else _GRADES[max(_RANK[self.grade], _RANK[answer.grade])],
            stalled=stall_ns > 0,
        )


def patience_ns(rtt_ns: int, longest_ns: int = LONGEST_WAIT_NS) -> int:
    """How long to wait for answers where one took `rtt_ns`: a quarter longer, `longest_ns` at most."""
    return min(rtt_ns * 5 // 4, longest_ns)


def clock_of(samples: Iterable[Sample]) -> Clock | None:
    """Who took the stamps of the answered samples; None when nothing was answered."""
    known: Grade | None = None
    for sample in samples:
        if sample.state is _ANSWERED:
            grade = sample.grade
            if (grade is not _KERNEL and grade is not _USER) or (known is not None and known is not grade):
                return Clock.MIXED
            known = grade
    if known is None:
        return None
    return Clock.KERNEL if known is _KERNEL else Clock.USER


def excuses(samples: Iterable[Sample]) -> list[str]:
    """Why probes were not measured, in words, each once; what is a public reason already says so itself."""
    told = {sample.reason for sample in samples if sample.reason and sample.state is SampleState.NOT_MEASURED}
    return sorted(told - _PUBLIC_REASONS)


def silence(samples: Iterable[Sample]) -> tuple[Outcome, Reason]:
    """Outcome and reason of a measurement without any useful answer.

    One proven loss makes it a failure of the target; otherwise the fault is ours, and the reason is the first
    one that has a public name (`not_permitted`, `aborted` ...) or `vantage_down`.
    """
    reasons: list[str] = []
    for sample in samples:
        if sample.state is SampleState.LOST:
            return Outcome.FAILED, Reason.TIMEOUT
        reasons.append(sample.reason or "")
    for reason in reasons:
        if reason in _PUBLIC_REASONS:
            return Outcome.NOT_MEASURED, Reason(reason)
    return Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN if reasons else Reason.ABORTED
