"""Latency and markets that have nothing to do with each other, and ones that have: for the benchmark "market".

`NETTRACE_DATASETS` names a folder with `rtt_labelled/shao_real_atlas.tar.xz` (33 RIPE Atlas ping series of 2016, MIT) and
`market/btc_perp_1m_2022-01.csv.gz` (a month of one-minute bars). Without it both sides are generated.
"""

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.signals_data import labelled
from nettrace.analysis.market.bars import COLUMNS, Bars
from nettrace.analysis.market.clock import Grid

STEP_S = 900
DAY = 86_400 // STEP_S
BUCKETS = 21 * DAY
GRID = Grid(1_640_995_200 * 10**9, STEP_S * 10**9, BUCKETS)


def real_latency() -> list[np.ndarray]:
    """Log RTT in 15-minute buckets, 21 days of each labelled series from its second day on, at its own time of day."""
    made: list[np.ndarray] = []
    for series in labelled("labelled"):
        at, rtt = np.array(series.at_s), np.array(series.rtt_ms)
        place = ((at - at[0] + at[0] % 86_400) // STEP_S).astype(int)
        known = rtt > 0
        row = np.full(place[-1] + 1, np.nan)
        order = np.argsort(place[known], kind="stable")
        starts = np.searchsorted(place[known][order], np.arange(len(row) + 1))
        values = np.log(rtt[known][order])
        for each in np.flatnonzero(np.diff(starts)):
            row[each] = np.median(values[starts[each] : starts[each + 1]])
        made += [row[DAY:][:BUCKETS]] if len(row) >= DAY + BUCKETS else []
    return made


def real_market() -> Bars | None:
    """The month of bars, where a folder has it."""
    folder = os.environ.get("NETTRACE_DATASETS")
    path = Path(folder) / "market" / "btc_perp_1m_2022-01.csv.gz" if folder else None
    if path is None or not path.is_file():
        return None
    with gzip.open(path, "rt") as file:
        rows = [line.split(",") for line in file.read().splitlines()[1:]]
    at = [int(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp()) * 10**9 for row in rows]
    values = np.array([[float(each) for each in row[1:6]] for row in rows])
    columns = {name: values[:, place] for place, name in enumerate(COLUMNS[:5])}
    return Bars(np.array(at), 60 * 10**9, columns | {"spread": np.full(len(at), np.nan)})


def wandering(rng: np.random.Generator, count: int = BUCKETS) -> np.ndarray:
    """Generated log RTT: levels that jump, a daily rhythm, autocorrelated heavy-tailed noise, and 2 % missing."""
    jumps = np.where(rng.random(count) < 0.003, rng.normal(0, 0.08, count), 0.0)
    noise = remembering(rng.standard_t(4, count) * 0.01, 0.6)
    row = 3.5 + np.cumsum(jumps) + noise + rng.uniform(0, 0.03) * _day(count, rng.uniform(0, 6.28))
    row[rng.random(count) < 0.02] = np.nan
    return row


def busy(rng: np.random.Generator, count: int = BUCKETS) -> tuple[np.ndarray, np.ndarray]:
    """Generated log volume and log volatility: GARCH(1,1) returns under a daily profile, volume that follows variance."""
    variance, returns = 1.0, np.empty(count)
    variances = np.empty(count)
    shocks = rng.standard_normal(count)
    for place in range(count):
        variances[place] = variance
        returns[place] = variance**0.5 * shocks[place]
        variance = 0.03 + 0.1 * returns[place] ** 2 + 0.87 * variance
    profile = 0.6 * _day(count, rng.uniform(0, 6.28))
    volume = profile + 0.5 * np.log(variances) + remembering(rng.normal(0, 0.3, count), 0.7)
    volatility = profile + 0.5 * np.log(variances) + 0.5 * np.log(rng.chisquare(8, count) / 8)
    return volume, volatility


def remembering(shocks: np.ndarray, memory: float) -> np.ndarray:
    """An AR(1) of these shocks."""
    made = np.empty(len(shocks))
    last = 0.0
    for place, shock in enumerate(shocks):
        last = made[place] = memory * last + shock
    return made


def _day(count: int, phase: float) -> np.ndarray:
    return np.sin(2 * np.pi * np.arange(count) / DAY + phase)
