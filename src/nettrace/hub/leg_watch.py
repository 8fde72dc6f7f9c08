"""Degraded legs as events: opened when several pairs get worse together, brought up to date, closed when they recover.

Once a minute of the hub's own time, in the transaction that stores the first report behind it, everything that was
stored before that minute is looked at: signals that belong together are one cause, and the traces and rounds of all
pairs around its beginning say which leg explains it. Nothing is remembered but what is stored, so `replayed` says the
same from the store as the hub did live, byte for byte, and a restart loses nothing.
"""

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from nettrace.analysis.routes.blame import blame
from nettrace.analysis.routes.forest import Pair, Side
from nettrace.hub.cause import Cause, causes
from nettrace.hub.leg_event import Told, closed, opened, standing, updated
from nettrace.hub.minute_watch import TURN_NS, MinuteWatch, minutes_of
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade
from nettrace.model.path import Trace
from nettrace.model.route import Blame, BlameVerdict, RouteClass
from nettrace.model.target import RoundMethod
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Event, Window

LOOK_NS = 40 * TURN_NS
"""A cause that could not be explained for so long is left alone."""
LEAST_PAIRS = 2
SETTLED_NS, IMPATIENT_NS = 2 * TURN_NS, 5 * TURN_NS
"""A cause is judged when no pair has joined it for the first, or the second after its first signal was stored."""
JUDGED_AGAIN = frozenset({0, 1, 2, 4, 7, 11, 15, 20, 30, 45, 60, 90})
"""Minutes after a cause has settled, or an event was opened, at which it is judged with what has come in since."""
STILL_BAD = 0.2
"""An event is closed when at most this share of its pairs is still worse, and none has changed for `SETTLED_NS`."""
LASTING_NS = 86_400 * NS_PER_S
"""What is still so after a day is how things are now."""

_MOSTLY = 0.5
_NEAR_ROUNDS, _LEAST_NEAR_NS, _MOST_NEAR_NS = 3, 20 * NS_PER_S, 3600 * NS_PER_S
_BEFORE_NS, _MOST_TRACES, _MOST_SIGNALS = 95 * 60 * NS_PER_S, 6000, 5000
_BEFORE_ROUNDS_NS, _AFTER_ROUNDS_NS = 30 * 60 * NS_PER_S, 60 * 60 * NS_PER_S
_MOST_ROUNDS, _MOST_SAMPLES = 100_000, 400
_PINGS = ("icmp", "tcp", "udp")
_ROUND_FIELDS = ("rtt_ns", "samples_ns", "grade", "request")
_SIGNALS = ("shift", "loss")
_KEPT_NS = 7 * 86_400 * NS_PER_S


class _Rests(msgspec.Struct, frozen=True):
    samples: int = 0


class _Said(msgspec.Struct):
    """What is read of a signal's document."""

    at: float = 0.0
    direction: str | None = None
    tier: str = "confirmed"
    updates: bool = False
    returns_to: float | None = None
    evidence: _Rests = _Rests()
    klass: str = msgspec.field(default="", name="class")


class LegWatch(MinuteWatch):
    """Watches for degraded legs."""

    looks_for = "degraded leg"

    def look(self, now: Instant) -> list[Event]:
        """What is to be told of degraded legs."""
        window = Window(now - _KEPT_NS, now + _KEPT_NS)
        told = self.reader.events(window, kinds=("degraded_leg",), limit=_MOST_SIGNALS, as_of=now - 1)
        return legs_at(self.reader, now, told)


def replayed(reader: StoreReader, window: Window) -> list[Event]:
    """The events the hub made in a window, concluded anew from what had been stored at each of its minutes.

    `stored_at` is that of the first report behind each minute, as it was live.
    """
    told: list[Event] = []
    for turn, stored_at in minutes_of(reader, window, LASTING_NS):
        made = legs_at(reader, turn, told)
        told += [msgspec.structs.replace(each, stored_at=stored_at) for each in made]
    return told


