"""Where the confidence of shifts comes from: fits it anew and says how well it holds on series it has not seen.

    NETTRACE_DATASETS=FOLDER python -m bench.signals_fit

Prints the coefficients of `nettrace.analysis.signals.confidence`, from all labelled series, and out-of-fold figures
(8 folds by series, twice); and the tail of likelihood ratios in shuffled series that `control.shift_p_value` bounds.
"""

import random
import sys
from collections.abc import Sequence
from math import log

import numpy as np

from bench.signals_data import Series, labelled, shuffled
from bench.signals_score import heard, matched, observed
from nettrace.analysis.signals.regime import Change, Regime
from nettrace.analysis.signals.shift import HELD
from nettrace.model.instant import NS_PER_MS, NS_PER_S

KEPT = (1, 2, 4)
"""One sample in so many: 4, 8 and 16 minutes."""
FOLDS, REPEATS, RIDGE = 8, 2, 0.5
Row = tuple[int, int, bool, list[float]]
"""Which series, one sample in how many, is it right, what is known of it."""


def shifts(number: int, keep: int, series: Series) -> tuple[list[Row], list[Row]]:
    """What is known of each shift when it is proven, and of those that hold for `HELD` samples then."""
    regime, found = Regime(), []
    at = {round(second * NS_PER_S): place for place, second in reversed(list(enumerate(series.at_s)))}
    held: list[tuple[Change, tuple[float, float]]] = []
    since = -1
    for one in observed(series):
        if one.rtt_ns is None:
            continue
        change = regime.push(one.at, one.rtt_ns / NS_PER_MS)
        if change is not None:
            found.append(change)
            since = 0
        elif since >= 0:
            since += 1
            if since == HELD + 1:
                held.append((found[-1], regime.summary()))
    right = {said for _, said in matched(series.changes, sorted(at[change.at] for change in found))}
    proven = [(number, keep, at[change.at] in right, early(change)) for change in found]
    return proven, [(number, keep, at[change.at] in right, late(change, *now)) for change, now in held]


def early(change: Change) -> list[float]:
    """As `confidence.tentative` weighs it."""
    beyond = min(change.ratio, 45.0) - change.threshold
    return [1.0, log(min(max(change.known, 1), 256) / 32), cadence(change), beyond, change.tested - 5.0]


def late(change: Change, level: float, spread: float) -> list[float]:
    """As `confidence.held` weighs it."""
    moved = abs(level - change.before)
    step = log(max(moved / (change.spread + spread), 0.05))
    lasting = min(moved / max(abs(change.after - change.before), 0.2), 1.5)
    return [*early(change)[:3], change.tested - 5.0, step, lasting]


def cadence(change: Change) -> float:
    """Log of the interval over four minutes."""
    return min(max(log(change.interval_ns / (240 * NS_PER_S)), -1.4), 1.4)


def fitted(rows: Sequence[Row]) -> np.ndarray:
    """Logistic regression with a little ridge, by Newton's method."""
    known, right = np.array([row[3] for row in rows]), np.array([row[2] for row in rows], float)
    weights = np.zeros(known.shape[1])
    for _ in range(30):
        share = 1 / (1 + np.exp(-known @ weights))
        slope = known.T @ (right - share) - RIDGE * weights
        curve = (known.T * (share * (1 - share))) @ known + RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curve, slope)
    return weights


def unseen(rows: Sequence[Row], count: int) -> list[tuple[float, bool, int]]:
    """Stated confidence, truth and thinning of each row, by weights of the folds it is not in."""
    made: list[tuple[float, bool, int]] = []
    for repeat in range(REPEATS):
        order = list(range(count))
        random.Random(repeat).shuffle(order)
        for fold in range(FOLDS):
            out = set(order[fold::FOLDS])
            weights = fitted([row for row in rows if row[0] not in out])
            made += [
                (float(1 / (1 + np.exp(-np.dot(weights, row[3])))), row[2], row[1])
                for row in rows
                if row[0] in out
            ]
    return made


def main() -> None:
    """Print everything."""
    series = labelled("labelled")
    if not series:
        sys.exit("NETTRACE_DATASETS names no folder with rtt_labelled/shao_real_atlas.tar.xz")
    proven: list[Row] = []
    held: list[Row] = []
    for number, each in enumerate(series):
        for keep in KEPT:
            first, then = shifts(number, keep, each.thinned(keep))
            proven += first
            held += then
    print("tentative:", fitted(proven).round(4).tolist())
    print("held:     ", fitted(held).round(4).tolist())
    for stated in range(2, 10, 2):
        mine = [row for row in unseen(proven, len(series)) if stated <= row[0] * 10 < stated + 2]
        if mine:
            print(
                f"  unseen, stated {np.mean([one[0] for one in mine]):.2f} realised {np.mean([one[1] for one in mine]):.2f}"
            )
    labels = REPEATS * sum(len(each.changes) for each in series)
    for least in (0.55, 0.57, 0.585, 0.6, 0.62):
        mine = [row for row in unseen(held, len(series)) if row[0] >= least and row[2] == 1]
        hits = sum(row[1] for row in mine)
        print(
            f"  unseen, confirmed at {least}: precision {hits / len(mine):.3f} recall {hits / labels:.3f} (4 min)"
        )
    ratios = [
        signal.evidence.value
        for seed in (0, 1)
        for each in shuffled(series, seed)
        for signal in heard("shift", observed(each))
        if not signal.updates
    ]
    total = 2 * sum(len(each.rtt_ms) for each in series)
    print(
        f"shuffled: {total} samples;",
        {least: sum(one >= least for one in ratios) for least in (24, 26, 28, 30, 32, 36)},
    )


if __name__ == "__main__":
    main()
