"""The Numenta Anomaly Benchmark's own scoring, written from its published formula, and its files.

A detector gives each row a score; rows at or above a threshold are alarms, and the threshold is the best one over the whole
set for each profile. The earliest alarm within a labelled window is worth

    A (2 / (1 + exp(5 y)) - 1) / (2 / (1 + exp(-5)) - 1)

with y from -1 at its first row to 0 just past its last; a window without one costs B; every other alarm costs C, or less by the same
curve within three window lengths behind a window. The first 15 % of a file, at most 750 rows, are not judged. Zero is what a
detector gets that says nothing, a hundred one that hits each window's first row and nothing else. (Lavin and Ahmad 2015;
https://github.com/numenta/NAB, MIT, its data and results too.)
"""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import erfc, exp, sqrt
from os import environ
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Profile(NamedTuple):
    """What a found window is worth, and what a false alarm and a missed window cost."""

    found: float
    false: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP_rate": Profile(1.0, 0.22, 1.0),
    "reward_low_FN_rate": Profile(1.0, 0.11, 2.0),
}
PROBATION, PROBATION_MOST = 0.15, 750


@dataclass(frozen=True)
class File:
    """One labelled file.

    Attributes:
        at: its timestamps.
        windows: first and last row of each labelled window.
    """

    name: str
    at: list[str]
    values: list[float]
    windows: list[tuple[int, int]]

    @property
    def probation(self) -> int:
        """Rows that are not judged."""
        return probation(len(self.at))


Scores = Sequence[float]
"""One number a row, larger where a detector is surer."""


def probation(rows: int) -> int:
    """How many rows of a file are not judged.

    >>> probation(1000), probation(20_000)
    (150, 750)
    """
    return min(int(PROBATION * rows), PROBATION_MOST)


def curve(place: float) -> float:
    """What an alarm is worth at this place: -1 at the first row of a window, 0 behind its last, 1 a window later."""
    return -1.0 if place > 3 else 2 / (1 + exp(5 * place)) - 1


class Alarms(NamedTuple):
    """Rows of all files that are judged, the surest first, with what an alarm there is worth.

    Attributes:
        window: number of the window a row lies in, -1 outside.
        worth: within a window, of its first row's; outside, what a false alarm costs, at most 1.
    """

    score: NDArray[np.float64]
    window: NDArray[np.int64]
    worth: NDArray[np.float64]
    windows: int


def alarms(files: Sequence[File], scores: Mapping[str, Scores]) -> Alarms:
    """What the rows of these files would be worth."""
    score, window, worth, number = [], [], [], 0
    for file in files:
        for row, (inside, value) in enumerate(_rows(file)):
            if row >= file.probation:
                score.append(scores[file.name][row])
                window.append(-1 if inside is None else number + inside)
                worth.append(value)
        number += len(file.windows)
    order = np.argsort(-np.asarray(score), kind="stable")
    return Alarms(*(np.asarray(each)[order] for each in (score, window, worth)), number)


def _rows(file: File) -> Iterator[tuple[int | None, float]]:
    """The window of each row, and the worth of an alarm there."""
    number, behind = 0, None
    for row in range(len(file.at)):
        if number < len(file.windows) and row >= file.windows[number][0]:
            first, last = file.windows[number]
            yield number, curve((row - last - 1) / (last - first + 1)) / curve(-1)
            if row == last:
                behind, number = (last, last - first), number + 1
        else:
            yield None, -1.0 if behind is None else curve((row - behind[0]) / behind[1])


def swept(rows: Alarms, profile: Profile) -> tuple[float, float]:
    """The best threshold and the points it gets: 0 for silence, 100 for the first row of each window and no other."""
    seen = np.unique(rows.window[rows.window >= 0])
    best = np.full(rows.windows, -profile.missed)
    points, threshold, now = _silent(len(seen), profile), float("inf"), _silent(len(seen), profile)
    for place, score in enumerate(rows.score):
        window, worth = rows.window[place], rows.worth[place]
        if window < 0:
            now += profile.false * worth
        elif profile.found * worth > best[window]:
            now += profile.found * worth - best[window]
            best[window] = profile.found * worth
        last = place + 1 == len(rows.score) or rows.score[place + 1] != score
        if last and now > points:
            points, threshold = float(now), float(score)
    return threshold, _normal(points, rows.windows, profile)


