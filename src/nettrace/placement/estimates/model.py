"""Evidence made ready for questions, and how wide intervals must be: by what was missed when known rows were hidden."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np

from nettrace.placement.estimates.evidence import End, Evidence, Row
from nettrace.placement.estimates.kriging import (
    FIBRE_INDEX,
    FIBRE_MS_PER_KM,
    NOISE,
    OFFSET_MS,
    Field,
    Floats,
    Mask,
    Whole,
    distances_km,
    fading,
    krige,
    ratio_of,
)
from nettrace.placement.estimates.tails import LEAST as LEAST_TAILS
from nettrace.placement.estimates.tails import Tails
from nettrace.placement.estimates.twins import Twins, square

COVERED = 0.9
"""Share of intervals that shall hold the true median."""

UNCALIBRATED = 2.5
"""Spreads an interval is wide on either side where there are too few rows to hide any (twice what is usual)."""

BACKBONES = frozenset({"aws", "gcp", "azure", "oci", "ibm", "alicloud"})
"""Networks whose regions are joined by wires of their own."""

PUBLIC_SHIFT, PUBLIC_HALF_WIDTH = 0.14, 0.6
"""Over the open internet the logarithm is higher and wilder than between clouds. Where the evidence has no row like the
pair asked for, this much is added, and an interval is at least this wide on either side: from 1,469 pairs of rented servers
(WonderNetwork, 2018) against what the clouds' matrices say of them."""

SOURCE_HALF_WIDTH = 0.14
"""Somebody else's measurement is not what one would measure oneself today: nine in ten of the AWS pairs measured by others in
2022 and in 2025 differ by less. Widens intervals that rest on no own rows, where what one source misses of the others cannot be
learnt from the evidence itself."""

_LEAST, _HIDDEN, _HIDDEN_TWINS = 30, 200, 150
_MOST_NOISE = 0.5
_ODD_ROWS = 3


class Refused(NamedTuple):
    """A row that light forbids: an edge answered, or a coordinate is wrong."""

    row: Row
    vacuum_ms: float


class Case(NamedTuple):
    """What an interval's width is learnt for.

    Attributes:
        strange_ends: how many of the ends have no row.
        strange_network: no row is between networks such as theirs.
        twins: both have so many rows that twins can be found.
        public: strange, and not between two clouds: `PUBLIC_SHIFT` counts.
        backbone: between two clouds.
    """

    strange_ends: int
    strange_network: bool
    twins: bool
    public: bool = False
    backbone: bool = False


def unplaced(case: Case) -> Case:
    """The case of a pair of which nothing near is known: networks count for what is near alone."""
    return case._replace(strange_network=False, public=False)


