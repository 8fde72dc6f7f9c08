"""95th percentiles of pairs nobody measured, on the only set that has the round trips of each pair.

Each fifth of the pairs (or of the ends) is hidden in turn, with medians and tails, or with tails alone; what is said of
them is held against the percentile of their own round trips. The rival says what anybody would: the usual tail of all rows.
"""

import numpy as np
from msgspec.structs import replace

from bench.estimates_data import tails
from bench.figure import OURS, Column, Table
from nettrace.placement.estimates.estimate import Estimate, estimates
from nettrace.placement.estimates.evidence import End, Evidence, Row
from nettrace.placement.estimates.model import Model

_FOLDS, _MOST = 5, 300
_USUAL = "median x the usual tail"


def tables() -> list[Table]:
    """One table for each way of hiding."""
    rows = tails()
    return [_hidden(rows, "pairs"), _hidden(rows, "ends"), _hidden(rows, "p95 alone")]


def _hidden(rows: list[Row], what: str) -> Table:
    names = sorted({name for row in rows for name in (row.a, row.b)})
    ends = {name: End(name=name) for name in names}
    rng = np.random.default_rng(1)
    fold_of = dict(zip(names, rng.permutation(len(names)) % _FOLDS, strict=True))
    fold = rng.permutation(len(rows)) % _FOLDS
    asked: list[Row] = []
    found: list[Estimate | None] = []
    usual: list[float] = []
    for number in range(_FOLDS):
        gone = [
            (number in (fold_of[row.a], fold_of[row.b])) if what == "ends" else fold[at] == number
            for at, row in enumerate(rows)
        ]
        shown = [row for row, hidden in zip(rows, gone, strict=True) if not hidden]
        chosen = [row for row, hidden in zip(rows, gone, strict=True) if hidden]
        chosen = [chosen[at] for at in rng.permutation(len(chosen))[:_MOST]]
        if what == "ends":  # an end must be seen by somebody: nothing else says where it is
            shown += [row for at, row in enumerate(rows) if gone[at] and at % 4 == 0 and row not in chosen]
        known = [replace(row, p95_ms=None, own=False) for row in chosen] if what == "p95 alone" else []
        said = estimates(Model(Evidence(ends, tuple(shown + known))), [(row.a, row.b) for row in chosen])
        longer = float(np.median([row.p95_ms / row.p50_ms for row in shown if row.p95_ms]))
        asked += chosen
        found += said
        usual += [each.p50_ms * longer if each else np.nan for each in said]
    return _table(what, asked, found, np.array(usual))


def _table(what: str, asked: list[Row], found: list[Estimate | None], usual: np.ndarray) -> Table:
    table = Table(
        f"estimates of p95: Seattle, hidden {what}",
        [
            Column("off by", "% of truth"),
            Column("covered", "%", 85.0, at_least=True),
            Column("covered, most", "%", 95.0),
            Column("above", "%"),
            Column("width", "% of p95"),
            Column("no answer", ""),
            Column("pairs", ""),
        ],
        "covered: 90 % intervals that hold the percentile of the pair's own 600 round trips; above: it lies above them",
    )
    truth = np.array([row.p95_ms for row in asked], float)
    spans = [
        (each.p95_low_ms, each.p95_ms, each.p95_high_ms, real)
        for each, real in zip(found, truth, strict=True)
        if each is not None and each.p95_ms is not None
    ]
    low, middle, high, real = np.array(spans, float).T
    covered = float(100 * np.mean((low <= real) & (real <= high)))
    table.add(
        OURS,
        {
            "off by": float(100 * np.median(abs(middle - real) / real)),
            "covered": covered,
            "covered, most": covered,
            "above": float(100 * np.mean(real > high)),
            "width": float(100 * np.median((high - low) / middle)),
            "no answer": float(len(found) - len(spans)),
            "pairs": float(len(found)),
        },
    )
    table.add(
        _USUAL, {"off by": float(100 * np.nanmedian(abs(usual - truth) / truth)), "pairs": float(len(found))}
    )
    return table
