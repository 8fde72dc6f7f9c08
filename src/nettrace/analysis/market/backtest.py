"""A rule somebody states, walked forward through the past with costs and delay. Nothing here trades.

The rule: when latency (or its fall) exceeds so many of its own trailing spreads at the end of a bucket, hold one side for
so many buckets. It fills at the close of the first bucket that begins after the signal, later still by the measured
RTT where that is longer than a bucket. The threshold of each stretch is the one that did best in all stretches before
it, less an embargo as long as a position lasts: a choice never sees what it is judged by.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nettrace.analysis.market.bars import Floats
from nettrace.analysis.market.chance import Odds, moved_sums, odds
from nettrace.analysis.market.clock import DAY_NS, Grid
from nettrace.analysis.market.discovery import Finding
from nettrace.analysis.market.sharpe import deflated, sharpe
from nettrace.errors import Invalid

LEAST_DSR = 0.95
LEAST_TRADES = 10
_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Rule:
    """What somebody believes.

    Attributes:
        thresholds: of trailing spreads; each is a trial.
        rising: latency above its usual; else below.
        side: 1 buys, -1 sells.
        hold: buckets a position lasts.
        window: trailing buckets that say what is usual.
        cost: share of the price lost at each fill.
    """

    thresholds: tuple[float, ...]
    rising: bool = True
    side: int = 1
    hold: int = 4
    window: int = 96
    cost: float = 0.0005

    def __post_init__(self) -> None:
        if (
            not self.thresholds
            or self.hold < 1
            or self.window < 8
            or self.cost < 0
            or self.side not in (-1, 1)
        ):
            raise Invalid(
                "a rule needs a threshold, a hold of 1 bucket or more, a window of 8 or more, and no negative costs"
            )


@dataclass(frozen=True)
class Trial:
    """One threshold over the whole past: what is counted, and kept."""

    threshold: float
    sharpe: float
    trades: int


@dataclass(frozen=True)
class Walk:
    """What the rule did where it was not fitted.

    Attributes:
        net: log returns a bucket after costs, stretches that were not used for choosing only.
        gross: the same before costs.
        trades: positions opened in them.
        chosen: the threshold of each stretch.
        trials: every threshold over the whole past.
        odds: the net Sharpe ratio against positions moved round; None when there is too little.
        a_year: buckets a year.
    """

    net: Floats
    gross: Floats
    trades: int
    chosen: list[float]
    trials: list[Trial]
    odds: Odds | None
    a_year: float

    @property
    def sharpe_a_year(self) -> float:
        """Annualised net Sharpe ratio."""
        return sharpe(self.net) * self.a_year**0.5


def surprise(log_rtt: Floats, window: int) -> Floats:
    """How far each bucket is from the trailing median, in trailing spreads, itself not counted; NaN while half is not known."""
    made = np.full(len(log_rtt), np.nan)
    if len(log_rtt) <= window:
        return made
    past = np.lib.stride_tricks.sliding_window_view(log_rtt, window)[:-1]
    for start in range(0, len(past), _ROWS_AT_ONCE):
        rows = past[start : start + _ROWS_AT_ONCE]
        enough = np.isfinite(rows).sum(axis=1) * 2 >= window
        if not enough.any():
            continue
        low, middle, high = np.nanquantile(rows[enough], [0.25, 0.5, 0.75], axis=1)
        places = np.flatnonzero(enough) + start + window
        spread = np.maximum((high - low) / 1.349, 1e-4)  # a hundredth of a percent: no series is a ruler
        made[places] = (log_rtt[places] - middle) / spread
    return made


def positions(score: Floats, rule: Rule, threshold: float, delay: Floats) -> Floats:
    """What is held from each bucket's close to the next: -1, 0 or 1, by what was known `delay` buckets before."""
    with np.errstate(invalid="ignore"):
        told = np.flatnonzero(score > threshold if rule.rising else score < -threshold)
    held = np.zeros(len(score))
    for place in told:
        first = place + int(delay[place])
        held[first : first + rule.hold] = rule.side
    return held


