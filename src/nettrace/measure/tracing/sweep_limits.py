"""What a sweep does about routers that limit their answers: who is asked again, and what is concluded for whom."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from sys import byteorder
from typing import Protocol

from nettrace.measure.tracing.lanes import CONTROLS, PACED, Lane
from nettrace.measure.tracing.shared_hop import ENOUGH, LEAST, Sampled, Witness
from nettrace.measure.tracing.sweep_table import INFERRED, LIMITED, Table
from nettrace.model.instant import NS_PER_S, Instant

SETTLE_EVERY_NS = NS_PER_S
_MOST_WITNESSES = 4096
_ALUMNI = 16
"""Finished rows that are kept a little longer: a lane that falls silent asks them once more."""


class Sweeping(Protocol):
    """What this module needs of a sweep."""

    table: Table
    lanes: list[Lane]
    flags: dict[int, int]
    inferred: dict[int, dict[int, int]]

    def is_open(self, row: int, step: int) -> bool:
        """The row still waits for an answer in this lane."""
        ...

    def hop_silent(self, row: int, ttl: int, how: int) -> None:
        """One sample of a hop is given up."""
        ...

    def unanswered(self, row: int, step: int, how: int, *, final: bool) -> None:
        """A probe stayed without answer."""
        ...


class Limits:
    """Controls for lanes that fall silent, and inference for those that are paced.

    Attributes:
        settle_at: when paced lanes are looked at next.
    """

    def __init__(self, sweep: Sweeping) -> None:
        self._sweep = sweep
        self._alumni: deque[int] = deque()
        self._past: deque[Witness] = deque(maxlen=_MOST_WITNESSES)
        self._limited = False
        self.settle_at: Instant = 0

    def finish(self, row: int) -> int | None:
        """A row's result has been read; the row that may be closed in its place, or None."""
        self._alumni.append(row)
        if len(self._alumni) <= _ALUMNI:
            return None
        oldest = self._alumni.popleft()
        if self._limited:
            self._past.append(self._witness(oldest))
        return oldest

    def controls(self, step: int) -> list[int]:
        """Targets that have been answered in this lane, finished ones first."""
        table = self._sweep.table
        cell = table.far_cell if step == table.far else step * table.options.probes_per_hop
        rows = (*self._alumni, *self._sweep.flags)
        chosen = list(islice((row for row in rows if table.rtt[row * table.width + cell] > 0), CONTROLS))
        for row in chosen:
            table.dirty[row] = 1
        return chosen

    def settle(self, now: Instant) -> None:
        """Conclude hops at paced lanes from the flows sampled there; give up what has waited too long."""
        if now < self.settle_at:
            return
        self.settle_at = now + SETTLE_EVERY_NS
        sweep = self._sweep
        paced = [lane for lane in sweep.lanes if lane.state == PACED]
        self._limited = bool(paced)
        if not paced:
            return
        known = {row: self._witness(row) for row in (*self._alumni, *sweep.flags)}
        for lane in paced:
            rows = {
                row for row in sweep.flags if sweep.is_open(row, lane.step) and self._is_asked(row, lane.step)
            }
            if lane.step == sweep.table.far:
                settled = {row for row in rows if self._patience_ends(row, now)}
                for row in settled:
                    sweep.unanswered(row, lane.step, LIMITED, final=True)
            else:
                settled = self._infer(lane.ttl, rows, known, now)
            lane.keep(rows - settled)

    def _infer(self, ttl: int, rows: set[int], known: dict[int, Witness], now: Instant) -> set[int]:
        sampled = Sampled(ttl, [*known.values(), *self._past])
        settled: set[int] = set()
        for row in rows:
            late = self._patience_ends(row, now)
            found = None
            if not self._sweep.table.address(row, ttl):
                found = sampled.infer(known[row], ENOUGH) or (
                    sampled.infer(known[row], LEAST) if late else None
                )
            if found or late:
                settled.add(row)
                self._conclude(row, ttl, found)
        return settled

    def _conclude(self, row: int, ttl: int, found: tuple[int, int] | None) -> None:
        table = self._sweep.table
        if found is not None:
            token, flows = found
            for cell in table.cells(row, ttl):
                table.found[cell] = token
            self._sweep.inferred.setdefault(row, {})[ttl] = flows
        while not table.resolved(row, ttl):
            self._sweep.hop_silent(row, ttl, INFERRED if found else LIMITED)

    def _patience_ends(self, row: int, now: Instant) -> bool:
        table = self._sweep.table
        return now >= table.begun[row] + table.options.patience_ns

    def _is_asked(self, row: int, step: int) -> bool:
        table = self._sweep.table
        return step == table.far or step < table.horizon[row]

    def _witness(self, row: int) -> Witness:
        """The row's path without what was only inferred."""
        table = self._sweep.table
        destination = table.destination[row]
        packed = destination if isinstance(destination, bytes) else destination.to_bytes(4, byteorder)
        path: Sequence[int] = table.path(row, table.horizon[row])
        inferred = self._sweep.inferred.get(row)
        if inferred:
            path = [0 if ttl in inferred else token for ttl, token in enumerate(path, 1)]
        prefixes = (packed[:3], packed[:2]) if len(packed) == 4 else (packed[:8], packed[:6], packed[:4])
        return Witness(prefixes, table.end[row], path)
