"""A sealed day's file: anybody can read it, and one series' day is read without the rest."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.store.filled import DAY, HOUR, START, TARGETS, fill

from nettrace.errors import StoreCorrupt, StoreError
from nettrace.store.embedded import segments
from nettrace.store.embedded.arrow import Table
from nettrace.store.embedded.database import open_writer
from nettrace.store.embedded.sealing import hot_table
from nettrace.store.embedded.segments import COLUMNS, SegmentWriter, read_segment, samples_of, whole


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("store")
    fill(folder, days=1).close()
    connection = open_writer(folder / "hub.sqlite")
    found = hot_table(connection, [1, 2, 3], START, START + DAY)
    connection.close()
    return found


@pytest.fixture
def path(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(segments, "GROUP_ROWS", 48)
    writer = SegmentWriter(tmp_path, START // DAY, 1)
    for start in range(0, table.num_rows, 70):  # pieces and groups do not fit each other
        writer.add(table.slice(start, 70))
    made = writer.finish()
    assert (made.rows, made.min_due, made.max_due) == (288, START, START + DAY - HOUR // 4)
    assert made.bytes == (tmp_path / made.file).stat().st_size
    return tmp_path / made.file


def test_any_reader_of_parquet_sees_plain_columns_with_units(path: Path, table: Table) -> None:
    read = pq.read_table(path)
    assert read.schema.equals(COLUMNS)
    assert read.to_pylist() == table.to_pylist()
    row = read.to_pylist()[0]
    assert (row["vantage"], row["target"], row["method"]) == ("ams", "a.example", "tcp")
    assert {"rtt_ns", "samples_ns", "connect_ns", "stored_at"} <= set(read.column_names)


def test_a_file_of_an_earlier_version_is_read_with_null_in_the_columns_it_lacks(
    path: Path, table: Table
) -> None:
    older = path.with_name("older.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["server_hints"]), older)
    read = read_segment(older, np.array([1, 2, 3]), START, START + DAY)
    assert read.schema.equals(COLUMNS)
    assert read.to_pylist() == table.to_pylist()


def test_one_series_is_read_without_the_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = pq.ParquetFile.read_row_groups

    def noted(self: object, groups: list[int], **options: object) -> object:
        asked.extend(groups)
        return real(self, groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    found = read_segment(path, np.array([2]), START + HOUR, START + 3 * HOUR)
    assert asked == [2, 3]
    assert found.num_rows == 8
    assert set(found.column("target").to_pylist()) == {"b.example"}
    due = whole(found, "due")
    assert due.tolist() == sorted(due.tolist())
    assert (due.min(), due.max()) == (START + HOUR, START + 3 * HOUR - HOUR // 4)


@pytest.mark.parametrize("group_rows", [48, 10_000])
def test_what_a_column_says_throughout_is_not_read(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(segments, "GROUP_ROWS", group_rows)
    alike = {"status": 200, "ttfb_ns": 7, "grade": "K", "clock": None}
    for name, value in alike.items():
        column = pa.array([value] * table.num_rows, COLUMNS.field(name).type)
        table = table.set_column(table.column_names.index(name), COLUMNS.field(name), column)
    writer = SegmentWriter(tmp_path, START // DAY, 1)
    writer.add(table)
    path = tmp_path / writer.finish().file
    asked: list[str] = []
    read = pq.ParquetFile.read_row_groups

    def noted(self: pq.ParquetFile, groups: list[int], columns: list[str], **options: bool) -> Table:
        asked.extend(columns)
        return read(self, groups, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    found = read_segment(path, np.array([1, 2, 3]), START, START + DAY)
    assert found.schema.equals(COLUMNS)
    assert found.to_pylist() == table.to_pylist()
    assert alike.keys().isdisjoint(asked) and {"rtt_ns", "samples_ns", "series", "target"} <= set(asked)


def test_samples_are_those_of_the_rows(path: Path, table: Table) -> None:
    values, owners = samples_of(read_segment(path, np.array([1, 2, 3]), START, START + DAY))
    expected = [
        (row, sample)
        for row, each in enumerate(table.to_pylist())
        for sample in (each["samples_ns"] if each["samples_ns"] is not None else [each["rtt_ns"]])
        if sample is not None
    ]
    assert sorted(zip(owners.tolist(), values.tolist(), strict=True)) == sorted(expected)


def test_series_or_times_that_are_not_there_give_nothing(path: Path) -> None:
    assert read_segment(path, np.array([9]), START, START + DAY).num_rows == 0
    assert read_segment(path, np.array([1]), START + DAY, START + 2 * DAY).num_rows == 0
    assert len(TARGETS) == len(set(pq.read_table(path, columns=["series"]).column("series").to_pylist()))


def test_damage_and_absence_are_told_apart(path: Path) -> None:
    with pytest.raises(StoreError, match="not there"):
        read_segment(path.with_name("2000-01-01.0001.parquet"), np.array([1]), START, START + DAY)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(StoreCorrupt):
        read_segment(path, np.array([1]), START, START + DAY)
