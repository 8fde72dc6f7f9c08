"""What every tag stands for: flat arrays by slot, recycled, about 50 bytes a probe under way."""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from nettrace.measure.kernel.clock import EARLY_NS, KERNEL_RECEIVE_ERROR_NS, KERNEL_SEND_ERROR_NS, Timeline
from nettrace.measure.kernel.stamps import enclosed
from nettrace.measure.packets.probe import Signature
from nettrace.measure.probing.transport import Tags, departed
from nettrace.measure.tracing.answer import Answer
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.path import Departure, Reply

STAMP_WAIT_NS = 50 * NS_PER_MS
"""A departure stamp comes within microseconds, unless the packet waits in a queue of this host."""

USUAL_HANDOVER_NS = 10_000
"""First guess of how long a packet takes from its system call to its stamp; the quicker quarter is learnt."""

SHORTEST_HANDOVER_NS = 1_000

LINGER_NS = 10 * NS_PER_S
SHORT_LINGER_NS = 3 * NS_PER_S
"""How long answers to a probe are recognised; the short time when tags run out."""

_KERNEL = Grade.KERNEL
_TAKEN, _SENT, _GUESSED, _LEFT, _ANSWERED = range(5)
_STAMP = itemgetter(1)
_LATEST = 2
"""Of what is learnt of a way: usual handover behind another packet, of a first one, latest departure."""


