"""What others would use to find changes of level: small, textbook, with the parameters their authors or users choose.

Each takes RTTs in ms (lost probes already left out) and gives `(where it was proven, where the change is)` pairs, both
places in the row. All but PELT read the row once, in order; PELT sees all of it before it answers.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import lgamma, sqrt

import numpy as np
from numpy.typing import NDArray

Found = list[tuple[int, int]]


def zscore(values: Sequence[float], window: int = 12, limit: float = 2.0) -> Found:
    """The forerunners' rule: |z| > 2 against the 12 samples before, every sample."""
    row = np.asarray(values)
    sums, squares = np.cumsum(np.r_[0, row]), np.cumsum(np.r_[0, row**2])
    mean = (sums[window:-1] - sums[: -window - 1]) / window
    spread = (
        np.maximum((squares[window:-1] - squares[: -window - 1]) / window - mean**2, 0)
        * window
        / (window - 1)
    )
    away = np.abs(row[window:] - mean) > limit * np.sqrt(spread)
    return [(int(place) + window, int(place) + window) for place in np.flatnonzero(away & (spread > 0))]


def ewma(values: Sequence[float], weight: float = 0.2, limit: float = 5.0, warm: int = 30) -> Found:
    """Exponentially weighted moving average chart (Roberts 1959); a new baseline after each alarm."""
    found: Found = []
    start = 0
    while start + warm < len(values):
        base = values[start : start + warm]
        mean = sum(base) / warm
        spread = sqrt(sum((one - mean) ** 2 for one in base) / (warm - 1)) or 1e-3
        bound, average = limit * spread * sqrt(weight / (2 - weight)), mean
        for place in range(start + warm, len(values)):
            average += weight * (values[place] - average)
            if abs(average - mean) > bound:
                found.append((place, place))
                break
        else:
            break
        start = place
    return found


def cusum(values: Sequence[float], slack: float = 0.5, limit: float = 10.0, warm: int = 30) -> Found:
    """Two-sided CUSUM (Page 1954) in standard deviations of a baseline; a new baseline after each alarm."""
    found: Found = []
    start = 0
    while start + warm < len(values):
        base = values[start : start + warm]
        mean = sum(base) / warm
        spread = sqrt(sum((one - mean) ** 2 for one in base) / (warm - 1)) or 1e-3
        up = down = 0.0
        since_up = since_down = start + warm
        for place in range(start + warm, len(values)):
            z = (values[place] - mean) / spread
            up, since_up = (up + z - slack, since_up) if up > 0 else (max(0.0, z - slack), place)
            down, since_down = (down - z - slack, since_down) if down > 0 else (max(0.0, -z - slack), place)
            if max(up, down) > limit:
                found.append((place, since_up if up > down else since_down))
                break
        else:
            break
        start = place
    return found


def page_hinkley(values: Sequence[float], delta: float = 0.005, limit: float = 50.0, warm: int = 30) -> Found:
    """Page-Hinkley with the defaults of the library river, both directions."""
    found: Found = []
    count, mean, up, down, least, most = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for place, value in enumerate(values):
        count += 1
        mean += (value - mean) / count
        up = 0.9999 * up + value - mean - delta
        down = 0.9999 * down + value - mean + delta
        least, most = min(least, up), max(most, down)
        if count >= warm and (up - least > limit or most - down > limit):
            found.append((place, place))
            count, mean, up, down, least, most = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    return found


