"""Facts in, notices out: every rule over every series, with hysteresis, quorum and holds, and one incident for one cause.

Nothing here knows a clock: `now` comes with the facts. `snapshot` and `restore` go on exactly where the last life
stopped; a pause is met as a gap: every window begins anew, and nobody was silent while nobody listened.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from nettrace.analysis.alerts.calendar import fits, is_open, under_maintenance
from nettrace.analysis.alerts.fact import EventSeen, Fact, Heard, Known, Ordered, RoundSeen
from nettrace.analysis.alerts.gauge import Gauge
from nettrace.analysis.alerts.incident import Holding, Incidents
from nettrace.analysis.alerts.quorum import Verdict, Vote, better, verdict
from nettrace.analysis.alerts.rule import (
    NUMERIC,
    OF_MACHINES,
    OF_VANTAGES,
    Metric,
    Rule,
    RuleBook,
    duration_ns,
)
from nettrace.analysis.alerts.state import Active, State, Unit
from nettrace.model.alert import ORDER, Incident, Notice, Reason
from nettrace.model.instant import NS_PER_S, Instant

PAUSE_NS = 300 * NS_PER_S
"""Nothing heard of for so long means that we were away, not they."""
ALIVE_NS = 60 * NS_PER_S
"""A vantage not heard of for so long cannot be asked whether a round is overdue."""
TOLD_NS = 45 * NS_PER_S
"""So long what a node said of its machine stands: shorter than any preset waits, longer than between two reports."""
BLIND_SHARE, BLIND_SERIES, BLIND_TARGETS = 0.8, 5, 3
"""A vantage that fails at so many of its series, of this many at least, is itself what is wrong: it holds alerts."""
_ROUTE_KINDS = frozenset({"route_change", "route_change_shared"})
_SHARED = frozenset({"leg", "route"})
"""Subjects that stand for a cause of several pairs: it takes over what these pairs hold."""
_AGE_STEP_NS = 10 * NS_PER_S
_PATIENCE = 3
"""Signals of one rule at several targets at once are held so many times longer: what explains them all may yet be named."""


class Turn(msgspec.Struct, frozen=True):
    """What one feeding brought: notices in order, and every incident that changed, as it is now."""

    notices: tuple[Notice, ...]
    incidents: tuple[Incident, ...]


class Evaluator:
    """Holds a book of rules against what happens."""

    def __init__(self, book: RuleBook, state: State | None = None) -> None:
        self._book = book
        self._state = state or State()
        self._rules = {rule.name: rule for rule in book.rule}
        self._state.bad = {
            key: kept
            for key, names in self._state.bad.items()
            if (kept := [name for name in names if name in self._rules])
        }
        self._notices: list[Notice] = []
        self._changed: dict[str, Incident] = {}
        self._incidents = Incidents(book, self._state.incidents, self._notices.append, self._note)
        self._matching: dict[str, tuple[Rule, ...]] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._blind: dict[str, float | None] = {}
        self._by_target: dict[str, list[str]] = {}
        self._by_vantage: dict[str, list[str]] = {}
        self._touched: set[str] = set()
        self._beset: Counter[str] = Counter()
        for key, gauge in self._state.gauges.items():
            self._index(key, gauge)

    @classmethod
    def restore(cls, book: RuleBook, snapshot: bytes) -> "Evaluator":
        """An evaluator that goes on where `snapshot` was taken; rules that are no more let go of what they held."""
        return cls(book, msgspec.msgpack.decode(snapshot, type=State))

    @classmethod
    def resume(cls, book: RuleBook, parts: Mapping[str, bytes]) -> "Evaluator":
        """An evaluator that goes on where the newest of each of these `parts` was written."""
        state = msgspec.msgpack.decode(parts[""], type=State)
        whole = set(state.gauges)  # of a version that wrote all in one
        for key, packed in parts.items():
            if key and packed:
                state.gauges[key] = msgspec.msgpack.decode(packed, type=Gauge)
        made = cls(book, state)
        made._touched = whole
        return made

    def snapshot(self) -> bytes:
        """Everything that is remembered."""
        return msgspec.msgpack.encode(self._state)

    def parts(self) -> dict[str, bytes]:
        """What has changed since it was asked last: each series by itself, empty when it was let go; "" is all the rest."""
        gauges = self._state.gauges
        changed = {
            key: msgspec.msgpack.encode(gauges[key]) if key in gauges else b""
            for key in sorted(self._touched)
        }
        self._touched.clear()
        return {"": msgspec.msgpack.encode(msgspec.structs.replace(self._state, gauges={}))} | changed

    def under(self, book: RuleBook) -> "Evaluator":
        """One that goes on with other rules; rules that are no more let go of what they held."""
        made = Evaluator.restore(book, self.snapshot())
        made._touched = set(self._touched)
        return made

    @property
    def open(self) -> list[Incident]:
        """The incidents that are not closed."""
        return [memory.incident for memory in self._state.incidents.values()]

    def attach(self, incident: str, traces: tuple[str, ...]) -> Incident | None:
        """Measurements that were started because of an incident belong to it; the incident, when it is still there."""
        self._incidents.attach(incident, traces)
        return self._changed.pop(incident, None)

    def feed(self, now: Instant, facts: Sequence[Fact] = ()) -> Turn:
        """Take these facts, learnt at `now`, and look at everything whose time has come."""
        state = self._state
        now = max(now, state.now)
        if state.now < 0 or now - state.now > PAUSE_NS:
            state.since = now
            for unit in state.units.values():
                unit.pending_since = unit.clear_since = None
        state.now = now
        self._blind.clear()
        for fact in facts:
            self._take(fact, now)
        self._blind.clear()
        for vantage in self._by_vantage:
            if self._is_blind(vantage, now):
                self._unsee(vantage)
        self._look(now)
        turn = Turn(tuple(self._notices), tuple(self._changed.values()))
        self._notices.clear()
        self._changed.clear()
        return turn

    def _note(self, incident: Incident) -> None:
        self._changed[incident.id] = incident

    # -- facts
    def _take(self, fact: Fact, now: Instant) -> None:
        match fact:
            case RoundSeen():
                self._round(fact, now)
            case EventSeen():
                self._event(fact, now)
            case Heard() if fact.serving:
                self._state.heard[fact.vantage] = max(fact.at, self._state.heard.get(fact.vantage, -1))
                self._state.loads[fact.vantage] = fact.load
            case Heard():
                self._state.heard.pop(fact.vantage, None)
                self._state.loads.pop(fact.vantage, None)
                self._forget(self._by_vantage.get(fact.vantage, ()))
            case Known():
                if self._state.known.get(fact.target) != fact:
                    self._state.known[fact.target] = fact
                    self._matching.clear()
                    if not fact.watched:
                        self._forget(self._by_target.get(fact.target, ()))
            case Ordered(action="ack"):
                self._incidents.acknowledge(fact.incident, fact.actor, now)
            case Ordered():
                for unit in self._incidents.close(fact.incident, fact.actor, now):
                    self._state.units[unit].cause, self._state.units[unit].muted = None, True

    def _round(self, seen: RoundSeen, now: Instant) -> None:
        state, key = self._state, str(seen.series)
        state.heard[seen.series.vantage] = now
        gauge = state.gauges.get(key)
        if gauge is None:
            gauge = state.gauges[key] = Gauge(series=seen.series, interval_ns=seen.interval_ns)
            self._index(key, gauge)
        self._touched.add(key)
        if seen.due <= gauge.last_due:
            return  # late, out of a spool's depth: it proves nothing about the present
        latched = state.bad.get(key, [])
        rules = self._rules_for(key, gauge)
        gauge.take(seen, bad=bool(latched), learn=any(rule.mads is not None for rule in rules))
        if gauge.stale(now):
            return
        for rule in rules:
            if rule.metric is Metric.AGE:
                continue
            found, bounds = gauge.measure(rule, now, state.since), gauge.thresholds(rule)
            if found is not None and bounds is not None:
                was = rule.name in latched
                self._latch(key, rule.name, bad=found > bounds[was], was=was)
        for rule in state.bad.get(key, ()):
            self._dirty.add((rule, f"target:{seen.series.target}"))

    def _latch(self, key: str, rule: str, *, bad: bool, was: bool) -> None:
        if bad and not was:
            self._state.bad.setdefault(key, []).append(rule)
        elif was and not bad:
            self._state.bad[key].remove(rule)
            if not self._state.bad[key]:
                del self._state.bad[key]

    def _event(self, seen: EventSeen, now: Instant) -> None:
        for rule in self._book.rule:
            if not self._wants(rule, seen):
                continue
            subjects = [f"leg:{a}>{b}" for a, b in seen.legs] or [f"target:{seen.target}"]
            if seen.subject:
                subjects = [seen.subject]
            for subject in subjects:
                key = f"{rule.name}|{subject}|{'' if seen.subject else seen.vantage}|{seen.kind}"
                if seen.over or not seen.worse:
                    self._state.signals.pop(key, None)
                elif self._strong(rule, seen):
                    self._state.signals[key] = Active(
                        rule=rule.name, subject=subject, event=seen, until=now + duration_ns(rule.lasts)
                    )
                    self._dirty.add((rule.name, subject))

    def _wants(self, rule: Rule, seen: EventSeen) -> bool:
        if rule.metric is Metric.ROUTE:
            if seen.kind not in _ROUTE_KINDS or (rule.classes and seen.klass not in rule.classes):
                return False
        elif (
            rule.metric is not Metric.SIGNAL
            or (rule.kinds and seen.kind not in rule.kinds)
            or (seen.kind in _ROUTE_KINDS and not rule.kinds)
        ):
            return False
        return bool(seen.legs or seen.subject) or self._in_scope(rule, seen.target, seen.vantage, seen.method)

    def _strong(self, rule: Rule, seen: EventSeen) -> bool:
        if seen.confidence < rule.confidence or seen.tier == "tentative":
            return False
        return rule.metric is Metric.ROUTE or ORDER.index(seen.severity) >= ORDER.index(rule.least_severity)

    # -- units
    def _look(self, now: Instant) -> None:
        state = self._state
        for key in [key for key, active in state.signals.items() if active.until <= now]:
            del state.signals[key]
        if now - state.aged_at >= _AGE_STEP_NS:
            state.aged_at = now
            self._age(now)
        for rule, subject in sorted(self._dirty):
            state.units.setdefault(f"{rule}|{subject}", Unit(rule=rule, subject=subject))
        self._dirty.clear()
        self._beset = Counter(
            unit.rule for unit in state.units.values() if unit.subject.startswith("target:")
        )
        for key in sorted(state.units, key=_first_causes):
            unit = state.units[key]
            if unit.rule in self._rules:
                self._weigh(key, unit, self._rules[unit.rule], now)
            else:
                self._end(key, unit, now, "its rule was taken away")
        self._incidents.look(now, lambda rule: not self._in_session(rule, now))

    def _age(self, now: Instant) -> None:
        """Rules that hold because nothing happens have to be asked."""
        for rule in self._book.rule:
            if rule.metric in OF_VANTAGES:
                for vantage in self._state.heard:
                    if fits(rule.vantages, vantage) and self._vantage_vote(rule, vantage, now)[0] is Vote.BAD:
                        self._dirty.add((rule.name, f"vantage:{vantage}"))
            elif rule.metric is Metric.AGE:
                for key, gauge in self._state.gauges.items():
                    if rule in self._rules_for(key, gauge) and self._aged(rule, gauge, now):
                        self._dirty.add((rule.name, f"target:{gauge.series.target}"))

    def _weigh(self, key: str, unit: Unit, rule: Rule, now: Instant) -> None:
        said, holding = self._judge(key, unit, rule, now)
        shared = unit.subject.partition(":")[0] in _SHARED
        hold_ns = 0 if shared else duration_ns(rule.hold)  # what several pairs saw was waited for already
        alone = rule.metric is not Metric.SIGNAL or self._beset[rule.name] < 2
        opens_ns = hold_ns if alone else _PATIENCE * hold_ns
        if said is Verdict.HELD:
            unit.pending_since = unit.clear_since = None
        elif said is Verdict.BAD:
            unit.clear_since = None
            if unit.pending_since is None:
                unit.pending_since = now
            if unit.cause is not None or (now - unit.pending_since >= opens_ns and not unit.muted):
                self._hold(key, unit, holding, now)
        elif unit.cause is None:
            del self._state.units[key]
        else:
            unit.pending_since = None
            if unit.clear_since is None:
                unit.clear_since = now
            if now - unit.clear_since >= hold_ns:
                self._end(key, unit, now, "recovered")

    def _hold(self, key: str, unit: Unit, holding: Holding, now: Instant) -> None:
        """Its incident knows of it; one that turns out to be part of a leg's goes over to that."""
        cause = unit.cause or holding.cause
        if cause != holding.cause and holding.cause.partition(":")[0] in _SHARED:
            self._incidents.release(cause, key, now, f"part of {holding.cause}")
            cause = holding.cause
        since = now if unit.pending_since is None else unit.pending_since
        unit.cause = self._incidents.hold(msgspec.structs.replace(holding, since=since, cause=cause), now)

    def _end(self, key: str, unit: Unit, now: Instant, why: str) -> None:
        if unit.cause is not None:
            self._incidents.release(unit.cause, key, now, why)
        del self._state.units[key]

    def _judge(self, key: str, unit: Unit, rule: Rule, now: Instant) -> tuple[Verdict, Holding]:
        kind, _, name = unit.subject.partition(":")
        if kind == "vantage":
            vote, why = self._vantage_vote(rule, name, now)
            votes, targets = {name: vote}, ()
        elif kind in _SHARED:
            return self._judge_leg(key, unit, rule, now)
        else:
            votes, why = self._target_votes(rule, name, now)
            targets = (name,)
        bad = tuple(sorted(vantage for vantage, vote in votes.items() if vote is Vote.BAD))
        said = verdict(votes.values(), rule.k, rule.n) if votes else Verdict.GOOD
        cause = self._cause(rule, unit.subject, {(vantage, name) for vantage in bad})
        return said, Holding(
            rule=rule, unit=key, cause=cause, since=now, targets=targets, vantages=bad, why=tuple(why)
        )

    def _judge_leg(self, key: str, unit: Unit, rule: Rule, now: Instant) -> tuple[Verdict, Holding]:
        active = [
            each
            for each in self._state.signals.values()
            if (each.rule, each.subject) == (unit.rule, unit.subject)
        ]
        pairs = [pair for each in active for pair in each.event.pairs]
        why = tuple(
            Reason(subject=unit.subject, metric=each.event.kind, event=each.event.id) for each in active
        )
        said = Verdict.GOOD if not active else Verdict.BAD if self._in_session(rule, now) else Verdict.HELD
        return said, Holding(
            rule=rule, unit=key, cause=unit.subject, since=now, why=why,
            targets=tuple(sorted({target for _, target in pairs})),
            vantages=tuple(sorted({vantage for vantage, _ in pairs})),
        )  # fmt: skip

    def _target_votes(self, rule: Rule, target: str, now: Instant) -> tuple[dict[str, Vote], list[Reason]]:
        votes: dict[str, list[Vote]] = {}
        why: list[Reason] = []
        for key in self._by_target.get(target, ()):
            gauge = self._state.gauges[key]
            if self._in_scope(rule, target, gauge.series.vantage, gauge.series.method):
                vote = self._held(rule, gauge, now) or Vote.GOOD
                if rule.metric in NUMERIC:
                    vote = self._numeric(rule, key, gauge, now, why)
                votes.setdefault(gauge.series.vantage, []).append(vote)
        for active in self._state.signals.values():
            if active.rule == rule.name and active.subject == f"target:{target}":
                vantage = active.event.vantage or "-"
                held = not self._in_session(rule, now) or self._in_maintenance(now, target, vantage)
                held = held or self._is_blind(vantage, now)
                votes.setdefault(vantage, []).append(Vote.HELD_BAD if held else Vote.BAD)
                why.append(
                    Reason(subject=f"{vantage}>{target}", metric=active.event.kind, event=active.event.id)
                )
        return {vantage: better(said) for vantage, said in votes.items()}, why

    def _numeric(self, rule: Rule, key: str, gauge: Gauge, now: Instant, why: list[Reason]) -> Vote:
        aged = rule.metric is Metric.AGE
        bad = self._aged(rule, gauge, now) if aged else rule.name in self._state.bad.get(key, ())
        held = self._held(rule, gauge, now)
        found, bounds = gauge.measure(rule, now, self._state.since), gauge.thresholds(rule)
        if held is not None or found is None or bounds is None:
            return Vote.HELD_BAD if bad else Vote.HELD
        if bad:
            why.append(
                Reason(subject=key, metric=rule.metric, value=round(found, 4), threshold=round(bounds[0], 4))
            )
        return Vote.BAD if bad else Vote.GOOD

    def _aged(self, rule: Rule, gauge: Gauge, now: Instant) -> bool:
        return (gauge.measure(rule, now, self._state.since) or 0.0) > (rule.above or 0.0)

    def _held(self, rule: Rule, gauge: Gauge, now: Instant) -> Vote | None:
        """HELD while this series cannot be asked: it is no fault of the target that we do not see."""
        vantage = gauge.series.vantage
        if not self._in_session(rule, now) or self._in_maintenance(now, gauge.series.target, vantage):
            return Vote.HELD
        if rule.metric is Metric.AGE:
            alive = now - max(self._state.heard.get(vantage, -1), self._state.since) <= ALIVE_NS
            return None if alive else Vote.HELD
        return Vote.HELD if gauge.stale(now) or self._is_blind(vantage, now) else None

    def _vantage_vote(self, rule: Rule, vantage: str, now: Instant) -> tuple[Vote, list[Reason]]:
        heard = self._state.heard.get(vantage)
        if heard is None:
            return Vote.GOOD, []
        if not self._in_session(rule, now) or self._in_maintenance(now, None, vantage):
            return Vote.HELD, []
        above = rule.above or 0.0
        silent = (now - max(heard, self._state.since)) / NS_PER_S
        if rule.metric in OF_MACHINES:  # who is not heard of tells nothing of the present
            is_known = silent * NS_PER_S <= TOLD_NS
            found = self._state.loads.get(vantage, {}).get(rule.metric) if is_known else None
        else:
            found = silent if rule.metric is Metric.SILENCE else self._trouble(vantage, now)
        if found is None:
            return Vote.HELD, []
        holds = self._state.units.get(f"{rule.name}|vantage:{vantage}")
        limit = above if holds is None or holds.cause is None or rule.recover is None else rule.recover
        reason = Reason(subject=vantage, metric=rule.metric, value=round(found, 1), threshold=above)
        return (Vote.BAD, [reason]) if found > limit else (Vote.GOOD, [])

    def _trouble(self, vantage: str, now: Instant) -> float | None:
        """The share (%) of a vantage's fresh series whose newest round brought nothing; None when they are too few."""
        if vantage not in self._blind:
            fresh = [self._state.gauges[key] for key in self._by_vantage.get(vantage, ())]
            fresh = [gauge for gauge in fresh if not gauge.stale(now)]
            few = len(fresh) < BLIND_SERIES or len({gauge.series.target for gauge in fresh}) < BLIND_TARGETS
            self._blind[vantage] = None if few else 100.0 * sum(gauge.trouble for gauge in fresh) / len(fresh)
        return self._blind[vantage]

    def _unsee(self, vantage: str) -> None:
        """What a blind vantage saw last was its own fault: it is forgotten, and began nothing."""
        for key in self._by_vantage[vantage]:
            gauge = self._state.gauges[key]
            if gauge.rows or gauge.failed:
                gauge.forget()
                self._touched.add(key)
            for rule in list(self._state.bad.get(key, ())):
                unit = self._state.units.get(f"{rule}|target:{gauge.series.target}")
                if unit is None or unit.cause is None:
                    self._latch(key, rule, bad=False, was=True)

    def _is_blind(self, vantage: str, now: Instant) -> bool:
        return (self._trouble(vantage, now) or 0.0) >= 100.0 * BLIND_SHARE

    # -- scope
    def _cause(self, rule: Rule, subject: str, pairs: set[tuple[str, str]]) -> str:
        if rule.group == "rule":
            return f"rule:{rule.name}"
        if not subject.startswith("target:"):
            return subject
        for active in self._state.signals.values():
            if active.subject in self._state.incidents and pairs and pairs <= set(active.event.pairs):
                return active.subject
        known = self._state.known.get(subject.partition(":")[2])
        if rule.group == "as" and known is not None and known.asn is not None:
            return f"as:{known.asn}"
        return subject

    def _rules_for(self, key: str, gauge: Gauge) -> tuple[Rule, ...]:
        if key not in self._matching:
            series = gauge.series
            self._matching[key] = tuple(
                rule for rule in self._book.rule
                if rule.metric in NUMERIC and self._in_scope(rule, series.target, series.vantage, series.method)
            )  # fmt: skip
        return self._matching[key]

    def _in_scope(self, rule: Rule, target: str | None, vantage: str | None, method: str | None) -> bool:
        known = self._state.known.get(target or "")
        return (
            fits(rule.targets, target)
            and fits(rule.vantages, vantage)
            and fits(rule.methods, method)
            and fits(rule.categories, known.category if known else None)
        )

    def _in_session(self, rule: Rule, now: Instant) -> bool:
        return rule.session is None or is_open(self._book.session[rule.session], now)

    def _in_maintenance(self, now: Instant, target: str | None, vantage: str | None) -> bool:
        return under_maintenance(self._book.maintenance, now, target, vantage)

    def _index(self, key: str, gauge: Gauge) -> None:
        self._by_target.setdefault(gauge.series.target, []).append(key)
        self._by_vantage.setdefault(gauge.series.vantage, []).append(key)

    def _forget(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            gauge = self._state.gauges.pop(key)
            self._touched.add(key)
            self._state.bad.pop(key, None)
            self._matching.pop(key, None)
            self._by_target[gauge.series.target].remove(key)
            self._by_vantage[gauge.series.vantage].remove(key)


def _first_causes(unit: str) -> tuple[int, str]:
    """Legs and vantages are judged before targets, which may be found to suffer from them."""
    return ("|target:" in unit, unit)