def legs_at(reader: StoreReader, now: Instant, told: Sequence[Event]) -> list[Event]:
    """What is to be told of degraded legs at an instant, from what was stored before it.

    `told` are the events of degraded legs that were made before.
    """
    signals = reader.events(
        Window(now - LASTING_NS, now + LASTING_NS) if (legs := standing(told)) else Window(now - LOOK_NS, now + LOOK_NS),
        kinds=_SIGNALS, limit=_MOST_SIGNALS, as_of=now - 1,
    )  # fmt: skip
    made: list[Event] = []
    explained = {name for each in told for name in _signals_of(each)}
    for leg in legs:
        made += _go_on(reader, now, leg, signals)
    waiting = [
        cause
        for cause in _new_causes(signals, now - LOOK_NS)
        if not any(each.id in explained for each in cause.events) and not _covered(cause, legs)
    ]
    waiting.sort(key=lambda cause: (-len(cause.pairs), cause.since, cause.id))
    while waiting:
        cause = waiting.pop(0)
        if _age(cause, now) not in JUDGED_AGAIN or _rerouted(reader, cause.pairs, cause.since, now):
            continue
        found, traces = judged(reader, cause, now)
        if found.verdict is BlameVerdict.NONE or _is_of_the_target(found, cause, traces):
            continue
        made.append(opened(found, cause, traces, now))
        waiting = [each for each in waiting if not _covered(each, standing(made[-1:]))]
    return made


def _is_of_the_target(found: Blame, cause: Cause, traces: Iterable[Trace]) -> bool:
    """Whether one target alone is worse and nothing says that it is not the target itself, which is no leg."""
    if len({target for _, target in (*cause.pairs, *found.affected)}) > 1:
        return False
    if found.verdict is BlameVerdict.CANNOT_TELL:
        return True
    own = {trace.address for trace in traces if trace.target == cause.targets[0]}
    return all(leg.b in own for leg in found.legs)


def _covered(cause: Cause, legs: Iterable[Told]) -> bool:
    """Whether an event that stands began with the cause and has all of its pairs: then it is the same thing."""
    return any(
        abs(cause.since - leg.since) <= IMPATIENT_NS and set(cause.pairs) <= set(leg.pairs) for leg in legs
    )


def _new_causes(signals: Iterable[Event], since: Instant) -> list[Cause]:
    worse = [each for each in _worse(signals) if each.stored_at >= since]
    if len({(each.vantage, each.target) for each in worse}) < LEAST_PAIRS:
        return []
    found = causes(worse, _nearness_ns(worse))
    return [cause for cause in found if len(cause.pairs) >= LEAST_PAIRS]


def _worse(signals: Iterable[Event]) -> list[Event]:
    """Signals that something got worse and that were not taken back since."""
    known = [(each, _said(each)) for each in signals]
    over = {
        (each.series, each.kind, each.at)
        for each, said in known
        if said.updates and said.tier in {"transient", "ended"}
    }
    return [
        each
        for each, said in known
        if said.direction == "up"
        and not said.updates
        and said.returns_to is None
        and (each.series, each.kind, each.at) not in over
    ]


def _nearness_ns(signals: Sequence[Event]) -> int:
    """Three rounds of the cadence the signals themselves show."""
    steps = [
        (each.detected_at - each.at) / (said.evidence.samples - 1)
        for each in signals
        if (said := _said(each)).evidence.samples > 1
    ]
    usual = median(steps) if steps else 60.0 * NS_PER_S
    return round(min(_MOST_NEAR_NS, max(_LEAST_NEAR_NS, _NEAR_ROUNDS * usual)))


def _age(cause: Cause, now: Instant) -> int:
    """Minutes since the cause could first be judged; negative while it grows."""
    stored = [each.stored_at for each in cause.events]
    ready = min(max(stored) + SETTLED_NS, min(stored) + IMPATIENT_NS)
    return (now - ready) // TURN_NS


def _go_on(reader: StoreReader, now: Instant, leg: Told, signals: Sequence[Event]) -> list[Event]:
    """What becomes of an event that stands: nothing, an update, or its end."""
    state: dict[Pair, tuple[Instant, bool]] = {}
    for each in sorted(signals, key=lambda each: (each.detected_at, each.id)):
        said = _said(each)
        pair = (each.vantage, each.target or "")
        if each.at < leg.since - _LEAST_NEAR_NS or pair not in leg.pairs:
            continue
        if not said.updates or said.tier in {"transient", "ended"}:
            is_bad = said.direction == "up" and not said.updates and said.returns_to is None
            state[pair] = (each.stored_at, is_bad)
    bad = sum(is_bad for _, is_bad in state.values())
    quiet = all(now - changed >= SETTLED_NS for changed, _ in state.values())
    if state and bad <= STILL_BAD * len(leg.pairs) and quiet:
        return [closed(leg, now, "recovered")]
    if now - leg.opened_at >= LASTING_NS:
        return [closed(leg, now, "lasting")]
    if now - leg.opened_at <= LOOK_NS and _rerouted(reader, leg.pairs, leg.since, now):
        return [closed(leg, now, "rerouted")]
    if (now - leg.opened_at) // TURN_NS not in JUDGED_AGAIN - {0}:
        return []
    near = [each for each in _worse(signals) if each.at >= leg.since - _LEAST_NEAR_NS]
    for cause in causes(near, _nearness_ns(near)):
        if {each.id for each in cause.events} & set(leg.signals):
            found, traces = judged(reader, cause, now)
            if found.verdict is not BlameVerdict.NONE and (news := updated(leg, found, cause, traces, now)):
                return [news]
    return []