def bocpd(values: Sequence[float], hazard: float = 1 / 1000, gate: float = 1.0, longest: int = 200) -> Found:
    """Bayesian online change points (Adams and MacKay 2007), Student-t with unknown mean and variance.

    An alarm when the likeliest run is short and the level differs from the one before by the gate; runs longer than
    `longest` are dropped.
    """
    row = np.asarray(values)
    lengths = np.arange(longest + 1)
    a = 0.5 + lengths / 2
    gammas = np.array([lgamma(one + 0.5) - lgamma(one) for one in a])
    k = 0.01 + lengths
    found: Found = []
    mean, b, chance = np.array([row[0]]), np.array([0.05]), np.array([1.0])
    level = row[0]
    for place, value in enumerate(row):
        n = len(chance)
        scale = b * (k[:n] + 1) / (a[:n] * k[:n])
        off = value - mean
        with np.errstate(under="ignore"):
            likely = np.exp(gammas[:n] - 0.5 * np.log(2 * np.pi * a[:n] * scale)) * (
                1 + off**2 / (2 * a[:n] * scale)
            ) ** -(a[:n] + 0.5)
            grown = chance * likely
        new = np.r_[grown.sum() * hazard, grown * (1 - hazard)][: longest + 1]
        chance = new / new.sum()
        b = np.r_[0.05, b + k[:n] * off**2 / (2 * (k[:n] + 1))][: longest + 1]
        mean = np.r_[value, (k[:n] * mean + value) / (k[:n] + 1)][: longest + 1]
        run = int(chance.argmax())
        if 5 <= run <= 20 and chance[run] > 0.5 and abs(mean[run] - level) > gate:
            found.append((place, place - run + 1))
            level = mean[run]
        elif run > 20:
            level = mean[run]
    return found


def pelt_poisson(values: Sequence[float], shortest: int = 3) -> Found:
    """PELT (Killick et al. 2012) with a Poisson cost and the MBIC penalty, on whole ms above the least; offline.

    The likelihood with which the authors of the labels had their second-best result.
    """
    row = np.round(np.asarray(values) - min(values))
    count = len(row)
    sums = np.r_[0.0, np.cumsum(row)]
    penalty = 3 * np.log(count)
    best = np.full(count + 1, np.inf)
    best[0] = -penalty
    before = np.zeros(count + 1, int)
    alive = np.array([0])
    for end in range(shortest, count + 1):
        size, total = end - alive, sums[end] - sums[alive]
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = np.where(total > 0, 2 * total * (np.log(size) - np.log(total)), 0.0) + np.log(size)
        reached = best[alive] + cost + penalty
        pick = int(reached.argmin())
        best[end], before[end] = reached[pick], alive[pick]
        keep = best[alive] + cost <= best[end] + np.log(count)
        alive = np.r_[alive[keep], end - shortest + 1]
    found: Found = []
    place = int(before[count])
    while place > 0:
        found.append((count - 1, place))
        place = int(before[place])
    return found[::-1]


def sliding_pelt(values: Sequence[float], window: int = 96, twice: float = 2.0, gate: float = 1.0) -> Found:
    """The same model over a window that slides: after each sample the best segments of the newest 96, proven when new.

    Penalty twice the MBIC of the window; a change is one whose medians on both sides are a gate apart, and which is no
    nearer than the shortest segment to one said before. The best segments are found exactly, for all windows at a time.
    """
    row = np.asarray(values)
    if len(row) <= window:
        return []
    found: Found = []
    said = 0
    views = np.lib.stride_tricks.sliding_window_view(row, window)
    for start in range(0, len(views), 4096):
        block = views[start : start + 4096]
        for number, change in enumerate(_last_change(block, twice * 3 * np.log(window))):
            place = start + number + change
            if change == 0 or place < said + SHORTEST:
                continue
            before = block[number, max(0, change - 36) : change]
            if abs(np.median(block[number, change:]) - np.median(before)) > gate:
                found.append((start + number + window - 1, place))
                said = place
    return found


SHORTEST = 3
"""Samples of a segment, at least."""


