"""How often noise tells a shift and still stands later, beside the p-value that says so; part of the benchmark "signals".

    python -m bench.signals_standing [SAMPLES] [INTERVAL_S]

So many samples of each of the two worst kinds of noise through the regime test. Whatever it tells is false, and is judged
again as `hub.belief_watch` does, after each of `LATER` further samples; the worst of these counts.
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from bench.figure import OURS, Column, Table
from bench.signals_data import WEEK_S, autocorrelated, labelled, stepped
from nettrace.analysis.signals.regime import KEPT, TESTED_MOST, Change, Regime
from nettrace.analysis.signals.standing import KEPT_BEFORE, standing_p_value, standing_ratio
from nettrace.model.instant import NS_PER_S

SAMPLES, INTERVAL_S, LENGTH = 2_000_000, 720, WEEK_S // 240
LATER = (1, 2, 3, 5, 8, 12, 15, 30, 60)
RATIOS = (24.0, 30.0, 36.0, 40.0, 45.0)
MILLION = 1e6


def standing_tables(samples: int, interval_s: int) -> list[Table]:
    """One table."""
    table = Table(
        f"signals: shifts of noise that still stand, {samples} samples of each kind, one in {interval_s} s",
        [
            Column(f"ratio {ratio:g}", "/million samples", standing_p_value(ratio) * MILLION)
            for ratio in RATIOS
        ],
        note=f"the worst of looks after {', '.join(map(str, LATER))} further samples; goal: the p-value stated",
    )
    known = [each.rtt_ms for each in labelled("labelled") or stepped(12, 1)]
    for kind in ("autocorrelated", "shuffled"):
        rows = list(_noise(kind, known, samples))
        found = [each for row in rows for each in _judged(row, interval_s)]
        heard = sum(map(len, rows)) / MILLION
        table.add(f"{OURS}, {kind}", {f"ratio {ratio:g}": _worst(found, ratio) / heard for ratio in RATIOS})
    return [table]


def _noise(kind: str, known: Sequence[Sequence[float]], samples: int) -> Iterator[list[float]]:
    """Series of a week; the lost ones are left out."""
    dice = np.random.default_rng(1)
    for _ in range(max(1, samples // LENGTH)):
        if kind == "shuffled":
            row = dice.permutation(known[dice.integers(len(known))])[:LENGTH].tolist()
            yield [value for value in row if value > 0]
        else:
            yield autocorrelated(LENGTH, dice).tolist()


def _worst(found: Sequence[Sequence[float | None]], ratio: float) -> int:
    """How many stand with such a ratio at the look at which most do."""
    return max(
        sum(look is not None and look >= ratio for look in looks) for looks in zip(*found, strict=True)
    )


def _judged(values: Sequence[float], interval_s: int) -> Iterator[list[float | None]]:
    """For each shift told of noise its ratio at each later look, None where the series ends before."""
    regime = Regime(interval_ns=interval_s * NS_PER_S)
    for place, value in enumerate(values):
        change = regime.push(place * interval_s * NS_PER_S, value)
        if change is not None:
            yield _later(values, place, change, interval_s)


def _later(values: Sequence[float], place: int, change: Change, interval_s: int) -> list[float | None]:
    first = change.at // (interval_s * NS_PER_S)
    wanted = KEPT_BEFORE if change.base >= KEPT - TESTED_MOST else change.base
    before = values[max(0, first - wanted) : first]
    return [
        standing_ratio(before, values[first : place + 1 + more]) if place + more < len(values) else None
        for more in LATER
    ]


if __name__ == "__main__":
    given = [int(float(each)) for each in sys.argv[1:]]
    for made in standing_tables(*(given + [SAMPLES, INTERVAL_S][len(given) :])):
        print(made.text())
