"""Stores full of generated rounds, written by the product's own segment and rollup writers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nettrace.model.target import RoundMethod, Series
from nettrace.store.embedded import sheet, tally
from nettrace.store.embedded.database import open_writer, transaction
from nettrace.store.embedded.hot import INSERT_ROUND
from nettrace.store.embedded.raw import Counted
from nettrace.store.embedded.rollup import DAY_S, HOUR_S, QUARTER_S, set_floor, worthwhile
from nettrace.store.embedded.samples import beside, pack
from nettrace.store.embedded.schema import NS_PER_DAY
from nettrace.store.embedded.sealing import enter
from nettrace.store.embedded.segments import COLUMNS, SegmentWriter

NS = 10**9
END_DAY = 20_500
HOT_DAYS = 1
"""At midnight the day that ended last: the one before is sealed."""
QUARTERS_KEPT_DAYS = 90


@dataclass(frozen=True)
class Plan:
    """What is generated: series with their cadences, each up to the same day.

    Attributes:
        interval_s: between two rounds, by series.
        days: how many days each series has, by series.
        unit_ns: RTTs are multiples of it.
    """

    series: Sequence[Series]
    interval_s: np.ndarray
    days: np.ndarray
    probes: int
    unit_ns: int = 1
    hot_days: int = HOT_DAYS

    @property
    def rows(self) -> int:
        return int((self.days * (DAY_S // self.interval_s)).sum())


def named(vantages: int, targets: int, methods: Sequence[RoundMethod]) -> list[Series]:
    """Every vantage to every target by every method."""
    return [
        Series(f"v{vantage:02d}", f"t{target:03d}.example", "rest", method)
        for vantage in range(vantages)
        for target in range(targets)
        for method in methods
    ]


@dataclass(frozen=True)
class Day:
    """One day's rounds by (series, due): `rtt` is the median sample, -1 for a round without an answer."""

    series: np.ndarray
    due: np.ndarray
    samples: np.ndarray
    rtt: np.ndarray


def day_of(plan: Plan, day: int, seed: int = 1) -> Day:
    """The rounds of a day: lognormal around each path's own RTT, slower at noon, 1 % spikes, 0.6 % failures."""
    noise = np.random.default_rng((seed, day))
    there = np.flatnonzero(plan.days > END_DAY - day - 1)
    counts = DAY_S // plan.interval_s[there]
    series = np.repeat(there + 1, counts)
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    place = np.arange(len(series)) - np.repeat(first, counts)
    phase = (there * 7_919_000_017) % (plan.interval_s[there] * NS)
    due = day * NS_PER_DAY + place * np.repeat(plan.interval_s[there] * NS, counts) + np.repeat(phase, counts)
    usual = np.random.default_rng(seed).lognormal(np.log(3e7), 1.0, len(plan.series))[series - 1]
    hour = 1 + 0.05 * np.sin((due % NS_PER_DAY) / NS_PER_DAY * 2 * np.pi)
    spike = np.where(noise.random(len(series)) < 0.01, noise.uniform(1.5, 9, len(series)), 1.0)
    samples = (usual * hour * spike)[:, None] * noise.lognormal(0, 0.03, (len(series), plan.probes))
    whole = np.maximum(samples // plan.unit_ns, 1).astype(np.int64) * plan.unit_ns
    whole[noise.random(len(series)) < 0.006] = -1
    rtt = np.sort(whole, axis=1)[:, (plan.probes - 1) // 2]
    return Day(series, due, whole, rtt)


def table_of_day(plan: Plan, made: Day) -> pa.Table:
    """The day as a sealed day's table."""
    rows, failed = len(made.series), made.rtt < 0
    names = [Series(each.vantage, each.target, each.endpoint, each.method) for each in plan.series]
    number = pa.array(made.series - 1, pa.int32())
    columns: dict[str, Any] = {
        field: pa.array([str(getattr(name, field)) for name in names]).take(number).dictionary_encode()
        for field in ("vantage", "target", "endpoint", "method")
    }
    alone = (plan.probes == 1) & ~failed
    sizes = np.where(alone, 0, plan.probes)
    kept = made.samples[~alone].ravel()
    inner = pa.array(kept, pa.int64(), mask=kept < 0)
    columns |= {
        "series": pa.array(made.series, pa.int32()), "due": pa.array(made.due, pa.timestamp("ns", "UTC")),
        "begun_at": pa.array(made.due // 1000, pa.timestamp("us", "UTC")),
        "stored_at": pa.array(made.due // 10**6 + 2_000, pa.timestamp("ms", "UTC")),
        "outcome": pa.DictionaryArray.from_arrays(pa.array(failed.astype(np.int32)), pa.array(["measured", "failed"])),
        "reason": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32), mask=~failed), pa.array(["timeout"])),
        "sent": pa.array(np.full(rows, plan.probes), pa.int32()),
        "received": pa.array(np.where(failed, 0, plan.probes), pa.int32()),
        "not_measured": pa.array(np.zeros(rows), pa.int32()),
        "rtt_ns": pa.array(made.rtt, pa.int64(), mask=failed),
        "samples_ns": pa.ListArray.from_arrays(
            pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)), inner,
            type=COLUMNS.field("samples_ns").type, mask=pa.array(alone),
        ),
    }  # fmt: skip
    return pa.table(
        [columns.get(field.name, pa.nulls(rows, field.type)) for field in COLUMNS], schema=COLUMNS
    )


