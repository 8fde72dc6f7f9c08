"""What every tag stands for: flat arrays by slot, recycled, about 50 bytes a probe under way."""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence

from nettrace.measure.packets.probe import Signature
from nettrace.measure.probing.clock import KERNEL_RECEIVE_ERROR_NS, KERNEL_SEND_ERROR_NS, Timeline
from nettrace.measure.probing.transport import Tags
from nettrace.measure.tracing.answer import Answer
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.path import Departure, Reply

STAMP_WAIT_NS = 50 * NS_PER_MS
"""A departure stamp comes within microseconds, unless the packet waits in a queue of this host."""

USUAL_HANDOVER_NS = 10_000
"""First guess of how long a packet takes from its system call to its stamp; the quicker quarter is learnt."""

LINGER_NS = 10 * NS_PER_S
SHORT_LINGER_NS = 3 * NS_PER_S
"""How long answers to a probe are recognised; the short time when tags run out."""

_TAKEN, _SENT, _LEFT, _ANSWERED = range(4)


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
        self._latest: dict[int, Instant] = {}
        self._usual: dict[tuple[int, bool], int] = {}

    @property
    def free(self) -> int:
        """How many tags are left."""
        return self._mask + 1 - len(self._pending)

    def open(self, owner: int, key: int, flow: Signature, via: int) -> int | None:
        """A tag for a probe of `owner`, to go by transport number `via`; None when all are in use."""
        tag = self._pending.take(flow)
        if tag is not None:
            slot = tag & self._mask
            self._tag[slot], self._owner[slot], self._key[slot], self._via[slot] = tag, owner, key, via
            self._state[slot] = _TAKEN
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

    def stamped(self, tag: int, stamp_ns: int) -> Departure | None:
        """The departure that a kernel stamp proves; None when the stamp is not to be believed or not needed."""
        slot = tag & self._mask
        if self._state[slot] != _SENT or self._tag[slot] != tag:
            return None
        placed = self._timeline.place(stamp_ns, self._before[slot])
        if placed is None:
            return None
        left, error_ns = placed
        self._state[slot] = _LEFT
        self._left[slot] = left
        error_ns += KERNEL_SEND_ERROR_NS + self._handover(self._via[slot], self._before[slot], left)
        return Departure(self._key[slot], left, error_ns, Grade.KERNEL)

    def _handover(self, via: int, before: Instant, left: Instant) -> int:
        """How much longer than usual this host took to hand the packet to the device.

        It left behind the one before it and behind the system call's beginning. When that took longer than
        usual, the host may have been interrupted between the packet's way out and its stamp. The first of a
        call is slower than the others, always, so the two have a usual time each.
        """
        previous = self._latest.get(via, 0)
        first = before > previous
        took = left - (before if first else previous)
        usual = self._usual.get((via, first), USUAL_HANDOVER_NS)
        usual += usual // 96 if took > usual else -(usual // 32)  # settles where a quarter is faster
        self._usual[via, first] = max(usual, 1_000)
        self._latest[via] = max(left, previous)
        return max(0, took - usual)

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
            if alive and self._via[slot] not in self._latest:
                yield tag, self._bracketed(slot)

    def waits_for_stamp(self, tag: int) -> bool:
        """The probe was sent and its departure is not known yet."""
        return self._state[tag & self._mask] == _SENT

    def by_bracket(self, tag: int) -> Departure:
        """The departure by the clock around the system call: it was answered, so it left."""
        return self._bracketed(tag & self._mask)

    def received(self, answer: Answer, stamp_ns: int) -> tuple[Reply, bool]:
        """The reply and whether it is the first, by the kernel's reception stamp."""
        slot = answer.tag & self._mask
        timeline = self._timeline
        placed = timeline.place(stamp_ns, self._before[slot])
        if placed is None:
            return self.clocked(answer, *self._since_last_look(), Grade.USER)
        error_ns = KERNEL_RECEIVE_ERROR_NS + placed[1] + timeline.slew_error_ns(placed[0] - self._left[slot])
        return answer.reply(self._key[slot], placed[0], error_ns), self._first(slot)

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
        half = (self._after[slot] - self._before[slot] + 1) // 2
        self._state[slot] = _LEFT
        self._left[slot] = self._before[slot] + half
        return Departure(self._key[slot], self._left[slot], half + KERNEL_SEND_ERROR_NS, Grade.RECEPTION)
