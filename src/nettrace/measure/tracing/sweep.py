"""Thousands of Paris traces at once, as one machine over flat arrays.

Each target is first asked directly, with the highest TTL. A port unreachable quotes the TTL left, which is
the exact length of the path: only the hops before the destination are then asked, all of them at once. Where
the length stays unknown (a silent target, an echo reply, a SYN-ACK) hops are opened step by step, a gap ahead
of the furthest answer. Batches interleave targets and TTLs, so that no router sees a train.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nettrace.measure.tracing.lanes import CONTROL_TRY, PACED, SHARES, WIDEST, Lane, pick
from nettrace.measure.tracing.pacer import CATCH_UP_NS
from nettrace.measure.tracing.sweep_limits import Limits
from nettrace.measure.tracing.sweep_table import (
    FREE,
    LOST,
    OVERDUE,
    SLOTS,
    STAMPED,
    UNSEEN,
    UNTIMED,
    SweepOptions,
    Table,
)
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.path import Label

SHORTEST_PATIENCE_NS = 150 * NS_PER_MS
"""A hop is never asked again sooner than this, however near everybody is."""

FIRST_PATIENCE_NS = 500 * NS_PER_MS
"""And while nobody has answered yet, this long."""

REACHED, REFUSED, BEYOND, CLOSED = 1, 2, 4, 8
"""Flags of a row: the destination answered; something on the way refused; a router answered the highest TTL;
the row is finished."""

DIRECT = 1 << 16
"""Kinds from here on are answers of the destination itself (echo reply, SYN-ACK, RST); their "quoted TTL" is
the TTL they arrived with."""

EXTENDED = 1 << 17
"""Added to the kind of a reply about which `extras` says more (MPLS labels, an MTU)."""

Record = tuple[int, int, int, int, int, int, "int | bytes", int]
"""A reply as it was read: seconds and ns (kernel), source token, kind (ICMP type + 256 * code, or >= DIRECT),
slot, TTL quoted, destination quoted, secret mark quoted. Nothing in it is to be believed yet."""

Extra = tuple[tuple[Label, ...], int | None]
"""MPLS labels of a reply and the MTU it names."""


class Batch(NamedTuple):
    """Probes to send now, in consecutive slots from `first`."""

    first: int
    rows: Sequence[int]
    steps: bytes


class Sweep:
    """The machine. Times are monotonic ns, except the two stamps of a round trip, which share their own clock.

    Args:
        options: how to measure.
        by_slot: the secret mark of a probe belongs to its slot (ICMP, TCP), not to its target (UDP).

    Attributes:
        finished: rows whose trace is complete, to be read and `close`d by the driver.
        active: rows under way.
        rejected: replies that quote a probe under way with the wrong secret or destination.
        stray: replies to nothing that is under way: late, doubled, replayed.
        extras: by slot, what the reader of replies found beyond the record; valid during one `take`.
        notes: by row and TTL, refusals (ICMP type + 256 * code).
        details: by row and TTL, labels and MTU.
        inferred: by row and TTL, how many flows an inferred hop rests on.
        loose: by row, cells whose departure the kernel did not stamp: the sending program's clock stands in.
    """

    def __init__(self, options: SweepOptions, *, by_slot: bool = False) -> None:
        self.options = options
        self.table = Table(options)
        self.by_slot = by_slot
        far = options.max_ttl
        self.lanes = [Lane(step, step + 1) for step in range(far)] + [Lane(far, far, WIDEST)]
        self.flags: dict[int, int] = {}
        self.notes: dict[int, dict[int, int]] = {}
        self.extras: dict[int, Extra] = {}
        self.details: dict[int, dict[int, Extra]] = {}
        self.loose: dict[int, set[int]] = {}
        self.inferred: dict[int, dict[int, int]] = {}
        self.finished: list[int] = []
        self.active = 0
        self.rejected = 0
        self.stray = 0
        self._tries = options.attempts if options.probes_per_hop == 1 else 1
        self._next_slot = 1
        self._turn = 0
        self._flying: deque[tuple[Instant, int, int]] = deque()
        self._overdue: deque[tuple[Instant, int, int]] = deque()
        self._slowest_ns = 0
        self._stalled_at: Instant = -1
        self._limits = Limits(self)
        self._granted_at: Instant = 0
        self._opened: dict[int, list[int]] = {}
        self._reconsidered: dict[int, int] = {}

    # -- probes out ----------------------------------------------------------------------------------------

    def admit(self, destination: int | bytes, home: int, mark: int, now: Instant) -> int:
        """One more target; its row. `home` is the token its address has as a source of replies.

        Targets must come in random order: they are asked in it, and samples of them must be fair.
        """
        row = self.table.open(destination, home, mark, now)
        self.flags[row] = 0
        self.lanes[-1].fresh.append(row)
        self.active += 1
        return row

    @property
    def unasked(self) -> int:
        """Rows that have not been asked anything yet."""
        far = self.lanes[-1]
        return len(far.fresh) - far.head

    def release(self, row: int, now: Instant) -> None:
        """A finished row's result has been read."""
        del self.flags[row]
        for aside in (self.notes, self.details, self.loose, self._reconsidered):
            if aside:
                aside.pop(row, None)
        self.table.plain[row] = 0
        oldest = self._limits.finish(row)
        if oldest is not None:
            self.inferred.pop(oldest, None)
            self.table.close(oldest, now)
        self.active -= 1

    def batch(self, now: Instant, room: int) -> Batch | None:
        """The next probes, at most `room`, already noted as sent; None when there is nothing to send now."""
        table = self.table
        first = self._next_slot
        ahead = table.live[first : first + min(room, SLOTS + 1 - first)]
        free = len(ahead)
        if ahead.count(FREE) != free:
            free = next(index for index, state in enumerate(ahead) if state)
        if not free:
            return None
        self._turn += 1
        share = min(now - self._granted_at, CATCH_UP_NS) * self.options.rate_pps / SHARES / NS_PER_S
        self._granted_at = now
        for lane in self.lanes:
            if lane.head < len(lane.fresh) or lane.again:
                lane.refill(share if lane.step < table.far else WIDEST)
        rows, steps, tries = pick(self.lanes, free, self._turn, now)
        if not rows:
            return None
        count = len(rows)
        table.departed(first, count, rows, steps, tries)
        self._flying.append((now, first, count))
        self._next_slot = first + count if first + count <= SLOTS else 1
        return Batch(first, rows, steps)

    def refused(self, slot: int) -> None:
        """The probe in this slot could not be sent."""
        table = self.table
        row, step = table.slot_row[slot], table.slot_step[slot]
        table.live[slot] = FREE
        self.lanes[step].flight -= 1
        self.unanswered(row, step, UNSEEN, final=True)

    def stalled(self, now: Instant) -> None:
        """This host stalled, or its receive queue overflowed: no loss of what is under way is believed."""
        self._stalled_at = now

    # -- answers in ----------------------------------------------------------------------------------------

    def take(self, records: Iterable[Record], now: Instant) -> None:
        """Replies, in any order, possibly late, doubled or forged."""
        table = self.table
        live, slot_row, slot_step, marks = table.live, table.slot_row, table.slot_step, table.slot_mark
        sent_s, sent_ns, found, rtt, left = table.sent_s, table.sent_ns, table.found, table.rtt, table.left
        destination, mark_of, plain, width = table.destination, table.mark, table.plain, table.width
        by_slot, exceeded, arrived, far = (
            self.by_slot,
            self.options.time_exceeded,
            self.options.arrived,
            table.far,
        )
        believable = 2 * self.options.timeout_ns
        hits = [0] * (far + 1)
        for seconds, ns, source, kind, slot, quoted, about, mark in records:
            state = live[slot]
            if not state:
                self.stray += 1
                continue
            row = slot_row[slot]
            if about != destination[row] or mark != (marks[slot] if by_slot else mark_of[row]):
                self.rejected += 1
                continue
            live[slot] = FREE
            step = slot_step[slot]
            took = ns - sent_ns[slot]
            if seconds != sent_s[slot]:
                took += (seconds - sent_s[slot]) * NS_PER_S
            if not 0 < took < believable:
                took = UNTIMED
            if state == STAMPED:
                hits[step] += 1
            else:
                self._unusual(row, step, state, took, hits, now)
            if kind == exceeded and plain[row]:
                cell = row * width + step
                if not rtt[cell]:
                    found[cell] = source
                    rtt[cell] = took
                    still = left[row] = left[row] - 1
                    if not still:
                        self._exhausted(row)
            elif step == far and kind == arrived:
                self._measured(row, source, took, quoted)
            else:
                self._heard(row, slot, source, kind, quoted, took)
        self._account(hits, now)

    def _account(self, hits: Sequence[int], now: Instant) -> None:
        for step, count in enumerate(hits):
            if count:
                self.lanes[step].flight -= count
                self.lanes[step].hit(count, now)
        self._enqueue_opened()
        self.extras.clear()

    def _unusual(self, row: int, step: int, state: int, took: int, hits: list[int], now: Instant) -> None:
        """The answer to a probe that was late or not stamped.

        Late is one that came after its probe was counted as missing: we were too impatient.
        """
        if state > STAMPED:
            self._slowest_ns = max(self._slowest_ns, took)
            self.lanes[step].late(now)
        else:
            hits[step] += 1
        if state & 1:
            self.loose.setdefault(row, set()).add(step)

    def _measured(self, row: int, source: int, took: int, quoted: int) -> None:
        """The destination's own answer to the first question, quoting the TTL left: the everyday case."""
        table, options = self.table, self.options
        if row not in self.flags:
            return
        length = options.max_ttl - quoted + 1
        fresh = not table.horizon[row] and not table.end[row]
        if not (fresh and options.exact and options.probes_per_hop == 1 and 0 < length <= options.max_ttl):
            self._far_heard(row, source, options.arrived, quoted, took)
            return
        cell = row * table.width + table.far_cell
        if table.rtt[cell]:
            return
        table.found[cell] = source
        table.rtt[cell] = took
        self._slowest_ns = max(self._slowest_ns, took)
        self.flags[row] |= REACHED
        table.end[row] = length
        table.horizon[row] = table.left[row] = length - 1
        if length == 1:
            self._finish(row)
            return
        table.plain[row] = 1
        self._opened.setdefault(length, []).append(row)

    def _enqueue_opened(self) -> None:
        for length, rows in self._opened.items():
            for lane in self.lanes[: length - 1]:
                lane.fresh.extend(rows)
        self._opened.clear()

    def _heard(self, row: int, slot: int, source: int, kind: int, quoted: int, took: int) -> None:
        """Any answer off the beaten track."""
        if row not in self.flags or self.flags[row] & CLOSED:
            return
        step = self.table.slot_step[slot]
        if kind & EXTENDED:
            kind ^= EXTENDED
            if slot in self.extras:
                self.details.setdefault(row, {})[self.lanes[step].ttl] = self.extras[slot]
        if step == self.table.far:
            self._far_heard(row, source, kind, quoted, took)
        else:
            self._hop_heard(row, step + 1, source, kind, took)

    def _is_end(self, row: int, source: int, kind: int) -> bool:
        return kind >= DIRECT or kind == self.options.arrived or source == self.table.home[row]

    def _far_heard(self, row: int, source: int, kind: int, quoted: int, took: int) -> None:
        table, options = self.table, self.options
        cell = row * table.width + table.far_cell
        if table.rtt[cell]:
            return
        table.found[cell] = source
        table.rtt[cell] = took
        self._slowest_ns = max(self._slowest_ns, took)
        if kind == options.time_exceeded:
            self.flags[row] |= BEYOND
            self._widen(row, options.max_ttl)
        elif self._is_end(row, source, kind):
            self.flags[row] |= REACHED
            length = options.max_ttl - quoted + 1
            if options.exact and kind < DIRECT and 0 < length <= options.max_ttl:
                self._ends_at(row, length, exact=True)
            elif not table.end[row]:
                table.plain[row] = options.probes_per_hop == 1
                self._widen(row, max(return_length(quoted) if kind >= DIRECT else 1, table.high[row] + 1))
        else:
            self._note(row, options.max_ttl, kind)
            self._widen(row, options.gap)
        self._settle(row)

    def _hop_heard(self, row: int, ttl: int, source: int, kind: int, took: int) -> None:
        table = self.table
        if (table.end[row] and ttl > table.end[row]) or table.resolved(row, ttl):
            return
        cell = next(cell for cell in table.cells(row, ttl) if not table.rtt[cell])
        table.found[cell] = source
        table.rtt[cell] = took
        if table.resolved(row, ttl):
            table.left[row] -= 1
        else:
            self.lanes[ttl - 1].fresh.append(row)
        if kind == self.options.time_exceeded:
            table.high[row] = max(table.high[row], ttl)
        else:
            if self._is_end(row, source, kind):
                self.flags[row] |= REACHED
            else:
                self.flags[row] |= REFUSED
                self._note(row, ttl, kind)
            self._ends_at(row, ttl, exact=False)
        self._climb(row)
        self._settle(row)

    def hop_silent(self, row: int, ttl: int, how: int) -> None:
        """One sample of a hop is given up; the next one is due, or the hop is done."""
        table = self.table
        table.rtt[next(cell for cell in table.cells(row, ttl) if not table.rtt[cell])] = how
        if not table.resolved(row, ttl):
            self.lanes[ttl - 1].fresh.append(row)
            return
        table.left[row] -= 1
        self._climb(row)
        self._settle(row)

    def _note(self, row: int, ttl: int, kind: int) -> None:
        self.notes.setdefault(row, {})[ttl] = kind

    # -- how far to look -----------------------------------------------------------------------------------

    def _ends_at(self, row: int, ttl: int, *, exact: bool) -> None:
        """The path ends at `ttl` at the latest. An exact length needs no further probe there."""
        table = self.table
        if table.end[row] and ttl >= table.end[row]:
            return
        table.end[row] = ttl
        one_each = self.options.probes_per_hop == 1
        table.dirty[row] = 1
        table.plain[row] = one_each
        last = ttl - 1 if exact and one_each else ttl
        if exact and not one_each:
            far, first = row * table.width + table.far_cell, table.cells(row, ttl)[0]
            if not table.rtt[first]:
                table.found[first], table.rtt[first] = table.found[far], table.rtt[far]
        for cell in range(
            row * table.width + last * self.options.probes_per_hop, (row + 1) * table.width - 1
        ):
            table.rtt[cell] = table.rtt[cell] or UNSEEN
        table.horizon[row] = min(table.horizon[row], last)
        table.left[row] = sum(not table.resolved(row, near) for near in range(1, table.horizon[row] + 1))
        self._widen(row, last)

    def _climb(self, row: int) -> None:
        """More hops after an answer or a silence, as far as the evidence justifies."""
        table, flags = self.table, self.flags[row]
        if table.end[row] or flags & BEYOND:
            return
        if not flags & REACHED:
            self._widen(row, table.high[row] + self.options.gap)

    def _widen(self, row: int, horizon: int) -> None:
        """Ask hops up to `horizon` too."""
        table = self.table
        limit = min(horizon, self.options.max_ttl)
        for ttl in range(table.horizon[row] + 1, limit + 1):
            if not table.resolved(row, ttl):
                self.lanes[ttl - 1].fresh.append(row)
                table.left[row] += 1
        table.horizon[row] = max(table.horizon[row], limit)

    def _settle(self, row: int) -> None:
        """Finish the row when nothing is open."""
        table = self.table
        if not table.left[row] and (table.end[row] or table.rtt[row * table.width + table.far_cell]):
            self._exhausted(row)

    def _exhausted(self, row: int) -> None:
        """All hops asked so far are done; where the destination answers from is perhaps still to be found."""
        table = self.table
        if self._reconsider(row):
            return
        if not table.end[row] and self.flags[row] & REACHED and table.horizon[row] < self.options.max_ttl:
            self._widen(row, table.horizon[row] + 1)
        else:
            self._finish(row)

    def _reconsider(self, row: int) -> bool:
        """Ask a silent hop again that may be the destination; False when there is none that was not.

        Where the destination's own answer puts it, its probes may have been lost. And of several connection requests
        under way together it answers one, not always that of the lowest TTL (`half_open`): there each silent hop
        right before it is asked alone, twice, because the first of the two may meet what a lost answer left behind.
        """
        table, connects = self.table, self.options.connects
        last = table.end[row] - 1 if table.end[row] else table.horizon[row]
        if last < 1 or not self.flags[row] & REACHED or (table.end[row] and not connects):
            return False
        first = last
        while connects and first > 1 and not table.address(row, first - 1):
            first -= 1
        times = 2 if connects else 1
        turn = max(first * times, self._reconsidered.get(row, 0) + 1)
        ttl = turn // times
        if ttl > last or table.address(row, ttl):
            return False
        self._reconsidered[row] = turn
        table.rtt[table.cells(row, ttl)[-1]] = 0
        table.left[row] += 1
        self.lanes[ttl - 1].fresh.append(row)
        return True

    def _finish(self, row: int) -> None:
        if not self.flags[row] & CLOSED:
            self.flags[row] |= CLOSED
            self.finished.append(row)

    # -- time ----------------------------------------------------------------------------------------------

    @property
    def patience_ns(self) -> int:
        """How long a hop is waited for before it is asked again: twice the slowest round trip so far."""
        if not self._slowest_ns:
            return min(self.options.timeout_ns // 2, FIRST_PATIENCE_NS)
        return min(self.options.timeout_ns, max(SHORTEST_PATIENCE_NS, 2 * self._slowest_ns))

    def expire(self, now: Instant) -> None:
        """Ask again what is overdue, give up what is out of time. Take replies first."""
        while self._flying and self._flying[0][0] + self.patience_ns <= now:
            batch = self._flying.popleft()
            if self._ask_again(batch[1], batch[2], now):
                self._overdue.append(batch)
        while self._overdue and self._overdue[0][0] + self.options.timeout_ns <= now:
            self._give_up(*self._overdue.popleft())
        self.table.recycle(now)
        self._limits.settle(now)

    def wake_at(self) -> Instant | None:
        """When `expire` or `batch` has something to do; None when nothing is under way."""
        times = [self._flying[0][0] + self.patience_ns] if self._flying else []
        if self._overdue:
            times.append(self._overdue[0][0] + self.options.timeout_ns)
        paced = [ready for lane in self.lanes if (ready := lane.ready_at()) is not None]
        return min([*times, *paced, *([self._limits.settle_at] if paced else [])], default=None)

    def _ask_again(self, first: int, count: int, now: Instant) -> bool:
        """Queue what has not been answered once more; False when all of the batch was."""
        table = self.table
        states = table.live[first : first + count]
        if states.count(FREE) == count:
            return False
        missed: dict[int, int] = {}
        for slot, state in enumerate(states, first):
            if not state:
                continue
            table.live[slot] = state + OVERDUE
            row, step, attempt = table.slot_row[slot], table.slot_step[slot], table.slot_try[slot]
            lane = self.lanes[step]
            lane.flight -= 1
            if attempt == CONTROL_TRY:
                lane.control_missed(now)
                continue
            if attempt == 1 or lane.state == PACED:
                missed[step] = missed.get(step, 0) + 1
            self.unanswered(row, step, attempt, final=False)
            if lane.state == PACED:
                table.slot_try[slot] = (
                    0  # it is queued again already: nothing is left to decide when time is up
                )
        for step, misses in missed.items():
            if self.lanes[step].miss(misses, now):
                self.lanes[step].question(self._limits.controls(step))
        return True

    def _give_up(self, sent_at: Instant, first: int, count: int) -> None:
        table = self.table
        doubtful = sent_at <= self._stalled_at
        for slot, state in enumerate(table.live[first : first + count], first):
            if state:
                table.live[slot] = FREE
                row, step, attempt = table.slot_row[slot], table.slot_step[slot], table.slot_try[slot]
                last = self._last_try(step)
                if doubtful and last <= attempt < last + 2 and self.is_open(row, step):
                    self.lanes[step].again.append((row, attempt + 1))
                elif attempt >= last and self.lanes[step].state == PACED:
                    self.lanes[step].fresh.append(row)
                elif attempt >= last:
                    seen = state == STAMPED + OVERDUE and not doubtful
                    self.unanswered(row, step, LOST if seen else UNSEEN, final=True)

    def _last_try(self, step: int) -> int:
        return self.options.attempts if step == self.table.far else self._tries

    def is_open(self, row: int, step: int) -> bool:
        """The row still waits for an answer in this lane."""
        if row not in self.flags or self.flags[row] & CLOSED:
            return False
        table = self.table
        if step == table.far:
            return not table.rtt[row * table.width + table.far_cell] and not table.end[row]
        return not (table.end[row] and step >= table.end[row]) and not table.resolved(row, step + 1)

    def unanswered(self, row: int, step: int, how: int, *, final: bool) -> None:
        """A probe stayed without answer: `how` is its try, or at the end what became of it."""
        if not self.is_open(row, step):
            return
        table = self.table
        table.dirty[row] = 1
        if not final:
            lane = self.lanes[step]
            if lane.state == PACED:
                lane.fresh.append(row)
            elif how < self._last_try(step):
                lane.again.append((row, how + 1))
            if step == table.far and not table.horizon[row]:
                self._widen(row, self.options.gap)
        elif step == table.far:
            table.rtt[row * table.width + table.far_cell] = how
            self._settle(row)
        else:
            self.hop_silent(row, step + 1, how)


def return_length(arrived_ttl: int) -> int:
    """Hops an answer has come, by the nearest usual initial TTL above (64, 128 or 255).

    >>> return_length(55)
    10
    """
    return next(start for start in (64, 128, 255) if start >= arrived_ttl) - arrived_ttl + 1
