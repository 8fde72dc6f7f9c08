"""The flat state of a sweep: rows of targets, cells of hops, slots of probes under way. Bytes, not objects.

A row is one target, a cell one sample of one hop of it, a slot one probe under way. A cell takes 12 bytes, a
slot 22, a row about 100 besides its cells; all three are used again as soon as their answer is out. Rows that
may still hear from an old probe wait out the timeout first.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from nettrace.model.instant import NS_PER_S, Instant

SLOTS = 65_535
"""Probes that can be under way at once: slot 1 to 65,535 is the 16-bit number in the packet."""

LOST = -1
"""Round-trip time of a probe that was seen to leave and not answered in time."""
UNSEEN = -2
"""Round-trip time where we cannot know: the probe was not seen to leave, or this host stalled meanwhile."""
UNTIMED = -3
"""Answered, but one of the two stamps is not to be trusted."""
INFERRED = -4
"""Not observed: the address is what all sampled flows of the same group met there."""
LIMITED = -5
"""Not observed, and nothing could be inferred: the router there limits its answers."""

FREE, SENT, STAMPED = 0, 1, 2
"""States of a slot; `+ OVERDUE` once its answer is later than expected."""
OVERDUE = 2


class SweepOptions(NamedTuple):
    """How a sweep measures.

    Attributes:
        attempts: how often a hop is asked before it counts as silent.
        timeout_ns: how long an answer is waited for.
        gap: silent hops in a row after which a silent target is given up.
        rows: targets under way at once.
        exact: unreachables of the destination quote the TTL left, which tells the path's length (UDP).
        connects: probes ask for connections (TCP), of which a destination holds one half open at a time.
        time_exceeded, arrived: ICMP type and code (type + 256 * code) of the two everyday answers.
        rate_pps: packets a second of the whole sweep; no TTL gets more than an eighth.
        patience_ns: how long a target waits for routers that limit their answers.
    """

    max_ttl: int = 32
    probes_per_hop: int = 1
    attempts: int = 2
    timeout_ns: int = NS_PER_S
    gap: int = 5
    rows: int = 4096
    exact: bool = True
    connects: bool = False
    time_exceeded: int = 11
    arrived: int = 3 + 256 * 3
    patience_ns: int = 55 * NS_PER_S
    rate_pps: float = 1000.0


class Table:
    """Rows, cells and slots. Times are whatever clock the caller stamps with, in ns.

    Attributes:
        found: per cell, the token of the address that answered; 0 for none.
        rtt: per cell, ns or one of LOST, UNSEEN, UNTIMED, INFERRED; 0 while open.
        left: per row, hops still open.
        end: per row, TTL of the destination (or of a refusal) as far as known; 0 while unknown.
        plain: per row, 1 while its length is known and one answer a hop is all it needs: the fast path.
        slot_mark: per slot, the secret its probe carries, where marks belong to slots.
        destination: per row, what a quoted packet must be going to; `home` is the token of that address.
    """

    def __init__(self, options: SweepOptions) -> None:
        self.options = options
        self.width = options.max_ttl * options.probes_per_hop + 1
        self.far = options.max_ttl
        self.far_cell = self.width - 1
        self.found = array("I")
        self.rtt = array("q")
        self.left: list[int] = []
        self.end: list[int] = []
        self.plain = bytearray()
        self.horizon = bytearray()
        self.high = bytearray()
        self.dirty = bytearray()
        self.begun: list[Instant] = []
        self.destination: list[int | bytes] = []
        self.mark: list[int] = []
        self.home: list[int] = []
        self.free: list[int] = []
        self.quarantine: deque[tuple[Instant, int]] = deque()
        self._blank_found = array("I", bytes(4 * self.width))
        self._blank_rtt = array("q", bytes(8 * self.width))

        self.live = bytearray(SLOTS + 1)
        self.slot_row: list[int] = [0] * (SLOTS + 1)
        self.slot_step = bytearray(SLOTS + 1)
        self.slot_try = bytearray(SLOTS + 1)
        self.slot_mark: Sequence[int] = ()
        self.sent_s = array("I", bytes(4 * (SLOTS + 1)))
        self.sent_ns = array("I", bytes(4 * (SLOTS + 1)))

    def open(self, destination: int | bytes, home: int, mark: int, now: Instant) -> int:
        """A row for one more target; `mark` is the secret its quoted probes must show."""
        if not self.free:
            self._grow()
        row = self.free.pop()
        self.destination[row] = destination
        self.home[row] = home
        self.mark[row] = mark
        self.begun[row] = now
        self.left[row] = self.end[row] = 0
        self.plain[row] = self.horizon[row] = self.high[row] = self.dirty[row] = 0
        return row

    def close(self, row: int, now: Instant) -> None:
        """Forget a finished row; nothing of it can be read any more."""
        start = row * self.width
        self.found[start : start + self.width] = self._blank_found
        self.rtt[start : start + self.width] = self._blank_rtt
        self.plain[row] = 0
        if self.dirty[row]:
            self.quarantine.append((now + 2 * self.options.timeout_ns, row))
        else:
            self.destination[row] = -1
            self.free.append(row)

    def recycle(self, now: Instant) -> None:
        """Rows that no probe under way can belong to any more become free."""
        while self.quarantine and self.quarantine[0][0] <= now:
            row = self.quarantine.popleft()[1]
            self.destination[row] = -1
            self.free.append(row)

    def cells(self, row: int, ttl: int) -> range:
        """The cells of one hop."""
        first = row * self.width + (ttl - 1) * self.options.probes_per_hop
        return range(first, first + self.options.probes_per_hop)

    def resolved(self, row: int, ttl: int) -> bool:
        """All probes of this hop are answered or given up."""
        last = row * self.width + ttl * self.options.probes_per_hop - 1
        return self.rtt[last] != 0

    def address(self, row: int, ttl: int) -> int:
        """Token of the first address that answered at this hop, or 0."""
        return next((self.found[cell] for cell in self.cells(row, ttl) if self.found[cell]), 0)

    def path(self, row: int, length: int) -> Sequence[int]:
        """Tokens of hops 1 to `length`, 0 where nobody answered."""
        if self.options.probes_per_hop == 1:
            return self.found[row * self.width : row * self.width + length]
        return [self.address(row, ttl) for ttl in range(1, length + 1)]

    def departed(self, first: int, count: int, rows: Sequence[int], steps: bytes, tries: bytes) -> None:
        """Slots `first` onwards (no wrap) carry these probes now."""
        end = first + count
        self.live[first:end] = bytes((SENT,)) * count
        self.slot_row[first:end] = rows
        self.slot_step[first:end] = steps
        self.slot_try[first:end] = tries

    def _grow(self) -> None:
        base, more = len(self.left), 1024
        self.found.frombytes(bytes(4 * self.width * more))
        self.rtt.frombytes(bytes(8 * self.width * more))
        for column in (self.left, self.end, self.begun, self.mark, self.home):
            column.extend((0,) * more)
        self.destination.extend((-1,) * more)
        for flags in (self.plain, self.horizon, self.high, self.dirty):
            flags.extend(bytes(more))
        self.free.extend(range(base + more - 1, base - 1, -1))
