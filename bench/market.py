"""Latency against markets: how often a report speaks of nothing, and how often it finds what was planted.

Independent pairs: real RTT of 2016 against a real market of 2022 at three day offsets, and generated ones of both (levels
that jump and a daily rhythm; GARCH under a daily profile). Each pair is a report of its own, as somebody who asks
once sees it; "one ledger" is all of them asked one after the other on one data folder.
"""

from math import erfc, sqrt

import numpy as np

from bench.figure import OURS, Column, Table
from bench.market_data import BUCKETS, DAY, GRID, busy, real_latency, real_market, remembering, wandering
from nettrace.analysis.market.backtest import Rule, surprise, verdict, walk_forward, worth
from nettrace.analysis.market.chance import Odds
from nettrace.analysis.market.clock import DAY_NS, Grid, measure_on
from nettrace.analysis.market.discovery import FDR, Finding, judged
from nettrace.analysis.market.leadlag import compare
from nettrace.analysis.market.rhythm import normal_scores, surprises, without_rhythm
from nettrace.analysis.market.study import event_study

PAIRS = 200
LAGS = 8
SIZES = (0.10, 0.15, 0.25)
PLANTED_LAG = 4


def run(runs: int, quick: bool) -> list[Table]:
    """Three tables: lead-lag, event studies, backtests."""
    del runs
    rng = np.random.default_rng(7)
    pairs = _pairs(rng, 40 if quick else PAIRS)
    print(f"{len(pairs)} pairs, {sum(kind == 'real' for kind, _, _ in pairs)} of them real", flush=True)
    return [_lead_lag(pairs, rng), _study(pairs, rng), _backtest(rng, 20 if quick else 100)]


