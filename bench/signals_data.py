"""Series for the benchmark "signals": labelled by hand where a folder holds them, and generated ones.

`NETTRACE_DATASETS` names a folder with `rtt_labelled/shao_real_atlas.tar.xz` (33 RIPE Atlas ping series of 2016, labelled by
Shao et al., https://github.com/WenqinSHAO/rtt, MIT) and `shao_artificial_trace_ground_fact.tar.xz` (13 generated ones).
"""

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STEP_S = 240
WEEK_S = 7 * 86_400
SETS = {"labelled": "shao_real_atlas.tar.xz", "artificial": "shao_artificial_trace_ground_fact.tar.xz"}


@dataclass(frozen=True)
class Series:
    """One RTT series with its truth.

    Attributes:
        at_s: Unix seconds.
        rtt_ms: not above 0 or NaN where the probe was lost.
        changes: places in the row at which the level changed.
        step_s: between samples.
    """

    name: str
    at_s: list[float]
    rtt_ms: list[float]
    changes: list[int]
    step_s: int = STEP_S

    @property
    def weeks(self) -> float:
        """The length in weeks of nominal cadence."""
        return len(self.rtt_ms) * self.step_s / WEEK_S

    def thinned(self, keep: int) -> "Series":
        """One sample in `keep`; a change is at the first sample kept after it."""
        kept = len(self.rtt_ms[::keep])
        changes = sorted({-(-place // keep) for place in self.changes if -(-place // keep) < kept})
        return Series(self.name, self.at_s[::keep], self.rtt_ms[::keep], changes, self.step_s * keep)


def labelled(which: str) -> list[Series]:
    """The series of one labelled set; empty when no folder with it is given."""
    folder = os.environ.get("NETTRACE_DATASETS")
    path = Path(folder) / "rtt_labelled" / SETS[which] if folder else None
    if path is None or not path.is_file():
        return []
    with tarfile.open(path) as packed:
        files = sorted(packed.getmembers(), key=lambda member: member.name)
        return [_read(file.name, packed.extractfile(file).read()) for file in files if file.isfile()]  # type: ignore[union-attr]


def _read(name: str, content: bytes) -> Series:
    rows = [line.split(";") for line in io.StringIO(content.decode()).read().splitlines()[1:]]
    return Series(
        Path(name).stem,
        [_seconds(row[0]) for row in rows],
        [float(row[1].replace(",", ".") or "nan") for row in rows],
        [place for place, row in enumerate(rows) if float(row[2].replace(",", ".") or 0) > 0],
    )


def _seconds(text: str) -> float:
    if "-" not in text and "/" not in text:
        return float(text.replace(",", "."))
    form = "%d/%m/%Y %H:%M" if "/" in text else "%Y-%m-%d %H:%M:%S"
    return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()


def stepped(count: int, seed: int) -> list[Series]:
    """Generated series of four weeks: Laplace noise around levels that change every few hours to days."""
    dice = np.random.default_rng(seed)
    return [_stepped(f"generated {number}", dice) for number in range(count)]


def _stepped(name: str, dice: np.random.Generator) -> Series:
    length = 4 * WEEK_S // STEP_S
    changes = np.flatnonzero(dice.random(length) < 1 / 300)
    levels = np.full(length, dice.uniform(75, 365))
    for place in changes:
        levels[place:] += dice.choice([-1, 1]) * dice.uniform(1.5, 20)
    spread = dice.uniform(0.2, 2.0)
    noise = np.abs(dice.laplace(0, spread, length)) + (dice.random(length) < 0.01) * dice.exponential(
        30, length
    )
    values = np.maximum(levels, 20) + noise
    values[dice.random(length) < 0.002] = -1
    return Series(name, [place * STEP_S for place in range(length)], values.tolist(), changes.tolist())


def gaussian(length: int, dice: np.random.Generator) -> NDArray[np.float64]:
    """Independent normal noise around 40 ms, 1 ms wide."""
    return 40 + dice.normal(0, 1, length)


def heavy_tailed(length: int, dice: np.random.Generator) -> NDArray[np.float64]:
    """A floor of 40 ms and queueing with a Student t of three degrees of freedom above it."""
    return 40 + np.abs(dice.standard_t(3, length))


def autocorrelated(length: int, dice: np.random.Generator) -> NDArray[np.float64]:
    """First-order autoregression with coefficient 0.7 around 40 ms, 1 ms wide."""
    made, noise = np.empty(length), dice.normal(0, np.sqrt(1 - 0.7**2), length)
    value = dice.normal()
    for place in range(length):
        made[place] = value = 0.7 * value + noise[place]
    return 40 + made


def diurnal(length: int, dice: np.random.Generator) -> NDArray[np.float64]:
    """Normal noise 1 ms wide around a level that swings by 1 ms either way each day."""
    place = np.arange(length) * STEP_S / 86_400
    return 40 + np.sin(2 * np.pi * (place + dice.random())) + dice.normal(0, 1, length)


NOISE = {
    "Gaussian": gaussian,
    "heavy-tailed": heavy_tailed,
    "autocorrelated": autocorrelated,
    "diurnal": diurnal,
}


def shuffled(series: list[Series], seed: int) -> Iterator[Series]:
    """The same samples in random order: nothing can have happened in them."""
    dice = np.random.default_rng(seed)
    for each in series:
        mixed = dice.permutation(each.rtt_ms).tolist()
        yield Series(each.name, [place * each.step_s for place in range(len(mixed))], mixed, [], each.step_s)
