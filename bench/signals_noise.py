"""How often every detector speaks while nothing happens, beside the rate it states; part of the benchmark "signals".

    python -m bench.signals_noise [SERIES]

A week of samples every four minutes of each kind of noise, 10,000 series of each unless fewer are asked for, in two
processes. Seeds are fixed, so the same series come up again.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import sqrt
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np

from bench.figure import OURS, Column, Table
from bench.signals_data import NOISE, STEP_S, WEEK_S, Series, labelled, stepped
from bench.signals_score import heard, observed
from nettrace.analysis.signals.catalogue import CATALOGUE, detector
from nettrace.analysis.signals.replay import Comparing
from nettrace.model.signal import Observation

SERIES, CHUNK, PROCESSES = 10_000, 25, 2
PRESETS_ON = 100
"""Series of each noise that the forerunners' rules are heard on: they speak hundreds of times a week."""
LENGTH = WEEK_S // STEP_S
LONG = "shift_daily"
LONG_WEEKS, LONG_EACH = 3, 12
"""It believes in no rhythm before the seventh day: it hears the first of every 12 series, of three weeks."""
LOST = 0.005
SHUFFLED = "shuffled"
KINDS = (*NOISE, SHUFFLED)
SURE = 1.645
"""Standard errors of the one-sided 95 % bound."""

Task = tuple[str, int, int]
"""Which noise, which chunk, how many series."""


class Heard(NamedTuple):
    """What a detector said of so many weeks of series."""

    signals: int
    weeks: float


def noise_tables(count: int) -> list[Table]:
    """A table for each detector, from `count` series of each noise."""
    tasks = [
        (kind, start // CHUNK, min(CHUNK, count - start))
        for start in range(0, count, CHUNK)
        for kind in KINDS
    ]
    said: Counter[tuple[str, str]] = Counter()
    weeks: defaultdict[tuple[str, str], float] = defaultdict(float)
    with get_context("spawn").Pool(PROCESSES) as pool:
        for kind, made in pool.imap_unordered(_chunk, tasks):
            for name, one in made.items():
                said[name, kind] += one.signals
                weeks[name, kind] += one.weeks
    return [_table(name, count, said, weeks) for name, entry in CATALOGUE.items() if not entry.preset]


def _table(
    name: str, count: int, said: Mapping[tuple[str, str], int], weeks: Mapping[tuple[str, str], float]
) -> Table:
    """Realised rates of one detector and of the forerunners' rule of the same kind."""
    mine = CATALOGUE[name]
    rivals = [each for each, entry in CATALOGUE.items() if entry.preset and entry.kind is mine.kind]
    table = Table(
        f"signals: '{name}' while nothing happens, {count} series of a week (4 min) of each noise",
        [Column(kind, "/series-week", mine.stated) for kind in KINDS],
        note=f"goal: the rate it states; {LOST:.1%} lost at random; shuffled: a week's samples of a series of the first "
        f"table in random order; the forerunners' rule on at most {PRESETS_ON}; {LONG} on every {LONG_EACH}th, of three weeks",
    )
    for each in (name, *rivals):
        rates = {kind: said[each, kind] / weeks[each, kind] for kind in KINDS if (each, kind) in weeks}
        table.add(OURS if each == name else each, dict(rates))
    bounds = {
        kind: (said[name, kind] + SURE * sqrt(said[name, kind] + 1)) / weeks[name, kind] for kind in KINDS
    }
    table.add("at most, 95 % sure", dict(bounds))
    return table


def pairs_table(series: Sequence[Series], name: str) -> Table:
    """Divergence of each series from the next one, with which it has nothing to do; both begin at the same time."""
    table = Table(
        f"signals: divergence between unrelated pairs, {name}",
        [Column("said", "/pair-week"), Column("labelled", "changes/pair-week")],
        note="each series beside the next; a change of one alone is a divergence, so as many as the watched one has changes "
        "('labelled') would be right; the forerunners' rule on the same pairs",
    )
    rows = [
        observed(Series(one.name, [place * STEP_S for place in range(len(one.rtt_ms))], list(one.rtt_ms), []))
        for one in series
    ]
    pairs = [(one, other[: len(one)]) for one, other in zip(rows, [*rows[1:], *rows[:1]], strict=True)]
    weeks = sum(min(len(one), len(other)) for one, other in pairs) / LENGTH
    changes = sum(
        sum(place < len(other) for place in one.changes)
        for one, (_, other) in zip(series, pairs, strict=True)
    )
    for each in ("divergence", "seed_divergence"):
        said = sum(not signal.updates for one, other in pairs for signal in heard(each, one, None, other))
        row = OURS if each == "divergence" else each
        table.add(row, {"said": said / weeks} | ({"labelled": changes / weeks} if row == OURS else {}))
    return table


def _chunk(task: Task) -> tuple[str, dict[str, Heard]]:
    """What every detector says of some series of one noise; one that compares gets the next series beside each."""
    kind, number, count = task
    dice = np.random.default_rng([KINDS.index(kind), number])
    rows = [observed(line) for line in _lines(kind, count, LENGTH, dice)]
    said = {
        name: _heard(name, rows)
        for name, entry in CATALOGUE.items()
        if name != LONG and not (entry.preset and number * CHUNK >= PRESETS_ON)
    }
    rows = [observed(line) for line in _lines(kind, -(-count // LONG_EACH), LONG_WEEKS * LENGTH, dice)]
    said[LONG] = _heard(LONG, rows)
    return kind, said


def _heard(name: str, rows: list[list[Observation]]) -> Heard:
    compares = isinstance(detector(name), Comparing)
    said = sum(
        not signal.updates
        for one, other in zip(rows, [*rows[1:], *rows[:1]], strict=True)
        for signal in heard(name, one, None, other if compares else ())
    )
    return Heard(said, sum(len(row) for row in rows) / LENGTH)


def _lines(kind: str, count: int, length: int, dice: np.random.Generator) -> Iterable[Series]:
    at_s = [float(place * STEP_S) for place in range(length)]
    for _ in range(count):
        if kind == SHUFFLED:
            known = _known()
            values = dice.permutation(known[dice.integers(len(known))])[:length]  # some have less
        else:
            values = NOISE[kind](length, dice)
            values[dice.random(length) < LOST] = -1
        yield Series(kind, at_s[: len(values)], values.tolist(), [])


@cache
def _known() -> list[Sequence[float]]:
    return [each.rtt_ms for each in labelled("labelled") or stepped(12, 1)]


if __name__ == "__main__":
    for made in noise_tables(int(sys.argv[1]) if len(sys.argv) > 1 else SERIES):
        print(f"\n{made.text()}", flush=True)
