"""On-demand measurements between being asked for and being answered: who is to do what, when, and in whose turn.

No clock in here: every call is told the time. The writer holds the one board there is, so a round is handed out once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.rows import MeasurementRequest, MeasurementState
from nettrace.wire.frames import Work

MOST_AT_ONCE = 8
"""Rounds a vantage is handed in one answer."""
TARGET_GAP_NS = 1 * NS_PER_S
"""A vantage starts no two on-demand rounds at one target sooner after each other, whoever asks."""
LEASE_NS = 20 * NS_PER_S
"""A round handed out and not answered for so long is handed out again while its deadline lasts: its node may be dead."""

_OPEN = (MeasurementState.QUEUED, MeasurementState.RUNNING)


@dataclass
class _Entry:
    request: MeasurementRequest
    handed: dict[str, Instant] = field(default_factory=dict[str, Instant])

    def wants(self, vantage: str, now: Instant) -> bool:
        if vantage not in self.request.wanted or vantage in self.request.answered:
            return False
        return now < self.request.deadline and now >= self.handed.get(vantage, -LEASE_NS) + LEASE_NS


class WorkBoard:
    """The open requests, oldest first.

    Turns go round the accounts that wait, so that somebody with a thousand requests delays nobody with one; within an
    account they go by age.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Entry] = {}
        self._last_turn: dict[str, int] = {}
        self._turns = 0
        self._touched: dict[tuple[str, str], Instant] = {}

    def __len__(self) -> int:
        return len(self._open)

    def put(self, request: MeasurementRequest) -> None:
        """Take up a request, or what has become of one."""
        if request.state not in _OPEN:
            self._open.pop(request.id, None)
            return
        before = self._open.get(request.id)
        self._open[request.id] = _Entry(request, before.handed if before else {})

    def waits_for(self, vantage: str, now: Instant) -> bool:
        """True when the vantage has something to do."""
        return any(entry.wants(vantage, now) for entry in self._open.values())

    def claim(self, vantage: str, now: Instant) -> tuple[list[Work], list[MeasurementRequest]]:
        """The rounds the vantage is to do now, and the requests that are running because of that."""
        queues: dict[str, list[_Entry]] = {}
        for entry in self._open.values():
            if entry.wants(vantage, now):
                queues.setdefault(entry.request.account, []).append(entry)
        work: list[Work] = []
        begun: list[MeasurementRequest] = []
        while queues and len(work) < MOST_AT_ONCE:
            account = min(queues, key=lambda name: self._last_turn.get(name, 0))
            entry = queues[account].pop(0)
            if not queues[account]:
                del queues[account]
            if not self._polite(vantage, entry.request.target, now):
                continue
            self._turns += 1
            self._last_turn[account] = self._turns
            entry.handed[vantage] = now
            work.append(_work(entry.request))
            if entry.request.state is MeasurementState.QUEUED:
                entry.request = msgspec.structs.replace(entry.request, state=MeasurementState.RUNNING)
                begun.append(entry.request)
        return work, begun

    def answered(self, request: str, vantages: Iterable[str]) -> MeasurementRequest | None:
        """The request after these vantages' rounds are in; None when it is not open or they are no news."""
        entry = self._open.get(request)
        if entry is None:
            return None
        have = entry.request.answered
        new = tuple(v for v in dict.fromkeys(vantages) if v in entry.request.wanted and v not in have)
        if not new:
            return None
        done = set(entry.request.wanted) <= {*have, *new}
        state = MeasurementState.FINISHED if done else MeasurementState.RUNNING
        entry.request = msgspec.structs.replace(entry.request, answered=have + new, state=state)
        if done:
            del self._open[request]
        return entry.request

    def expire(self, now: Instant) -> list[MeasurementRequest]:
        """The requests whose deadline has passed; what was answered by then stays theirs."""
        late = [entry.request for entry in self._open.values() if now >= entry.request.deadline]
        for request in late:
            del self._open[request.id]
        if not self._open:
            self._touched.clear()
            self._last_turn.clear()
        return [msgspec.structs.replace(request, state=MeasurementState.EXPIRED) for request in late]

    def _polite(self, vantage: str, target: str, now: Instant) -> bool:
        last = self._touched.get((vantage, target))
        if last is not None and now - last < TARGET_GAP_NS:
            return False
        self._touched[vantage, target] = now
        return True


def _work(request: MeasurementRequest) -> Work:
    return Work(
        request=request.id,
        target=request.target,
        endpoint=request.endpoint,
        method=request.method,
        probes=request.probes,
        deadline=request.deadline,
    )
