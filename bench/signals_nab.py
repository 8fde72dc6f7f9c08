"""The spike channel on the Numenta Anomaly Benchmark, scored as its authors score; part of the benchmark "signals".

    NETTRACE_NAB=CHECKOUT python -m bench.signals_nab

A detector hands in a score for each record there, and its threshold is the best one over all files, chosen by the scorer. So
the channel hands in what it decides by: one minus the p-value of each record. What it tells people is the second row: alarms that
passed its own fixed threshold already, at the end of an excursion that came back, of which the scorer can only choose among the surer.

The files are not round trips: each is scaled so that the median of its unjudged beginning is 40 ms.
"""

from collections.abc import Mapping, Sequence
from os import environ
from statistics import median

from bench.figure import OURS, Column, Table
from bench.nab import (
    PROFILES,
    Alarms,
    File,
    Profile,
    Scores,
    alarms,
    files,
    published,
    scored,
    swept,
    windowed_gaussian,
)
from nettrace.analysis.signals.anomaly import AnomalyDetector
from nettrace.analysis.signals.regime import Regime
from nettrace.analysis.signals.tail import Tail
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Observation

STEP_NS, LEVEL_MS, LEAST_MS = 300 * NS_PER_S, 40.0, 1e-6
EPISODES = (50, 100, 200, 400)
"""Rows in which only a surer alarm is another one; which of these is chosen on files that are not scored with it."""
FOLDS = 5


def nab_tables() -> list[Table]:
    """One table, or none where the files are not at hand."""
    given = files()
    if not given:
        return []
    windows = sum(len(each.windows) for each in given)
    table = Table(
        f"signals: spikes and drops on the Numenta Anomaly Benchmark, {len(given)} files, {windows} windows",
        [Column(name, "points") for name in PROFILES],
        note="its own scorer: 0 is silence, 100 each window's first row and no other; a score for each row, threshold the best of "
        "each profile, as in its published table; 'alarms alone': those it tells, by its own threshold; 'unseen': threshold and "
        f"episode chosen on {FOLDS - 1} of {FOLDS} parts of the files, scored on the fifth. Not latency: it rewards one early guess in a window of a tenth of a file",
    )
    ranked = {each.name: _p_values(each) for each in given}
    table.add(OURS, _best(given, ranked))
    table.add(f"{OURS}, its alarms alone", _best(given, {each.name: _signals(each) for each in given}))
    many = {rows: {name: episodes(row, rows) for name, row in ranked.items()} for rows in EPISODES}
    table.add(
        f"{OURS}, one alarm an episode, unseen",
        {name: _unseen(given, list(many.values()), profile) for name, profile in PROFILES.items()},
    )
    gaussian = {each.name: windowed_gaussian(each.values) for each in given}
    table.add("windowed Gaussian, made again", _best(given, gaussian))
    if checkout := environ.get("NETTRACE_NAB"):
        for name, points, scores in published(checkout):
            table.add(f"{name}, published", {profile: points[profile] for profile in PROFILES})
            table.add(f"{name}, its rows by our scorer", _best(given, scores))
    return [table]


def episodes(row: Scores, length: int) -> list[float]:
    """The same scores, but nought where one at least as large was within so many rows before.

    >>> episodes([3.0, 2.0, 4.0, 1.0, 1.0], 2)
    [3.0, 0.0, 4.0, 0.0, 1.0]
    """
    made, since, largest = list[float](), -length, -1.0
    for place, value in enumerate(row):
        new = place - since >= length or value > largest
        made.append(value if new else 0.0)
        if new:
            since, largest = place, value
    return made


def _best(given: Sequence[File], scores: Mapping[str, Scores]) -> dict[str, float | None]:
    rows = alarms(given, scores)
    return {name: swept(rows, profile)[1] for name, profile in PROFILES.items()}


def _unseen(given: Sequence[File], ways: Sequence[Mapping[str, Scores]], profile: Profile) -> float:
    """Points where way and threshold are chosen on other files; parts weigh as many windows as they have."""
    points = windows = 0.0
    for part in range(FOLDS):
        test = given[part::FOLDS]
        train = [each for number, each in enumerate(given) if number % FOLDS != part]
        chosen = max(ways, key=lambda way: _swept(train, way, profile)[1])
        judged: Alarms = alarms(test, chosen)
        points += judged.windows * scored(judged, profile, _swept(train, chosen, profile)[0])
        windows += judged.windows
    return points / windows


def _swept(given: Sequence[File], scores: Mapping[str, Scores], profile: Profile) -> tuple[float, float]:
    return swept(alarms(given, scores), profile)


def _scaled(file: File) -> list[float]:
    seen = [abs(value) for value in file.values[: file.probation]]
    scale = median(seen) or sum(seen) / len(seen) or 1.0
    return [max(LEAST_MS, LEVEL_MS * value / scale) for value in file.values]


def _signals(file: File) -> Scores:
    """What the detector says, as it is: the confidence of each spike or drop at the row that ends it, else nought."""
    each = AnomalyDetector(STEP_NS)
    rows = (
        Observation(place * STEP_NS, SampleState.ANSWERED, max(1, round(value * NS_PER_MS)))
        for place, value in enumerate(_scaled(file))
    )
    return [max((signal.confidence for signal in each.feed(row)), default=0.0) for row in rows]


def _p_values(file: File) -> Scores:
    """One minus the rank that the detector gives each row, among the distances from the level on its side."""
    regime, above, below = Regime(interval_ns=STEP_NS), Tail(), Tail()
    made = list[float]()
    for place, value in enumerate(_scaled(file)):
        distance = (value - regime.level) / regime.spread if regime.settled else 0.0
        side = above if distance >= 0 else below
        made.append(1 - side.p_value(abs(distance)) if regime.settled else 0.0)
        regime.push(place * STEP_NS, value)
        above.add(max(distance, 0.0))
        below.add(max(-distance, 0.0))
    return made


if __name__ == "__main__":
    for made in nab_tables():
        print(made.text())