class Ledger:
    """The probes under way: who owns them, when they left, and what their stamps mean."""

    def __init__(self, tags: Tags, timeline: Timeline) -> None:
        self._pending = tags.pending
        self._mask = tags.slots - 1
        self._timeline = timeline
        slots = tags.slots
        self._owner: array[int] = array("q", bytes(8 * slots))
        self._tag: array[int] = array("q", [-1]) * slots
        self._key: array[int] = array("q", bytes(8 * slots))
        self._before: array[int] = array("q", bytes(8 * slots))
        self._after: array[int] = array("q", bytes(8 * slots))
        self._left: array[int] = array("q", bytes(8 * slots))
        self._state = array("B", bytes(slots))
        self._via = array("B", bytes(slots))
        self._in_order: deque[int] = deque()
        self._unstamped: deque[int] = deque()
        self._handovers: dict[int, list[int]] = {}
        self._queued: array[int] = array("q", bytes(8 * slots))

    @property
    def free(self) -> int:
        """How many tags are left."""
        return self._mask + 1 - len(self._pending)

    def open(self, owner: int, key: int, flow: Signature, via: int) -> int | None:
        """A tag for a probe of `owner`, to go by way number `via`; None when all are in use."""
        tag = self._pending.take(flow)
        if tag is not None:
            slot = tag & self._mask
            self._tag[slot], self._owner[slot], self._key[slot], self._via[slot] = tag, owner, key, via
            self._state[slot], self._queued[slot] = _TAKEN, 0
            self._in_order.append(tag)
        return tag

    def owner(self, tag: int) -> int:
        """Whose probe it is; -1 when it is none's any more."""
        slot = tag & self._mask
        return self._owner[slot] if self._tag[slot] == tag else -1

    def sent(self, tags: Sequence[int], before_ns: int, after_ns: int) -> None:
        """Note the system call that took the probes."""
        before, after = self._timeline.from_monotonic(before_ns), self._timeline.from_monotonic(after_ns)
        for tag in tags:
            slot = tag & self._mask
            self._before[slot], self._after[slot], self._state[slot] = before, after, _SENT
        self._unstamped.extend(tags)

    def refused(self, tag: int, why: str) -> Departure:
        """Note that this host did not take the probe."""
        key = self._key[tag & self._mask]
        self.drop(tag)
        return Departure(key, None, 0, Grade.USER, why)

    def drop(self, tag: int) -> None:
        """Answers to this probe no longer count."""
        slot = tag & self._mask
        if self._tag[slot] == tag:
            self._tag[slot] = -1
            self._pending.release(tag)

    def queued(self, stamps: Iterable[tuple[int, int]]) -> None:
        """Note when packets entered the queue of their device: (tag, CLOCK_REALTIME ns), before their departures."""
        for tag, stamp_ns in stamps:
            slot = tag & self._mask
            if self._tag[slot] == tag:
                self._queued[slot] = stamp_ns

    def departures(self, stamps: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Departure]]:
        """(owner, departure) for every kernel stamp (tag, CLOCK_REALTIME ns) that is believed and needed.

        In the order they were taken: sockets are read in any order, and each stamp bounds the next one's delay.
        """
        timeline, tags, state, befores = self._timeline, self._tag, self._state, self._before
        owners, keys, lefts, vias, mask = self._owner, self._key, self._left, self._via, self._mask
        steady, latest, queued = timeline.steady, timeline.now + EARLY_NS, self._queued
        for tag, stamp_ns in sorted(stamps, key=_STAMP):
            slot = tag & mask
            if not _SENT <= state[slot] <= _GUESSED or tags[slot] != tag:
                continue
            before = befores[slot]
            error_ns = KERNEL_SEND_ERROR_NS
            if steady is None:
                placed = timeline.place(stamp_ns, before)
                if placed is None:
                    continue
                left = placed[0]
                error_ns += placed[1]
            else:
                left = stamp_ns + steady
                if not before - EARLY_NS <= left <= latest:
                    continue
            state[slot] = _LEFT
            held_ns = self._handover(vias[slot], before, left)
            between = enclosed(queued[slot] or None, stamp_ns)
            if between is None:
                error_ns += held_ns
            else:
                left -= stamp_ns - between[0]
                error_ns += between[1] - KERNEL_SEND_ERROR_NS
            lefts[slot] = left
            yield owners[slot], Departure(keys[slot], left, error_ns, _KERNEL)

    def _handover(self, via: int, before: Instant, left: Instant) -> int:
        """How much longer than usual this host took to hand the packet to the device.

        It left behind the one before it and behind the system call's beginning. When that took longer than
        usual, the host may have been interrupted between the packet's way out and its stamp. The first of a
        call is slower than the others, always, so the two have a usual time each. Of one whose stamp is read
        behind a later one's only the call is known.
        """
        learnt = self._handovers.get(via)
        if learnt is None:
            learnt = self._handovers[via] = [USUAL_HANDOVER_NS, USUAL_HANDOVER_NS, 0]
        previous = learnt[_LATEST]
        first = before > previous or left < previous
        took = left - (before if first else previous)
        usual = learnt[first]
        usual += usual // 96 if took > usual else -(usual // 32)  # settles where a quarter is faster
        usual = max(usual, SHORTEST_HANDOVER_NS)
        learnt[first] = usual
        if left > previous:
            learnt[_LATEST] = left
        return took - usual if took > usual else 0

    def overdue(self, now: Instant) -> Iterator[tuple[int, Departure]]:
        """(tag, departure) of probes whose stamp will not come, where the interface has none to give.

        Where it does give them, such a probe was not seen to leave, and nothing is said of it.
        """
        while self._unstamped:
            tag = self._unstamped[0]
            slot = tag & self._mask
            alive = self._state[slot] == _SENT and self._tag[slot] == tag
            if alive and self._after[slot] + STAMP_WAIT_NS > now:
                return
            self._unstamped.popleft()
            if alive and self._via[slot] not in self._handovers:
                yield tag, self._bracketed(slot)

    def answered(self, tag: int) -> bool:
        """The probe has its answer, or its tag is nobody's any more."""
        slot = tag & self._mask
        return self._state[slot] == _ANSWERED or self._tag[slot] != tag

    def waits_for_stamp(self, tag: int) -> bool:
        """The probe was sent and its departure is not known yet."""
        return self._state[tag & self._mask] == _SENT

    def by_bracket(self, tag: int) -> Departure:
        """The departure by the clock around the system call: it was answered, so it left."""
        return self._bracketed(tag & self._mask)

    def any_waits(self, answers: Iterable[tuple[Answer, int]]) -> bool:
        """Some answered probe's departure is not known yet."""
        state, mask = self._state, self._mask
        return any(state[answer.tag & mask] == _SENT for answer, _ in answers)

    def replies(self, answers: Iterable[tuple[Answer, int]]) -> Iterator[tuple[int, int, Reply, bool]]:
        """(tag, owner, reply, whether it is the first) for answers with the kernel's reception stamp.

        Each is looked up only when its turn comes: what the one before made of its tag counts.
        """
        timeline, state, lefts, tags, mask = self._timeline, self._state, self._left, self._tag, self._mask
        slew, latest = timeline.slew_ppm / 1_000_000, timeline.now + EARLY_NS
        steady = timeline.steady
        for answer, stamp_ns in answers:
            tag = answer.tag
            slot = tag & mask
            if tags[slot] != tag:
                continue
            before = self._before[slot]
            error_ns = KERNEL_RECEIVE_ERROR_NS
            if steady is None:
                placed = timeline.place(stamp_ns, before)
                at, error_ns = (placed[0], error_ns + placed[1]) if placed is not None else (-1, 0)
            else:
                at = stamp_ns + steady
                if not before - EARLY_NS <= at <= latest:
                    at = -1
            if at < 0:  # not to be believed
                reply, first = self.clocked(answer, *self._since_last_look(), Grade.USER)
            else:
                first = state[slot] != _ANSWERED
                state[slot] = _ANSWERED
                if slew:
                    error_ns += int((at - lefts[slot]) * slew)
                reply = answer.reply(self._key[slot], at, error_ns)
            yield tag, self._owner[slot], reply, first

    def clocked(self, answer: Answer, at: Instant, error_ns: int, grade: Grade) -> tuple[Reply, bool]:
        """The reply and whether it is the first, by any other clock. It cannot have come before the probe went."""
        slot = answer.tag & self._mask
        low, high = max(at - error_ns, self._before[slot]), at + error_ns
        half = max(0, high - low + 1) // 2
        return answer.reply(self._key[slot], high - half, half, grade), self._first(slot)

    def expire(self, now: Instant) -> None:
        """Give back the tags nobody will ask for again."""
        linger = LINGER_NS if len(self._pending) * 4 < (self._mask + 1) * 3 else SHORT_LINGER_NS
        while self._in_order:
            tag = self._in_order[0]
            slot = tag & self._mask
            if self._tag[slot] == tag:
                if self._before[slot] + linger > now or self._state[slot] == _TAKEN:
                    return
                self.drop(tag)
            self._in_order.popleft()

    def _first(self, slot: int) -> bool:
        first = self._state[slot] != _ANSWERED
        self._state[slot] = _ANSWERED
        return first

    def _since_last_look(self) -> tuple[Instant, int]:
        timeline = self._timeline
        half = (timeline.now - timeline.before) // 2
        return timeline.now - half, half

    def _bracketed(self, slot: int) -> Departure:
        self._state[slot] = _GUESSED
        self._left[slot], bar_ns = departed(self._before[slot], self._after[slot])
        return Departure(self._key[slot], self._left[slot], bar_ns + KERNEL_SEND_ERROR_NS, Grade.RECEPTION)
