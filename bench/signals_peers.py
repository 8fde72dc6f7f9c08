"""What others would use to find changes of level: small, textbook, with the parameters their authors or users choose.

Each takes RTTs in ms (lost probes already left out) and gives `(where it was proven, where the change is)` pairs, both
places in the row. All but PELT read the row once, in order; PELT sees all of it before it answers.
"""

from collections.abc import Callable, Sequence
from math import lgamma, sqrt

import numpy as np

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


PEERS: dict[str, Callable[[Sequence[float]], Found]] = {
    "forerunners' z(12) > 2": zscore,
    "EWMA l=.2 L=5": ewma,
    "CUSUM k=.5 h=10": cusum,
    "Page-Hinkley, river": page_hinkley,
    "BOCPD Student-t, 1 ms": bocpd,
    "offline PELT Poisson MBIC": pelt_poisson,
}