class Model:
    """Evidence prepared for questions. Widths of intervals are learnt when they are first needed."""

    def __init__(self, evidence: Evidence) -> None:
        """Prepare; rows below the vacuum floor are left out (`refused`), and ends with many of them lose their place."""
        self.ends = dict(evidence.ends)
        self.refused: tuple[Refused, ...] = ()
        self.misplaced: tuple[str, ...] = ()
        self.at = {name: number for number, name in enumerate(self.ends)}
        self._far = distances_km(*_points(tuple(self.ends.values())))
        self._refuse(evidence.rows)
        refused = {id(each.row) for each in self.refused}
        self.rows: list[Row] = [row for row in evidence.rows if id(row) not in refused and row.a != row.b]
        self.mesh = sum(row.own for row in self.rows) >= _LEAST
        """Whether there are own rows enough to learn widths from."""
        self.pairs: Whole = np.array(
            [(self.at[row.a], self.at[row.b]) for row in self.rows], np.int64
        ).reshape(-1, 2)
        self.ms: Floats = np.array([row.p50_ms for row in self.rows])
        self.placed: Mask = np.array([end.placed for end in self.ends.values()], bool)
        self.field_rows: Whole = (
            np.flatnonzero(self.placed[self.pairs].all(1)) if len(self.rows) else np.zeros(0, np.int64)
        )
        self.known: dict[frozenset[str], list[Row]] = {}
        for row in self.rows:
            self.known.setdefault(frozenset((row.a, row.b)), []).append(row)
        self.counts = np.bincount(self.pairs.ravel(), minlength=len(self.ends))
        named = list(dict.fromkeys(row.source for row in self.rows))
        self._sources: Whole = np.array([named.index(row.source) for row in self.rows], np.int64)
        self.twins = Twins(square(len(self.ends), self.pairs, self.ms))
        self._widths: dict[Case, float] = {}
        self._foreign: set[Case] = set()
        """Cases whose width holds what one source misses of another: nothing is added for that."""
        self._networks = {
            name: number
            for number, name in enumerate(dict.fromkeys(end.network for end in self.ends.values()))
        }
        self.field = self._field()
        self._wired = {frozenset(pair) for pair in self.field.network[self.field.pairs].tolist()}
        if len(self.field_rows) >= _LEAST:
            self.field = self.field._replace(noise=self._noises())

    def _refuse(self, rows: Sequence[Row]) -> None:
        below: list[Refused] = []
        count: dict[str, int] = {}
        for row in rows:
            floor = self.floor_ms(row.a, row.b)
            if floor is not None and row.p50_ms < floor / FIBRE_INDEX:
                below.append(Refused(row, floor / FIBRE_INDEX))
                for name in (row.a, row.b):
                    count[name] = count.get(name, 0) + 1
        self.refused = tuple(below)
        total: dict[str, int] = {}
        for row in rows:
            for name in (row.a, row.b):
                total[name] = total.get(name, 0) + 1
        self.misplaced = tuple(
            name for name, odd in count.items() if odd >= _ODD_ROWS and odd * 4 >= total[name]
        )
        for name in self.misplaced:
            self.ends[name] = msgspec.structs.replace(self.ends[name], latitude=None, longitude=None)

    def floor_ms(self, a: str, b: str) -> float | None:
        """The fibre floor between the nearest points two ends may stand at, or None when a place is unknown."""
        one, other = self.ends[a], self.ends[b]
        if not one.placed or not other.placed:
            return None
        far = self._far[self.at[a], self.at[b]]
        return float(max(0.0, far - one.radius_km - other.radius_km) * FIBRE_MS_PER_KM)

    def _field(self) -> Field:
        far = self._far
        pairs = self.pairs[self.field_rows]
        ratio = ratio_of(self.ms[self.field_rows], far[pairs[:, 0], pairs[:, 1]])
        network = np.array([self._networks[end.network] for end in self.ends.values()], np.int64)
        backbone = np.array([end.network in BACKBONES for end in self.ends.values()], bool)
        return Field(far, network, backbone, pairs, ratio, np.full(len(pairs), NOISE), fading(far))

    def _noises(self) -> Floats:
        """How noisy each source is: what its rows miss when they are hidden from each other."""
        noise = np.full(len(self.field.pairs), NOISE)
        sources = [self.rows[int(at)].source for at in self.field_rows]
        for source in dict.fromkeys(sources):
            own = np.array([at for at, other in enumerate(sources) if other == source], np.int64)
            some = _spread(own, _LEAST * 3)
            guess = krige(self.field, self.field.pairs[some], self._same_pair(self.field.pairs[some]))
            missed = abs(guess.ratio - self.field.ratio[some])
            noise[own] = np.clip(1.4826 * np.median(missed) / 2**0.5, NOISE / 2, _MOST_NOISE)
        return noise

    def _same_pair(self, asked: Whole) -> Mask:
        low, high = np.sort(self.field.pairs, 1).T
        one, other = np.sort(asked, 1).T
        return (low == one[:, None]) & (high == other[:, None])

    def case(self, a: str, b: str) -> Case:
        """Which width is meant for a pair."""
        one, other = self.at[a], self.at[b]
        strange = int(self.counts[one] == 0) + int(self.counts[other] == 0)
        strange_network = frozenset(self.field.network[[one, other]].tolist()) not in self._wired
        backbone = bool(self.field.backbone[[one, other]].all())
        many = bool(self.counts[one] >= 4 and self.counts[other] >= 4)
        return Case(strange, strange_network, many, strange_network and not backbone, backbone)

    def _case_of(self, row: Row) -> Case:
        """A row's case; nothing near is known of one without a place."""
        case = self.case(row.a, row.b)
        placed = self.ends[row.a].placed and self.ends[row.b].placed
        return case if placed else unplaced(case)

    @cached_property
    def tails(self) -> Tails | None:
        """What rows with a 95th percentile say of others; None when there are too few of them."""
        rows = np.array([at for at, row in enumerate(self.rows) if row.p95_ms is not None], np.int64)
        if len(rows) < LEAST_TAILS:
            return None

        def blind(some: Whole) -> tuple[Floats, Floats]:
            pairs = self.pairs[rows[some]]
            logs, halves = np.zeros(len(pairs)), np.full(len(pairs), np.inf)
            cases = [self._case_of(self.rows[int(at)]) for at in rows[some]]
            for case in set(cases):
                of = np.array([at for at, each in enumerate(cases) if each == case], np.int64)
                logs[of], spreads = self._blind(pairs[of], case, placed=len(self.field_rows) >= _LEAST)
                halves[of] = [
                    self.half_width(case, each) if each < _MOST_NOISE * 4 else np.inf for each in spreads
                ]
            return logs, halves

        p95 = np.array([self.rows[int(at)].p95_ms for at in rows], float)
        return Tails(self.pairs[rows], self.ms[rows], p95, len(self.ends), blind)

    def half_width(self, case: Case, spread: float) -> float:
        """How far the logarithm may be off either way."""
        half = self.width(case) * spread
        if not self.mesh and case not in self._foreign:
            half = float(np.hypot(half, SOURCE_HALF_WIDTH))
        return max(half, PUBLIC_HALF_WIDTH) if case.public else half

    def width(self, case: Case) -> float:
        """How many spreads an interval of this case is wide on either side: conformal, from hidden rows.

        Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005): the quantile of what was missed.
        """
        if case not in self._widths:
            self._widths[case] = self._learnt(case)
        return self._widths[case]

    def _learnt(self, case: Case) -> float:
        placed = len(self.field_rows) >= _LEAST
        if placed and not self.mesh and not case.twins:
            width = self._learnt_abroad(case)
            if width is not None:
                self._foreign.add(case)
                return width
        alike = self._alike(case, self.field_rows if placed else np.arange(len(self.rows)))
        some = _spread(alike, _HIDDEN_TWINS if case.twins else _HIDDEN)
        if len(some) < _LEAST:
            return UNCALIBRATED
        truth = np.log(self.ms[some] + OFFSET_MS)
        ratio, spread = self._blind(self.pairs[some], case, placed=placed)
        usable = spread < _MOST_NOISE * 4
        if usable.sum() < _LEAST:
            return UNCALIBRATED
        return _quantile(abs(truth - ratio)[usable] / spread[usable])

    def _learnt_abroad(self, case: Case) -> float | None:
        """The width by what each source's rows miss of every other source; None when too few can be guessed so."""
        some = _spread(self._alike(case, self.field_rows), _HIDDEN)
        truth = np.log(self.ms[some] + OFFSET_MS)
        ratio, spread = self._blind(self.pairs[some], case, placed=True, without=some)
        usable = spread < _MOST_NOISE * 4
        return _quantile(abs(truth - ratio)[usable] / spread[usable]) if usable.sum() >= _LEAST else None

    def _alike(self, case: Case, rows: Whole) -> Whole:
        """The rows that a pair of this case would be one of: own ones where there are enough, of its kind likewise."""
        own = np.array([self.rows[int(at)].own for at in rows], bool)
        kind = self.field.backbone[self.pairs[rows]].all(1) == case.backbone
        for kept in (own & kind, own, kind):
            if kept.sum() >= _LEAST:
                return rows[kept]
        return rows

    def _blind(
        self, pairs: Whole, case: Case, *, placed: bool, without: Whole | None = None
    ) -> tuple[Floats, Floats]:
        """What would be said of known pairs if they, and what the case has not got, were unknown.

        `without`: the row of each pair, whose whole source is unknown too.
        """
        logs, spreads = np.zeros(len(pairs)), np.full(len(pairs), np.inf)
        if placed:
            hidden = self._same_pair(pairs)
            mine = self.field.pairs
            if without is not None:
                hidden |= self._sources[without][:, None] == self._sources[self.field_rows][None, :]
            for column in range(case.strange_ends):
                hidden |= _touches(mine, pairs[:, column])
            if case.strange_network:
                nets = np.sort(self.field.network[mine], 1)
                theirs = np.sort(self.field.network[pairs], 1)
                hidden |= (nets[None] == theirs[:, None]).all(2)
            hidden_all = hidden.all(1)
            guess = krige(self.field, pairs, hidden)
            logs, spreads = self.logs(pairs, guess.ratio), np.where(hidden_all, np.inf, guess.spread)
        if case.twins:
            for at, (a, b) in enumerate(pairs.tolist()):
                told = self.twins.about(a, b, hidden=True)
                if told is not None:
                    logs[at], spreads[at] = joined((logs[at], spreads[at]), (told[0], told[1]))
        return logs, spreads

    def logs(self, pairs: Whole, ratio: Floats) -> Floats:
        """Logarithms of (ms + 3) of pairs, from those that are estimated."""
        return ratio + np.log(self.field.distance_km[pairs[:, 0], pairs[:, 1]] * FIBRE_MS_PER_KM + OFFSET_MS)


def _quantile(missed: Floats) -> float:
    """The conformal quantile: with one more, `COVERED` of all are no greater."""
    ordered = np.sort(missed)
    return float(ordered[min(len(ordered) - 1, int(np.ceil((len(ordered) + 1) * COVERED)) - 1)])


def _touches(rows: Whole, ends: Whole) -> Mask:
    return (rows[None, :, 0] == ends[:, None]) | (rows[None, :, 1] == ends[:, None])


def joined(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Two opinions with their spreads as one, each trusted by its own."""
    if not np.isfinite(one[1]):
        return other
    trust = (one[1] ** -2.0, other[1] ** -2.0)
    return (
        (one[0] * trust[0] + other[0] * trust[1]) / sum(trust),
        float(max(min(one[1], other[1]), abs(one[0] - other[0]) / 2)),
    )


def _points(ends: Sequence[End]) -> tuple[Floats, Floats]:
    return np.array([end.latitude or 0.0 for end in ends]), np.array([end.longitude or 0.0 for end in ends])


def _spread(all_: Whole, most: int) -> Whole:
    """At most so many, picked at random but always the same."""
    return np.sort(np.random.default_rng(0).permutation(all_)[:most])