def _pairs(rng: np.random.Generator, count: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(kind, log RTT, log measure) that have nothing to do with each other; half real where there is data."""
    latency, market = real_latency(), real_market()
    made: list[tuple[str, np.ndarray, np.ndarray]] = []
    if latency and market is not None:
        sides = [
            measure_on(Grid(GRID.start + offset * DAY_NS, GRID.step_ns, GRID.count), market, measure)
            for offset in (0, 4, 9)
            for measure in ("volume", "volatility")
        ]
        every = [("real", left, right) for left in latency for right in sides]
        made = [every[place] for place in rng.permutation(len(every))[: count // 2]]
    while len(made) < count:
        left = wandering(rng)
        made += [("generated", left, right) for right in busy(rng)]
    return made[:count]


def _lead_lag(pairs: list[tuple[str, np.ndarray, np.ndarray]], rng: np.random.Generator) -> Table:
    table = Table(
        f"market: lead-lag over +-{LAGS} buckets of 15 min, 21 days",
        [
            Column("false, a report each", "%", 5.0),
            Column("false, real pairs", "%"),
            Column("false, one ledger", "%", 5.0),
            *(
                Column(f"found, r {size:g}", "%", 95.0 if size == SIZES[-1] else None, at_least=True)
                for size in SIZES
            ),
        ],
        "found: right lag and evidence, in a report of its own; by chance the largest |r| of a pair reaches .06 in one of twenty",
    )
    tests: dict[str, Odds | None] = {}
    single: list[bool] = []
    naive: dict[str, list[bool]] = {"Pearson, best lag, p < .05": [], "the same, Bonferroni over lags": []}
    for number, (_, left, right) in enumerate(pairs):
        found = compare(surprises(left, GRID), surprises(right, GRID), GRID, LAGS).odds
        tests[str(number)] = found
        single.append(_evident(found))
        p = _pearson(left, right)
        naive["Pearson, best lag, p < .05"].append(p < 0.05)
        naive["the same, Bonferroni over lags"].append(p < 0.05 / (2 * LAGS + 1))
    together = [finding is Finding.EVIDENCE for _, finding in judged(tests, {}, FDR).values()]
    real = [said for said, (kind, _, _) in zip(single, pairs, strict=True) if kind == "real"]
    table.add(
        OURS,
        {
            "false, a report each": _percent(single),
            "false, real pairs": _percent(real) if real else None,
            "false, one ledger": _percent(together),
            **{
                f"found, r {size:g}": _percent([_planted(left, size, rng) for _, left, _ in pairs[::4]])
                for size in SIZES
            },
        },
    )
    for name, said in naive.items():
        table.add(name, {"false, a report each": _percent(said)})
    return table


def _planted(left: np.ndarray, size: float, rng: np.random.Generator) -> bool:
    """A market whose news is to this part latency's news of an hour ago, under rhythm and memory of its own."""
    news = np.nan_to_num(surprises(left, GRID))
    shocks = size * np.roll(news, PLANTED_LAG) + sqrt(1 - size**2) * rng.standard_normal(BUCKETS)
    profile = 0.6 * np.sin(2 * np.pi * np.arange(BUCKETS) / DAY + rng.uniform(0, 6.28))
    right = profile + remembering(0.3 * shocks, 0.7)
    found = compare(surprises(left, GRID), surprises(right, GRID), GRID, LAGS)
    return found.lag == PLANTED_LAG and _evident(found.odds)


def _study(pairs: list[tuple[str, np.ndarray, np.ndarray]], rng: np.random.Generator) -> Table:
    sizes = (0.3, 0.5, 1.0)
    table = Table(
        "market: event studies, 40 events in bursts, 7 tests each (before, during, after; 1, 4, 16 buckets)",
        [
            Column("false, a report each", "%", 5.0),
            *(
                Column(f"found, {size:g} sd", "%", 95.0 if size == 1.0 else None, at_least=True)
                for size in sizes
            ),
        ],
        "found: a rise of so many standard deviations over the four buckets after each event",
    )
    ours, theirs = [], []
    for _, _, right in pairs:
        events = _bursts(rng)
        ours.append(_any_evidence(events, right))
        theirs.append(_welch(events, right))
    found = {
        f"found, {size:g} sd": _percent([_raised(right, size, rng) for _, _, right in pairs[::4]])
        for size in sizes
    }
    table.add(OURS, {"false, a report each": _percent(ours), **found})
    table.add(
        "Welch t on raw logs, 4 after against 4 before or the rest, p < .05",
        {"false, a report each": _percent(theirs)},
    )
    return table


def _bursts(rng: np.random.Generator) -> np.ndarray:
    """Events as trouble comes: in bursts, and mostly by day."""
    events = np.zeros(BUCKETS)
    while events.sum() < 40:
        start = int(rng.integers(0, BUCKETS - 20))
        if rng.random() < 0.5 + 0.5 * np.sin(2 * np.pi * start / DAY):
            events[start + rng.integers(0, 16, rng.integers(1, 4))] = 1
    return events


def _raised(right: np.ndarray, size: float, rng: np.random.Generator) -> bool:
    events = _bursts(rng)
    spread = 1.0 / max(1e-9, np.nanstd(normal_scores(without_rhythm(right, GRID))))
    usual = np.nanstd(right - np.nanmedian(right)) * spread
    effect = np.zeros(BUCKETS)
    for step in range(1, 5):
        effect = np.maximum(effect, np.roll(events, step))
    return _any_evidence(events, right + size * usual * effect)


def _any_evidence(events: np.ndarray, right: np.ndarray) -> bool:
    tests = {f"{each.phase} {each.horizon}": each.odds for each in event_study(events, right, GRID)}
    return any(finding is Finding.EVIDENCE for _, finding in judged(tests, {}, FDR).values())


def _welch(events: np.ndarray, right: np.ndarray) -> bool:
    """What a spreadsheet does: all buckets soon after an event against all others, and against those before."""
    after, before = np.zeros(BUCKETS, dtype=bool), np.zeros(BUCKETS, dtype=bool)
    for step in range(1, 5):
        after |= np.roll(events > 0, step)
        before |= np.roll(events > 0, -step)
    known = np.isfinite(right)
    left = right[after & known]
    p = []
    for other in (right[~after & known], right[before & ~after & known]):
        t = (left.mean() - other.mean()) / sqrt(left.var() / len(left) + other.var() / len(other))
        p.append(erfc(abs(t) / sqrt(2)))
    return min(p) < 0.05 / 2


def _backtest(rng: np.random.Generator, count: int) -> Table:
    table = Table(
        "market: backtests of four thresholds on prices that know nothing of latency",
        [
            Column("false", "%", 5.0),
            Column("Sharpe a year, best", ""),
            Column("found, 30 bp", "%"),
            Column("found, 60 bp", "%", 80.0, at_least=True),
        ],
        "5 bp a fill; found: so much drift in the hour after latency exceeds 2 of its spreads, from the fill on, under 20 bp a "
        "bucket of GARCH noise; trials counted over all reports",
    )
    rule = Rule((1.0, 2.0, 3.0, 4.0), hold=4)
    ours, best, ratios = [], [], []
    planted: dict[int, list[bool]] = {30: [], 60: []}
    for _ in range(count):
        left = wandering(rng)
        steps = 0.002 * _garch(rng)
        walk = walk_forward(left, 100 * np.exp(np.cumsum(steps)), GRID, rule)
        ratios += [trial.sharpe * walk.a_year**0.5 for trial in walk.trials]
        free = walk_forward(left, 100 * np.exp(np.cumsum(steps)), GRID, Rule(rule.thresholds, cost=0.0))
        best.append(max(trial.sharpe * walk.a_year**0.5 for trial in free.trials))
        ours.append(verdict(walk, worth(walk, len(ratios), ratios)) is Finding.EVIDENCE)
        for size, said in planted.items():
            steps_then = steps + size / 4e4 * _after(left)
            walk = walk_forward(left, 100 * np.exp(np.cumsum(steps_then)), GRID, Rule((2.0,), hold=4))
            said.append(verdict(walk, worth(walk, 1, [])) is Finding.EVIDENCE)
    table.add(
        OURS,
        {"false": _percent(ours), **{f"found, {size} bp": _percent(said) for size, said in planted.items()}},
    )
    table.add(
        "best threshold without costs, Sharpe > 2",
        {"false": _percent([each > 2 for each in best]), "Sharpe a year, best": max(best)},
    )
    return table


def _garch(rng: np.random.Generator) -> np.ndarray:
    variance, made = 1.0, np.empty(BUCKETS)
    for place, shock in enumerate(rng.standard_normal(BUCKETS)):
        made[place] = variance**0.5 * shock
        variance = 0.03 + 0.1 * made[place] ** 2 + 0.87 * variance
    return made


def _after(left: np.ndarray) -> np.ndarray:
    """1 in the four buckets in which the rule would hold something."""
    made = np.zeros(BUCKETS)
    for place in np.flatnonzero(np.nan_to_num(surprise(left, 96)) > 2):
        made[place + 2 : place + 6] = 1
    return made


def _evident(odds: Odds | None) -> bool:
    return odds is not None and odds.p <= FDR and odds.placebo_passed


def _pearson(left: np.ndarray, right: np.ndarray) -> float:
    """The least p over lags of the plain correlation of logs."""
    least = 1.0
    for lag in range(-LAGS, LAGS + 1):
        moved = np.roll(right, -lag)
        known = np.isfinite(left) & np.isfinite(moved)
        r = float(np.corrcoef(left[known], moved[known])[0, 1])
        least = min(least, erfc(abs(r) * sqrt(known.sum() / max(1e-12, 1 - r * r)) / sqrt(2)))
    return least


def _percent(said: list[bool]) -> float:
    return 100.0 * sum(said) / len(said)
