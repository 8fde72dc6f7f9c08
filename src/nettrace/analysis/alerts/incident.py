"""The life of incidents: opened by the first rule that holds for a cause, joined by others, closed when none holds.

Who is told, and when: once when it opens (after quiet hours, if its rule has some), again when it becomes more severe,
when it is to be repeated or escalated and nobody has acknowledged it, and when it closes if anybody was ever told.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from nettrace.analysis.alerts.calendar import is_open
from nettrace.analysis.alerts.rule import Rule, RuleBook, duration_ns
from nettrace.model.alert import ORDER, Incident, IncidentState, Notice, NoticeKind, Reason
from nettrace.model.instant import Instant
from nettrace.model.signal import Severity


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule that has held long enough says."""

    rule: Rule
    unit: str
    cause: str
    since: Instant
    targets: tuple[str, ...]
    vantages: tuple[str, ...]
    why: tuple[Reason, ...]


class Memory(msgspec.Struct, kw_only=True):
    """An incident that is not closed, with what still holds for it."""

    incident: Incident
    units: list[str] = []
    owed: bool = False
    told: int = 0


class Incidents:
    """The incidents that are not closed.

    Args:
        kept: by cause; changed in place, so that whoever keeps it can write it down.
        tell: gets every notice; `note` every incident as it was changed.
    """

    def __init__(
        self,
        book: RuleBook,
        kept: dict[str, Memory],
        tell: Callable[[Notice], None],
        note: Callable[[Incident], None],
    ) -> None:
        self._rules: Mapping[str, Rule] = {rule.name: rule for rule in book.rule}
        self._book = book
        self._kept = kept
        self._tell = tell
        self._note = note

    def hold(self, holding: Holding, now: Instant) -> str:
        """A rule holds: its incident is opened, joined or brought up to date; the cause."""
        memory = self._kept.get(holding.cause)
        if memory is None:
            self._open(holding, now)
            return holding.cause
        before = memory.incident
        if holding.unit not in memory.units:
            memory.units.append(holding.unit)
        changed = msgspec.structs.replace(
            before, severity=max(before.severity, holding.rule.severity, key=ORDER.index),
            rules=_with(before.rules, (holding.rule.name,)), targets=_with(before.targets, holding.targets),
            vantages=_with(before.vantages, holding.vantages),
        )  # fmt: skip
        if changed != before:
            self._keep(memory, msgspec.structs.replace(changed, why=holding.why))
            if changed.severity != before.severity and not memory.owed:
                self._send(memory, NoticeKind.RAISED, now)
        return holding.cause

    def release(self, cause: str, unit: str, now: Instant, why: str = "recovered") -> None:
        """A rule no longer holds; the last one closes the incident."""
        memory = self._kept.get(cause)
        if memory is None or unit not in memory.units:
            return
        memory.units.remove(unit)
        if not memory.units:
            self._close(memory, now, why)

    def acknowledge(self, incident: str, actor: str, now: Instant) -> None:
        """Somebody has it: no repetition and no escalation from now on."""
        memory = self._by_id(incident)
        if memory is not None and memory.incident.state is IncidentState.OPEN:
            self._keep(memory, msgspec.structs.replace(
                memory.incident, state=IncidentState.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=actor
            ))  # fmt: skip

    def attach(self, incident: str, traces: tuple[str, ...]) -> None:
        """Measurements that were started because of it."""
        memory = self._by_id(incident)
        if memory is not None:
            self._keep(
                memory, msgspec.structs.replace(memory.incident, traces=_with(memory.incident.traces, traces))
            )

    def close(self, incident: str, actor: str, now: Instant) -> tuple[str, ...]:
        """A person ends it; the units that still hold, which shall not open it again before they were over."""
        memory = self._by_id(incident)
        if memory is None:
            return ()
        self._close(memory, now, actor)
        return tuple(memory.units)

    def look(self, now: Instant, paused: Callable[[Rule], bool]) -> None:
        """Pages that waited for the end of quiet hours, repetitions and escalations that have become due.

        `paused` is true for a rule whose session is closed: it repeats nothing until it opens.
        """
        for memory in list(self._kept.values()):
            if memory.owed:
                if not self._quiet(memory, now):
                    self._send(memory, NoticeKind.OPENED, now)
                continue
            incident = memory.incident
            if incident.state is not IncidentState.OPEN or incident.page_at is None:
                continue
            for rule in self._rules_of(incident):
                self._escalate(memory, rule, now)
                last = memory.incident.repeated_at or incident.page_at
                if rule.repeat and now - last >= duration_ns(rule.repeat) and not paused(rule):
                    if not self._quiet(memory, now):
                        self._keep(memory, msgspec.structs.replace(memory.incident, repeated_at=now))
                        self._send(memory, NoticeKind.REPEATED, now)
                    break

    def _escalate(self, memory: Memory, rule: Rule, now: Instant) -> None:
        incident = memory.incident
        if incident.page_at is None or incident.escalated >= len(rule.escalate):
            return
        step = rule.escalate[incident.escalated]
        if now - incident.page_at >= duration_ns(step.after):
            self._keep(memory, msgspec.structs.replace(incident, escalated=incident.escalated + 1))
            self._send(memory, NoticeKind.ESCALATED, now, step.channels)

    def _open(self, holding: Holding, now: Instant) -> None:
        made = "inc_" + blake2b(f"{holding.cause} {now}".encode(), digest_size=10).hexdigest()
        incident = Incident(
            id=made, cause=holding.cause, severity=holding.rule.severity, rules=(holding.rule.name,),
            targets=holding.targets, vantages=holding.vantages, since=holding.since, opened_at=now, why=holding.why,
        )  # fmt: skip
        memory = self._kept[holding.cause] = Memory(incident=incident, units=[holding.unit])
        self._note(incident)
        memory.owed = self._quiet(memory, now)
        if not memory.owed:
            self._send(memory, NoticeKind.OPENED, now)

    def _close(self, memory: Memory, now: Instant, why: str) -> None:
        incident = memory.incident
        self._keep(memory, msgspec.structs.replace(
            incident, state=IncidentState.CLOSED, closed_at=now, closed_by=why
        ))  # fmt: skip
        if incident.page_at is not None:
            self._send(memory, NoticeKind.CLOSED, now)
        del self._kept[incident.cause]

    def _send(
        self, memory: Memory, kind: NoticeKind, now: Instant, channels: Sequence[str] | None = None
    ) -> None:
        if kind is NoticeKind.OPENED:
            memory.owed = False
            self._keep(memory, msgspec.structs.replace(memory.incident, page_at=now))
        chosen = tuple(channels) if channels is not None else self._channels(memory.incident, kind)
        memory.told += 1
        self._tell(Notice(kind=kind, at=now, incident=memory.incident, channels=chosen, number=memory.told))

    def _channels(self, incident: Incident, kind: NoticeKind) -> tuple[str, ...]:
        """The rules' own channels, or all; of a closing one also those it was escalated to."""
        chosen: tuple[str, ...] = ()
        for rule in self._rules_of(incident):
            chosen = _with(chosen, rule.channels or tuple(self._book.channel))
            if kind is NoticeKind.CLOSED:
                for step in rule.escalate[: incident.escalated]:
                    chosen = _with(chosen, step.channels)
        rank = ORDER.index(incident.severity)
        return tuple(name for name in chosen if rank >= ORDER.index(self._book.channel[name].least_severity))

    def _quiet(self, memory: Memory, now: Instant) -> bool:
        """True while the quiet hours of each of its rules are on; what is critical knows none."""
        if memory.incident.severity is Severity.CRITICAL:
            return False
        named = [rule.quiet for rule in self._rules_of(memory.incident)]
        return bool(named) and all(
            name is not None and is_open(self._book.session[name], now) for name in named
        )

    def _rules_of(self, incident: Incident) -> list[Rule]:
        return [self._rules[name] for name in incident.rules if name in self._rules]

    def _by_id(self, incident: str) -> Memory | None:
        return next((memory for memory in self._kept.values() if memory.incident.id == incident), None)

    def _keep(self, memory: Memory, incident: Incident) -> None:
        memory.incident = incident
        self._note(incident)


def _with(have: tuple[str, ...], more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*have, *more)))
