"""Signals from new rounds: every series through the same detectors as `nettrace signals replay`, in stored order.

Detectors see each round once, in order of its due time; one that comes late, out of a spool's depth, is stored and
proves nothing about the present. Their memory is written down every few rounds, not at each; what came after the last
note is read back from the store and fed again, so a restart goes on exactly where the last life stopped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from nettrace.analysis.signals.catalogue import DEFAULT, detector
from nettrace.analysis.signals.detector import Detector
from nettrace.analysis.signals.document import signal_document
from nettrace.model.instant import Instant
from nettrace.model.measurement import Grade, Outcome, SampleState
from nettrace.model.path import Trace
from nettrace.model.signal import Observation, Signal
from nettrace.model.target import Series
from nettrace.model.vantage import Vantage
from nettrace.store.arrival import numbers
from nettrace.store.port import Conclusion
from nettrace.store.rows import Event, Round
from nettrace.wire.frames import Gap, Record

_PREFIX = "signal "
NAMES = tuple(name for name in DEFAULT if name != "divergence")
"""What runs on every series. Divergence needs two and a person who says which."""

LOSS = detector("loss").name
EVERY = 32
"""Rounds between two notes of a series' memory."""

Since = Callable[[Series, Instant], Iterable[Round]]


class _Memory:
    """One series: its detectors, the newest round they saw, and rounds since the last note."""

    __slots__ = ("detectors", "newest", "unnoted")

    def __init__(self, newest: Instant = -1) -> None:
        self.detectors: tuple[Detector, ...] = tuple(detector(name) for name in NAMES)
        self.newest = newest
        self.unnoted = EVERY - 1  # the first round is noted at once: from then on every series has a note


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    series: Series
    newest: Instant
    states: dict[str, bytes]


class SignalWatch:
    """Runs detectors over every series.

    Args:
        stored: gives the notes as last stored.
        since: the rounds of a series stored behind a due time, in order.
        say: told of a fault of ours; the round is stored all the same, and its series is learnt anew.
    """

    def __init__(
        self, stored: Callable[[], Mapping[str, bytes]], since: Since, say: Callable[[str], None]
    ) -> None:
        self._stored = stored
        self._since = since
        self._say = say
        self._series: dict[Series, _Memory] = {}
        self.recall()

    def recall(self) -> None:
        """Know what the store knows, and nothing else."""
        self._series = {}
        for name, packed in self._stored().items():
            if not name.startswith(_PREFIX):
                continue
            note = msgspec.msgpack.decode(packed, type=_Note)
            memory = self._series[note.series] = _Memory(note.newest)
            for each in memory.detectors:
                if each.name in note.states:
                    each.restore(note.states[each.name])
            memory.unnoted = 0
            for kept in self._since(note.series, note.newest):
                self._catch_up(note.series, memory, kept)

    def _catch_up(self, series: Series, memory: _Memory, kept: Round) -> None:
        """A round that was seen and judged in the life before: its signals are stored already."""
        observation = observed(kept.outcome, kept.rtt_ns, kept.grade, kept.due)
        if kept.request is None and kept.due > memory.newest and observation is not None:
            memory.newest = kept.due
            memory.unnoted += 1
            self._feed(series, memory, observation, (kept.sent, kept.received))

    def conclude(self, node: Vantage, new: Sequence[Record | Gap], at: Instant) -> Conclusion:
        """The signals these rounds prove."""
        del at  # what follows from rounds does not depend on when they arrived
        events: list[Event] = []
        state: dict[str, bytes] = {}
        for entry in new:
            if isinstance(entry, Gap) or isinstance(entry.measurement, Trace) or entry.request is not None:
                continue
            series = Series(node.code, entry.target, entry.endpoint, entry.method)
            memory = self._series.get(series)
            if memory is None:
                memory = self._series[series] = _Memory()
            late = entry.due <= memory.newest
            if not late:
                made = numbers(entry.measurement)
                observation = observed(entry.measurement.outcome, made.rtt_ns, made.grade, entry.due)
                if observation is None:
                    continue
                memory.newest = entry.due
                memory.unnoted += 1
                events += (
                    _event(series, signal)
                    for signal in self._feed(series, memory, observation, (made.sent, made.received))
                )
            if (
                late or memory.unnoted >= EVERY
            ):  # a late one must not be met again when this life is read back
                state[_PREFIX + str(series)] = _noted(series, memory)
                memory.unnoted = 0
        return Conclusion(events=tuple(events), detector_state=state)

    def _feed(
        self, series: Series, memory: _Memory, observation: Observation, probes: tuple[int, int]
    ) -> list[Signal]:
        try:
            return [
                signal
                for each in memory.detectors
                for part in (probes_of(observation, *probes) if each.name == LOSS else (observation,))
                for signal in each.feed(part)
            ]
        except Exception as error:
            self._say(f"the signals of {series} are learnt anew: {error!r}")
            memory.detectors = tuple(detector(name) for name in NAMES)
            return []


def probes_of(observation: Observation, sent: int, received: int) -> list[Observation]:
    """A round's probes one by one, as the loss detector sees them: the lost first, half of the round at most.

    Probes of one round are lost together more often than by chance; so a round that lost all of three counts as one loss,
    and still one of three lost is seen.

    >>> [each.state.value for each in probes_of(Observation(5, SampleState.ANSWERED, 1_000_000), 3, 2)]
    ['lost', 'answered', 'answered']
    >>> len(probes_of(Observation(5, SampleState.LOST), 3, 0))
    1
    """
    if observation.state is SampleState.NOT_MEASURED or sent < 2:
        return [observation]
    lost = min(sent - received, max(1, sent // 2))
    answered = Observation(observation.at, SampleState.ANSWERED, observation.rtt_ns or 1)
    return [Observation(observation.at, SampleState.LOST)] * lost + [answered] * received


def observed(outcome: Outcome, rtt_ns: int | None, grade: str | None, due: Instant) -> Observation | None:
    """A round as detectors see it, or None when it may prove nothing: times taken by the program alone never do.

    >>> observed(Outcome.FAILED, None, None, 5).state
    <SampleState.LOST: 'lost'>
    >>> observed(Outcome.MEASURED, 1_000_000, Grade.USER, 5) is None
    True
    """
    if outcome is Outcome.NOT_MEASURED:
        return Observation(due, SampleState.NOT_MEASURED)
    if rtt_ns is None:
        return Observation(due, SampleState.LOST)
    return None if grade == Grade.USER else Observation(due, SampleState.ANSWERED, max(1, rtt_ns))


def _noted(series: Series, memory: _Memory) -> bytes:
    states = {each.name: each.snapshot() for each in memory.detectors}
    return msgspec.msgpack.encode(_Note(series=series, newest=memory.newest, states=states))


def _event(series: Series, signal: Signal) -> Event:
    """A signal as an event; its id follows from what it says, so the same signal is the same event for ever."""
    said = f"{series} {signal.detector} {signal.kind} {signal.at} {signal.detected_at} {signal.tier} {signal.updates}"
    made = "sig_" + blake2b(said.encode(), digest_size=10).hexdigest()
    body = {
        "object": "event", "id": made, "region": series.vantage, "target": series.target, "endpoint": series.endpoint,
        "method": series.method, **signal_document(signal),
    }  # fmt: skip
    return Event(
        id=made, kind=signal.kind, at=signal.at, detected_at=signal.detected_at, series=series, target=series.target,
        vantage=series.vantage, severity=signal.severity, confidence=signal.confidence, body=msgspec.json.encode(body),
    )  # fmt: skip
