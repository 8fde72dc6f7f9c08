"""Rollups are made again, never counted up; what is asked of them is what the rounds say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.store.filled import DAY, HOUR, START, fill, keep_up, record, report, seen

from nettrace.errors import ConfigError
from nettrace.store.embedded.database import open_writer
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.retention import Forgetter
from nettrace.store.embedded.rollup import DAY_S, HOUR_S, all_of
from nettrace.store.embedded.tally import rows_of
from nettrace.store.port import Choice
from nettrace.store.retention import Retention, changed
from nettrace.store.rows import Resolution, Window

FOR_EVER = 2**62
MINUTE = HOUR // 60


def rollups(folder: Path) -> list[tuple[object, ...]]:
    connection = open_writer(folder / "hub.sqlite")
    try:
        return sorted(row for step, made in all_of(connection) for row in rows_of(made, step))
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    writer = fill(tmp_path, days=3, every_s=600)
    keep_up(writer, START + 3 * DAY + 5 * MINUTE)
    writer.close()
    yield tmp_path


def mark_all_dirty(folder: Path) -> None:
    connection = open_writer(folder / "hub.sqlite")
    connection.executemany(
        "INSERT OR IGNORE INTO dirty VALUES (?, ?)",
        [
            (start // HOUR_S, series)
            for step, made in all_of(connection) if step == HOUR_S
            for series, start in zip(made.series.tolist(), made.start.tolist(), strict=True)
        ],
    )  # fmt: skip
    connection.close()


def test_hours_and_quarters_of_days_that_are_over_are_filed_away_and_read_back(folder: Path) -> None:
    connection = open_writer(folder / "hub.sqlite")
    assert list(connection.execute("SELECT count(*) FROM rollup")) == [(0,)]
    spans = {(START // DAY + day) // 24 for day in range(3)}
    assert list(connection.execute("SELECT count(*) FROM sheet")) == [(3 * (3 * (1 + 4) + len(spans)),)]
    connection.close()
    assert sum(row[1] == HOUR_S for row in rollups(folder)) == 3 * 3 * 24


def test_made_again_they_are_the_same(folder: Path) -> None:
    before = rollups(folder)
    assert {row[1] for row in before} == {900, 3600, 86_400}
    mark_all_dirty(folder)
    writer = fill(folder, days=0)
    keep_up(writer, START + 3 * DAY + 6 * MINUTE)
    writer.close()
    assert rollups(folder) == before


def test_made_again_from_sealed_days_they_are_the_same(folder: Path) -> None:
    before = rollups(folder)
    writer = fill(folder, days=0)
    keep_up(writer, START + 9 * DAY)
    writer.close()
    mark_all_dirty(folder)
    writer = fill(folder, days=0)
    keep_up(writer, START + 9 * DAY)
    writer.close()
    assert rollups(folder) == before


def test_a_late_round_changes_its_buckets_alone(folder: Path) -> None:
    before = {row[:3]: row for row in rollups(folder)}
    writer = fill(folder, days=0)
    writer.accept(report([record(1, START + 30 * HOUR + 1, "b.example")], "late"), START + 3 * DAY)
    keep_up(writer, START + 3 * DAY + 6 * MINUTE)
    writer.close()
    after = {row[:3]: row for row in rollups(folder)}
    second = (START + 30 * HOUR) // 10**9
    changed = {key[1:] for key in after if after[key] != before.get(key)}
    assert changed == {(900, second), (3600, second), (86_400, second // 86_400 * 86_400)}


@pytest.mark.parametrize("resolution", [each for each in Resolution if each is not Resolution.RAW])
@pytest.mark.parametrize(
    "window",
    [
        Window(START, START + 3 * DAY),
        Window(START + 17 * MINUTE + 1, START + 2 * DAY + 5 * HOUR + 31 * MINUTE),
        Window(START + 16 * MINUTE, START + 29 * MINUTE),
        Window(START - 900 * DAY, START + 900 * DAY),
    ],
)
def test_any_window_counts_what_the_rounds_say(folder: Path, resolution: Resolution, window: Window) -> None:
    with EmbeddedReader(folder) as reader:
        rolled = reader.history(Choice(), window, resolution)
        plain = reader.history(Choice(), window, resolution, as_of=FOR_EVER)
        assert rolled == plain
        whole = reader.summary(Choice(), window)
        assert whole == reader.summary(Choice(), window, as_of=FOR_EVER)
        assert sum(each.rounds for each in whole) == sum(sum(each.rounds) for each in rolled)


def test_hours_with_a_round_a_quarter_have_no_quarters_and_the_same_answers(tmp_path: Path) -> None:
    writer = fill(tmp_path, days=2, every_s=900)
    keep_up(writer, START + 9 * DAY)
    writer.accept(
        report([record(1, START + 5 * HOUR + n, "a.example") for n in (1, 2)], "dense"), START + 9 * DAY
    )
    keep_up(writer, START + 9 * DAY + 1)
    writer.close()
    second = (START + 5 * HOUR) // 10**9
    assert {row[2] // 3600 * 3600 for row in rollups(tmp_path) if row[1] == 900} == {second}
    window = Window(START + 4 * HOUR + 15 * MINUTE, START + 30 * HOUR + MINUTE)
    with EmbeddedReader(tmp_path) as reader:
        found = reader.history(Choice(), window, Resolution.QUARTER)
        assert found == reader.history(Choice(), window, Resolution.QUARTER, as_of=FOR_EVER)
        assert sum(found[0].rounds) == 3 + 24 * 4 + 2 + 5


def test_what_is_forgotten_is_answered_from_what_is_left(folder: Path) -> None:
    """Quarters go first, then rounds and hours; days stay. No answer changes while anything can still give it."""
    writer = fill(folder, days=0)
    keep_up(writer, START + 9 * DAY)
    writer.close()
    window, choice = Window(START, START + 3 * DAY), Choice()
    with EmbeddedReader(folder) as reader:
        quarters, days = (
            reader.history(choice, window, each) for each in (Resolution.QUARTER, Resolution.DAY)
        )
    connection = open_writer(folder / "hub.sqlite")
    path, segments = folder / "hub.sqlite", folder / "segments"
    forget = Forgetter(connection, path, segments, Retention(quarter_days=2))
    while forget.slice(START + 9 * DAY):
        pass
    assert {step for step, _ in all_of(connection)} == {HOUR_S, DAY_S}
    with EmbeddedReader(folder) as reader:
        assert reader.history(choice, window, Resolution.QUARTER) == quarters
        assert len(seen(folder)) == 3 * 3 * 144
    forget = Forgetter(connection, path, segments, Retention(raw_days=2, quarter_days=2, hour_days=2))
    for now in (START + 9 * DAY, START + 11 * DAY):
        while forget.slice(now):
            pass
    connection.close()
    assert not list(segments.iterdir())
    assert seen(folder) == []
    with EmbeddedReader(folder) as reader:
        assert reader.history(choice, window, Resolution.QUARTER) == []
        assert reader.history(choice, window, Resolution.DAY) == days


def test_a_late_round_of_a_forgotten_day_does_not_undo_what_is_known_of_it(folder: Path) -> None:
    writer = fill(folder, days=0)
    keep_up(writer, START + 9 * DAY)
    keep_up(writer, START + 800 * DAY)
    window = Window(START, START + DAY)
    with EmbeddedReader(folder) as reader:
        before = reader.history(Choice(), window, Resolution.DAY)
        assert [each.rounds for each in before] == [[144]] * 3
    writer.accept(report([record(1, START + 1, "a.example")], "late"), START + 800 * DAY)
    keep_up(writer, START + 800 * DAY + 2 * HOUR)
    writer.close()
    with EmbeddedReader(folder) as reader:
        assert reader.history(Choice(), window, Resolution.DAY) == before


def test_how_long_things_are_kept_is_a_setting(folder: Path) -> None:
    writer = fill(folder, days=0)
    writer.put_setting("retention", b'{"raw_days": 7, "quarter_days": 7, "hour_days": 90}', START)
    keep_up(writer, START + 9 * DAY)
    with EmbeddedReader(folder) as reader:
        kept = reader.history(Choice(), Window(START, START + 3 * DAY), Resolution.QUARTER)
        assert {at // DAY for each in kept for at in each.start} == {START // DAY + 2}
        hours = reader.history(Choice(), Window(START, START + 3 * DAY), Resolution.HOUR)
    assert {each.series.target for each in seen(folder)} == {"a.example", "b.example", "c.example"}
    assert {each.due // DAY for each in seen(folder)} == {START // DAY + 2}
    late = START + 5 * HOUR + 1
    writer.accept(report([record(1, late, "b.example")], "late"), START + 9 * DAY)
    with EmbeddedReader(folder) as reader:
        assert reader.history(Choice(), Window(START, START + 3 * DAY), Resolution.HOUR) == hours
    keep_up(writer, START + 9 * DAY + 1)
    with EmbeddedReader(folder) as reader:
        assert reader.history(Choice(), Window(START, START + 3 * DAY), Resolution.HOUR) == hours
    writer.close()


def test_nothing_is_forgotten_by_a_setting_that_is_none(folder: Path) -> None:
    writer = fill(folder, days=0)
    keep_up(writer, START + 9 * DAY)
    writer.put_setting("retention", b'{"raw_days": "few"}', START)
    with pytest.raises(ConfigError, match="retention"):
        keep_up(writer, START + 900 * DAY)
    writer.close()
    assert len(seen(folder)) == 3 * 3 * 144


@pytest.mark.parametrize("words", ["raw", "raw=x", "rounds=5", "raw=2", "raw=30", "15m=99999999"])
def test_what_cannot_be_kept_so_is_refused(words: str) -> None:
    with pytest.raises(ConfigError):
        changed(Retention(), (words,))
