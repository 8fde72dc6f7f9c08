"""Many series on one hub: how much of what is believed is false, and what a detector each costs; part of "signals".

    python -m bench.signals_fleet [SERIES]

All series are fed round by round, as a hub does, by detectors that live all the time.
"""

import gc
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from bench.figure import OURS, Column, Table
from bench.signals_data import STEP_S
from nettrace.analysis.signals.control import believed, shift_p_value
from nettrace.analysis.signals.shift import ShiftDetector
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Observation

SERIES, QUICK, SAMPLES = 100_000, 2_000, 120
FALSE_SHARE, PLANTED_SHARE = 0.1, 0.02
RATE = 100_000.0
NEAR = 2 * STEP_S * NS_PER_S
"""A statement dated so near to the planted step is about it."""


@dataclass(frozen=True)
class Fleet:
    """Series and their truth.

    Attributes:
        rtt_ms: a row a series.
        planted: the sample at which its level moves, -1 where it does not.
    """

    rtt_ms: NDArray[np.float64]
    planted: NDArray[np.int64]


def fleet(count: int, seed: int) -> Fleet:
    """Half heavy-tailed and half autocorrelated noise 1 ms wide around 40 ms; one in fifty has a step of 2 to 20 ms."""
    dice = np.random.default_rng(seed)
    rows = np.abs(dice.standard_t(3, (count, SAMPLES)))
    noise = dice.normal(0, np.sqrt(1 - 0.7**2), (count, SAMPLES))
    value = dice.normal(0, 1, count)
    for place in range(SAMPLES):
        value = 0.7 * value + noise[:, place]
        rows[1::2, place] = value[1::2]
    planted = np.where(dice.random(count) < PLANTED_SHARE, dice.integers(40, 100, count), -1)
    step = dice.uniform(2, 20, count)
    for number in np.flatnonzero(planted >= 0):
        rows[number, planted[number] :] += step[number]
    return Fleet(40 + rows, planted)


def fleet_tables(count: int, runs: int) -> list[Table]:
    """One table."""
    table = Table(
        f"signals: {count} series of {SAMPLES} samples at once, {PLANTED_SHARE:.0%} with a planted step of 2 to 20 ms",
        [
            Column("false share", "1", FALSE_SHARE), Column("found", "share of planted"), Column("said", "n"),
            Column("rate", "samples/s", RATE, at_least=True), Column("memory", "bytes/series"),
        ],
        note="autocorrelated and heavy-tailed noise, all fed round by round; believed: Benjamini-Hochberg at "
        f"{FALSE_SHARE:g} over all series; memory: what the process grew by; rate: CPU time of one process",
    )  # fmt: skip
    for seed in range(runs):
        for row, figures in _one(fleet(count, seed)).items():
            table.add(row, figures)
    return [table]


def _one(made: Fleet) -> dict[str, dict[str, float | None]]:
    count = len(made.planted)
    largest = np.zeros(count)
    near = np.zeros(count, bool)
    gc.collect()
    before = _resident()
    detectors = [ShiftDetector() for _ in range(count)]
    spent = 0.0
    for place in range(SAMPLES):
        at = place * STEP_S * NS_PER_S
        rtts = np.maximum(1, made.rtt_ms[:, place] * NS_PER_MS).astype(int).tolist()
        seen = [Observation(at, SampleState.ANSWERED, rtt_ns) for rtt_ns in rtts]
        started = process_time()
        said = [(number, signal) for number, one in enumerate(seen) for signal in detectors[number].feed(one)]
        spent += process_time() - started
        for number, signal in said:
            if not signal.updates and signal.evidence.value > largest[number]:
                largest[number] = signal.evidence.value
                near[number] = abs(signal.at - made.planted[number] * STEP_S * NS_PER_S) <= NEAR
        del rtts, seen, said
    gc.collect()
    grown = _resident() - before
    p_values = [shift_p_value(ratio, SAMPLES) if ratio > 0 else 1.0 for ratio in largest.tolist()]
    every = [number for number in range(count) if largest[number] > 0]
    figures = {OURS: _judged(made, believed(p_values, FALSE_SHARE)), "every alarm": _judged(made, every)}
    figures[OURS] |= {"rate": count * SAMPLES / spent, "memory": grown / count}
    figures[f"{OURS}, right within 2 samples"] = {
        "found": float(near[made.planted >= 0].mean()) if (made.planted >= 0).any() else None
    }
    return figures


def _judged(made: Fleet, said: list[int]) -> dict[str, float | None]:
    right = int((made.planted[said] >= 0).sum())
    return {
        "false share": 1 - right / max(1, len(said)),
        "found": right / max(1, int((made.planted >= 0).sum())),
        "said": float(len(said)),
    }


def _resident() -> int:
    """Bytes of memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    for each in fleet_tables(int(sys.argv[1]) if len(sys.argv) > 1 else SERIES, 1):
        print(each.text())