def _rerouted(
    reader: StoreReader, pairs: Sequence[tuple[str | None, str]], since: Instant, now: Instant
) -> bool:
    """Whether routes changed at the same time, at the vantages or targets of most pairs: then no leg got worse.

    Ways back change unseen with ways there, so a pair beside one that was rerouted proves nothing of any leg.
    """
    around = Window(since - LOOK_NS, now + LASTING_NS)
    changes = [
        each
        for each in reader.events(around, kinds=("route_change",), limit=_MOST_SIGNALS, as_of=now - 1)
        if abs(each.at - since) <= IMPATIENT_NS and _said(each).klass != RouteClass.LOAD_BALANCING
    ]
    if len({(each.vantage, each.target) for each in changes}) < LEAST_PAIRS:
        return False
    vantages, targets = {each.vantage for each in changes}, {each.target for each in changes}
    touched = sum(vantage in vantages or target in targets for vantage, target in pairs)
    return touched >= _MOSTLY * len(pairs)


def judged(reader: StoreReader, cause: Cause, now: Instant) -> tuple[Blame, list[Trace]]:
    """Which leg explains a cause, from what was stored before `now`, and the traces that say so."""
    named = traces_around(reader, cause.since, now)
    return blame(named, cause.since, rounds_around(reader, cause.since, now)), named


def traces_around(reader: StoreReader, since: Instant, now: Instant) -> list[Trace]:
    """The traces of all pairs on both sides of an instant that were stored before `now`, each with its pair's names."""
    stored = reader.traces(
        Choice(methods=(RoundMethod.TRACE.value,)), Window(since - _BEFORE_NS, now), _MOST_TRACES
    )
    named = [
        msgspec.structs.replace(each.trace, vantage=each.series.vantage, target=each.series.target)
        for each in stored
        if each.stored_at < now
    ]
    return sorted(named, key=lambda trace: (trace.at, trace.vantage or "", trace.target, trace.flow))


def rounds_around(reader: StoreReader, since: Instant, now: Instant) -> dict[Pair, tuple[Side, Side]]:
    """Round trips of every pair on both sides of an instant, by whichever of its series has most of them."""
    window = Window(since - _BEFORE_ROUNDS_NS, min(now, since + _AFTER_ROUNDS_NS))
    found = reader.raw(
        Choice(methods=_PINGS), window, fields=_ROUND_FIELDS, limit=_MOST_ROUNDS, as_of=now - 1
    )
    sides: dict[tuple[Pair, str], tuple[Side, Side]] = {}
    rows = zip(
        found.series, found.due, found.rtt_ns, found.samples_ns, found.grade, found.request, strict=True
    )
    for series, due, rtt_ns, samples, grade, request in rows:
        if request is not None or grade == Grade.USER or (rtt_ns is None and not samples):
            continue
        pair = (series.vantage, series.target)
        both = sides.setdefault((pair, f"{series.endpoint}/{series.method}"), (Side(), Side()))
        side = both[0] if due < since else both[1]
        if len(side.rtts_ms) + side.lost < _MOST_SAMPLES or due < since:
            side.rtts_ms += [each / NS_PER_MS for each in samples if each is not None]
            side.lost += sum(each is None for each in samples)
    best: dict[Pair, tuple[int, str, tuple[Side, Side]]] = {}
    for (pair, name), (before, after) in sorted(sides.items()):
        before.rtts_ms = before.rtts_ms[-_MOST_SAMPLES:]
        count = min(len(before.rtts_ms), len(after.rtts_ms) + after.lost)
        if count and count > best.get(pair, (0, "", None))[0]:
            best[pair] = (count, name, (before, after))
    return {pair: both for pair, (_, _, both) in best.items()}


def _said(event: Event) -> _Said:
    try:
        return msgspec.json.decode(event.body, type=_Said, strict=False)
    except msgspec.DecodeError:
        return _Said()


def _signals_of(event: Event) -> list[str]:
    return msgspec.json.decode(event.body, type=_Explained).signals


class _Explained(msgspec.Struct):
    signals: list[str] = []