def counted(made: Day) -> Counted:
    """The day as rollups are made from."""
    answered = made.samples >= 0
    rounds, probes = made.samples.shape
    return Counted(
        made.series, made.due, made.due, (made.rtt < 0).astype(np.int64), np.full(rounds, probes),
        answered.sum(axis=1), made.samples[answered], np.repeat(np.arange(rounds), probes)[answered.ravel()],
    )  # fmt: skip


def build(folder: Path, plan: Plan, told: Callable[[int, Day], None] | None = None) -> None:
    """Fill a new data folder; `told` sees each day too, such as a peer that is to hold the same."""
    segments = folder / "segments"
    segments.mkdir(parents=True)
    path = folder / "hub.sqlite"
    store = open_writer(path)
    with transaction(store, path):
        store.executemany(
            "INSERT INTO series (vantage, target, endpoint, method, interval_s) VALUES (?, ?, ?, ?, ?)",
            [(*(str(each) for each in (s.vantage, s.target, s.endpoint, s.method)), float(i))
             for s, i in zip(plan.series, plan.interval_s, strict=True)],
        )  # fmt: skip
        set_floor(store, QUARTER_S, (END_DAY - QUARTERS_KEPT_DAYS) * DAY_S)
        store.execute(
            "INSERT INTO meta VALUES ('days_closed', ?), ('filed_before', ?)", (END_DAY, END_DAY * DAY_S)
        )
    days: list[tally.Tally] = []
    for day in range(END_DAY - int(plan.days.max()), END_DAY):
        made = day_of(plan, day)
        if told is not None:
            told(day, made)
        found = counted(made)
        quarters = tally.of_rounds(found, found.due // (QUARTER_S * NS) * QUARTER_S)
        hours = quarters.merged(quarters.start // HOUR_S * HOUR_S)
        with transaction(store, path):
            if day >= END_DAY - QUARTERS_KEPT_DAYS:
                sheet.put(store, worthwhile(quarters, hours), QUARTER_S)
            sheet.put(store, hours, HOUR_S)
            days.append(hours.merged(hours.start // DAY_S * DAY_S))
            if (day + 1) % sheet.SPAN == 0 or day + 1 == END_DAY:
                both = tally.joined(days)
                sheet.put(store, both.merged(both.start), DAY_S)
                days.clear()
            if day >= END_DAY - plan.hot_days:
                store.executemany(INSERT_ROUND, _hot_rows(made))
        if day < END_DAY - plan.hot_days:
            writer = SegmentWriter(segments, day, 1)
            writer.add(table_of_day(plan, made))
            with transaction(store, path):
                enter(store, writer.finish(), (day + 3) * NS_PER_DAY)
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def _hot_rows(made: Day) -> Iterator[tuple[Any, ...]]:
    probes = made.samples.shape[1]
    for series, due, samples, rtt in zip(
        made.series.tolist(), made.due.tolist(), made.samples.tolist(), made.rtt.tolist(), strict=True
    ):
        failed = rtt < 0
        kept = tuple(None if each < 0 else each for each in samples)
        low, high = (None, None) if failed else beside(min(samples), max(samples))
        yield (
            series, due, 0, 2_000, int(failed), 0 if failed else None, None, probes, 0 if failed else probes, 0,
            None if failed else rtt, low, high, None, None, pack(kept, None if failed else rtt), *([None] * 8),
        )  # fmt: skip


def size_of(folder: Path) -> int:
    """Bytes of every file in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