def _last_change(views: NDArray[np.float64], penalty: float) -> NDArray[np.int64]:
    """Where the last segment of each window begins, 0 where there is only one: optimal partitioning (Jackson 2005)."""
    whole = np.round(views - views.min(1, keepdims=True))
    sums = np.c_[np.zeros(len(whole)), np.cumsum(whole, 1)].T.copy()
    count = whole.shape[1]
    best = np.full(sums.shape, np.inf)
    best[0] = -penalty
    last = np.zeros(len(whole), int)
    for end in range(SHORTEST, count + 1):
        starts = np.arange(end - SHORTEST + 1)
        total, size = sums[end] - sums[starts], (end - starts)[:, None]
        cost = 2 * total * (np.log(size) - np.log(np.maximum(total, 1))) + np.log(size)
        reached = best[starts] + cost + penalty
        last = reached.argmin(0)
        best[end] = np.take_along_axis(reached, last[None], 0)[0]
    return last


def pelt_ranks(values: Sequence[float], gate: float = 0.0) -> Found:
    """PELT with the non-parametric cost of Haynes et al. (2017) and the MBIC penalty; offline, the labels' authors' best.

    The cost of a segment is that of its empirical distribution at 4 ln n quantiles of the whole, packed into the tails. With
    a `gate`, changes between medians closer than it are left out.
    """
    row = np.asarray(values)
    count = len(row)
    kept = int(4 * np.log(count))
    weight = np.log(2 * count - 1)
    share = 1 / (1 + (2 * count - 1) * np.exp(-weight / kept * (2 * np.arange(1, kept + 1) - 1)))
    levels = np.sort(row)[np.minimum((share * (count - 1)).astype(int) + 1, count - 1)]
    below = (row[:, None] < levels) + 0.5 * (row[:, None] == levels)
    sums = np.r_[np.zeros((1, kept)), np.cumsum(below, 0)]
    table = _entropies(count)
    logs = np.log(np.maximum(np.arange(count + 1), 1))
    penalty = 3 * np.log(count)
    best, before = np.full(count + 1, np.inf), np.zeros(count + 1, int)
    best[0] = -penalty
    alive = np.array([0])
    for end in range(SHORTEST, count + 1):
        size = end - alive
        under = ((sums[end] - sums[alive]) * 2).astype(int)  # halves are whole
        inside = (table[under] + table[2 * size[:, None] - under]).sum(1) - kept * size * logs[size]
        cost = -2 * weight / kept * inside + logs[size]
        reached = best[alive] + cost + penalty
        pick = int(reached.argmin())
        best[end], before[end] = reached[pick], alive[pick]
        alive = np.r_[alive[best[alive] + cost <= best[end] + np.log(count)], end - SHORTEST + 1]
    return _gated(row, before, gate)


def _entropies(count: int) -> NDArray[np.float64]:
    """Value ln value for 0, 1/2, 1, ... up to the count."""
    halves = np.arange(2 * count + 1) / 2
    return halves * np.log(np.maximum(halves, 0.5)) * (halves > 0)


def _gated(row: NDArray[np.float64], before: NDArray[np.int64], gate: float) -> Found:
    """The changes of the best segments whose medians are at least the gate apart."""
    edges = [len(row)]
    while edges[-1] > 0:
        edges.append(int(before[edges[-1]]))
    edges.reverse()
    levels = [float(np.median(row[start:end])) for start, end in pairwise(edges)]
    return [
        (len(row) - 1, edge)
        for edge, (old, new) in zip(edges[1:-1], pairwise(levels), strict=True)
        if abs(new - old) >= gate
    ]


def pelt_ranks_gated(values: Sequence[float]) -> Found:
    """That, with a gate of 1 ms."""
    return pelt_ranks(values, 1.0)


PEERS: dict[str, Callable[[Sequence[float]], Found]] = {
    "forerunners' z(12) > 2": zscore,
    "EWMA l=.2 L=5": ewma,
    "CUSUM k=.5 h=10": cusum,
    "Page-Hinkley, river": page_hinkley,
    "BOCPD Student-t, 1 ms": bocpd,
    "sliding PELT Poisson, 1 ms": sliding_pelt,
    "offline PELT Poisson MBIC": pelt_poisson,
    "offline PELT ranks MBIC": pelt_ranks,
    "offline PELT ranks MBIC, 1 ms": pelt_ranks_gated,
}