def scored(rows: Alarms, profile: Profile, threshold: float) -> float:
    """The points of a threshold found elsewhere."""
    said = rows.score >= threshold
    outside = said & (rows.window < 0)
    points = profile.false * float(rows.worth[outside].sum())
    for window in np.unique(rows.window[rows.window >= 0]):
        hit = rows.worth[said & (rows.window == window)]
        points += profile.found * float(hit.max()) if len(hit) else -profile.missed
    return _normal(points, rows.windows, profile)


def _silent(windows: int, profile: Profile) -> float:
    return -profile.missed * windows


def _normal(points: float, windows: int, profile: Profile) -> float:
    least = _silent(windows, profile)
    return 100 * (points - least) / (profile.found * windows - least)


def windowed_gaussian(values: Sequence[float], window: int = 6400, step: int = 100) -> list[float]:
    """A peer of the benchmark's authors: how improbable a value is in a normal distribution of the window before.

    Mean and deviation are made again every `step` rows once the window is full, and at every row before.
    """
    made, kept, waiting = [], list[float](), list[float]()
    total = squares = mean = 0.0
    spread = 1.0
    for value in values:
        made.append(1 - 0.5 * erfc(abs(value - mean) / spread / sqrt(2)) if kept else 0.0)
        waiting.append(value)
        if len(kept) >= window and len(waiting) < step:
            continue
        kept += waiting
        dropped, kept = kept[:-window], kept[-window:]
        total += sum(waiting) - sum(dropped)
        squares += sum(one * one for one in waiting) - sum(one * one for one in dropped)
        waiting, mean = [], total / len(kept)
        spread = sqrt(max(0.0, squares / len(kept) - mean * mean)) or 1e-6
    return made


def files() -> list[File]:
    """The benchmark's files: a checkout that `NETTRACE_NAB` names, else the 31 real ones packed.

    Empty when neither is there.
    """
    checkout, folder = environ.get("NETTRACE_NAB"), environ.get("NETTRACE_DATASETS")
    if checkout and (Path(checkout) / "labels/combined_windows.json").is_file():
        return _read(lambda name: (Path(checkout) / name).read_text())
    packed = Path(folder) / "rtt_labelled/nab_real.tar.xz" if folder else None
    if packed is None or not packed.is_file():
        return []
    with tarfile.open(packed) as tar:
        return _read(lambda name: tar.extractfile(name).read().decode())  # type: ignore[union-attr]


def _read(text: Callable[[str], str]) -> list[File]:
    labels = json.loads(text("labels/combined_windows.json"))
    made: list[File] = []
    for name, windows in sorted(labels.items()):
        rows = list(csv.reader(io.StringIO(text(f"data/{name}"))))[1:]
        at = [row[0] for row in rows]
        where = {when: place for place, when in reversed(list(enumerate(at)))}
        made.append(
            File(
                name,
                at,
                [float(row[1]) for row in rows],
                [(where[first.split(".")[0]], where[last.split(".")[0]]) for first, last in windows],
            )
        )
    return made


def published(checkout: str) -> Iterator[tuple[str, dict[str, float], dict[str, Scores]]]:
    """Each published detector of a checkout: its name, its published points and the score it gave each row."""
    folder = Path(checkout) / "results"
    for name, points in json.loads((folder / "final_results.json").read_text()).items():
        found: dict[str, Scores] = {}
        for path in sorted((folder / name).glob("*/*.csv")):
            with path.open() as file:
                rows = csv.DictReader(file)
                found[f"{path.parent.name}/{path.name.removeprefix(f'{name}_')}"] = [
                    float(row["anomaly_score"]) for row in rows
                ]
        yield name, points, found
