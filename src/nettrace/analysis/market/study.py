"""Event studies: what volume, volatility and spread do before, while and after something happens to latency.

An event counts in the bucket in which it became known. `before` are whole buckets before that one, `after` whole buckets
behind it, less the level before. The odds come from moving all events together, bursts and all.
"""

from dataclasses import dataclass

import numpy as np

from nettrace.analysis.market.bars import Floats
from nettrace.analysis.market.chance import Odds, known, moved_sums, odds
from nettrace.analysis.market.clock import Grid
from nettrace.analysis.market.rhythm import normal_scores, without_rhythm

PHASES = ("before", "during", "after")
LEAST_EVENTS = 8
"""Buckets with events; fewer say nothing."""


@dataclass(frozen=True)
class EventEffect:
    """One answer.

    Attributes:
        phase: `before`, `during` or `after`.
        horizon: how many buckets are looked at.
        effect: mean departure from the time of day's usual, in standard deviations (of normal scores).
        events: buckets with an event and data.
        odds: what chance does; None when there is too little data.
    """

    phase: str
    horizon: int
    effect: float | None
    events: int
    odds: Odds | None


def event_study(
    events: Floats, market: Floats, grid: Grid, horizons: tuple[int, ...] = (1, 4, 16)
) -> list[EventEffect]:
    """Every phase and horizon (buckets); `events` are counts a bucket (`clock.counts_on`)."""
    scores = normal_scores(without_rhythm(market, grid))
    near = 2 * max(horizons) + 1
    found = [_effect("during", 1, scores, events, near, grid)]
    for horizon in horizons:
        before = _windows(scores, -horizon, horizon)
        after = _windows(scores, 1, horizon)
        found.append(_effect("before", horizon, before, events, near, grid))
        found.append(_effect("after", horizon, after - before, events, near, grid))
    return found


def _windows(scores: Floats, start: int, width: int) -> Floats:
    """The mean of the known of `width` buckets from `start` on, for every bucket; NaN when half are not known."""
    values, mask = known(scores)
    sums, counts = np.zeros(len(scores)), np.zeros(len(scores))
    for step in range(start, start + width):
        sums += np.roll(values, -step)
        counts += np.roll(mask, -step)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts * 2 > width, sums / counts, np.nan)


def _effect(phase: str, horizon: int, windows: Floats, events: Floats, near: int, grid: Grid) -> EventEffect:
    values, mask = known(windows)
    happened = (events > 0).astype(np.float64)  # a burst within one bucket is one event
    counts = moved_sums(happened, mask)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(
            counts > 0.5 * max(1.0, happened.sum()), moved_sums(happened, values) / counts, np.nan
        )
    number = round(float(counts[0]))
    if number < LEAST_EVENTS or not np.isfinite(means[0]):
        return EventEffect(
            phase, horizon, None if not np.isfinite(means[0]) else float(means[0]), number, None
        )
    off = np.abs(means - np.nanmedian(means))
    return EventEffect(phase, horizon, float(means[0]), number, odds(off, near, grid))