def walk_forward(log_rtt: Floats, closes: Floats, grid: Grid, rule: Rule, folds: int = 5) -> Walk:
    """The rule over the past in `folds` + 1 stretches, of which the first only teaches.

    Raises:
        Invalid: the past is too short for that.
    """
    count = grid.count
    if count < 20 * (folds + 1) or count <= rule.window + (folds + 1) * (rule.hold + 2):
        raise Invalid(
            f"{count} buckets are too few for {folds} folds", "Give a shorter --step, or fewer --folds"
        )
    score = surprise(log_rtt, rule.window)
    delay = 1 + np.floor(np.nan_to_num(np.exp(log_rtt) * 1e6 / grid.step_ns))
    moves = np.r_[np.diff(np.log(_carried(closes))), 0.0]
    moves = np.nan_to_num(moves)  # before the first price nothing can be held
    held = {each: positions(score, rule, each, delay) for each in rule.thresholds}
    nets = {each: _net(held[each], moves, rule.cost) for each in rule.thresholds}
    edges = [round(count * part / (folds + 1)) for part in range(folds + 2)]
    embargo = rule.hold + int(np.max(delay))
    chosen: list[float] = []
    position = np.zeros(count)
    for start, end in pairwise(edges[1:]):
        past = slice(0, max(0, start - embargo))
        best = max(rule.thresholds, key=lambda each: sharpe(nets[each][past]))
        chosen.append(best)
        position[start:end] = held[best][start:end]
    out = slice(edges[1], count)
    position, moves = position[out], moves[out]
    net = _net(position, moves, rule.cost)
    trials = [Trial(each, sharpe(nets[each]), _opened(held[each])) for each in rule.thresholds]
    tested = Grid(grid.start + edges[1] * grid.step_ns, grid.step_ns, len(position))
    return Walk(
        net, position * moves, _opened(position), chosen, trials,
        _odds(position, moves, rule.cost, tested, embargo), 365.25 * DAY_NS / grid.step_ns,
    )  # fmt: skip


def verdict(walk: Walk, dsr: float) -> Finding:
    """Evidence only beyond what the best of all trials would show, and beyond what positions at other times do."""
    if walk.trades < LEAST_TRADES or walk.odds is None or walk.odds.placebo_p is None:
        return Finding.CANNOT_TELL
    sure = dsr > LEAST_DSR and walk.odds.p < 0.05 and walk.odds.placebo_passed and float(walk.net.mean()) > 0
    return Finding.EVIDENCE if sure else Finding.NO_EVIDENCE


def worth(walk: Walk, trials: int, ratios_a_year: list[float]) -> float:
    """The deflated Sharpe ratio of the walk among all trials ever made, whose annualised ratios are given."""
    variance = float(np.var(ratios_a_year, ddof=1)) / walk.a_year if len(ratios_a_year) > 1 else 0.0
    return deflated(walk.net, trials, variance)


def _carried(closes: Floats) -> Floats:
    """The last price known at each bucket's end: a price stands until there is another."""
    place = np.where(np.isfinite(closes), np.arange(len(closes)), -1)
    np.maximum.accumulate(place, out=place)
    return np.where(place >= 0, closes[place], np.nan)


def _net(held: Floats, moves: Floats, cost: float) -> Floats:
    return held * moves - cost * np.abs(np.diff(held, prepend=0.0))


def _opened(held: Floats) -> int:
    return int((np.diff(np.abs(held), prepend=0.0) > 0).sum())


def _odds(held: Floats, moves: Floats, cost: float, grid: Grid, embargo: int) -> Odds | None:
    """The same positions at other times: they cost the same, and their mean over their spread is what is compared."""
    if not held.any():
        return None
    charged = cost * np.abs(np.diff(held, prepend=0.0))
    total = moved_sums(held, moves) - charged.sum()
    squares = (
        moved_sums(held * held, moves * moves) - 2 * moved_sums(held * charged, moves) + (charged**2).sum()
    )
    mean = total / len(held)
    spread = np.sqrt(np.maximum(squares / len(held) - mean**2, 1e-18))
    return odds(mean / spread, 2 * embargo + 1, grid)
