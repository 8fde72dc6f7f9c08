"""Sealing a day: nothing is seen twice or not at all, whenever somebody looks and whenever the process dies."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.store.filled import DAY, EVER, HOUR, START, fill, keep_up, record, report, seen

from nettrace.model.measurement import Outcome, WayTest
from nettrace.model.target import RoundMethod
from nettrace.store.embedded import sealing, segments
from nettrace.store.embedded.database import open_writer
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.sealing import Sealer
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import Choice
from nettrace.store.rows import Resolution, Window
from nettrace.wire.frames import Record

LATER = START + 5 * DAY


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    fill(folder, days=1, every_s=3600).close()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


@contextmanager
def sealer(folder: Path) -> Iterator[Sealer]:
    """A sealer that is let go of as a process that dies lets go: nothing is tidied up."""
    connection = open_writer(folder / "hub.sqlite")
    try:
        yield Sealer(connection, folder / "hub.sqlite", folder / "segments")
    finally:
        connection.close()


def test_at_every_step_a_reader_sees_every_round_once(folder: Path) -> None:
    before = seen(folder)
    with sealer(folder) as work:
        while work.slice(LATER):
            assert seen(folder) == before
        assert work.slice(LATER) is False
    assert seen(folder) == before
    assert len(list((folder / "segments").iterdir())) == 1
    connection = open_writer(folder / "hub.sqlite")
    assert list(connection.execute("SELECT count(*) FROM round")) == [(0,)]
    connection.close()


def test_killed_anywhere_nothing_is_lost_or_doubled(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(made)
    number = 0
    while True:
        folder = Path(shutil.copytree(made, tmp_path / str(number)))
        with monkeypatch.context() as patch, sealer(folder) as work:
            _kill_at(patch, number)
            try:
                while work.slice(LATER):
                    pass
            except Killed:
                pass
            else:
                break
        assert seen(folder) == before
        with sealer(folder) as work:
            while work.slice(LATER):
                pass
        assert seen(folder) == before
        writer = EmbeddedWriter(folder)
        assert writer.check() == []
        writer.close()
        assert len(list((folder / "segments").iterdir())) == 1
        number += 1
    assert number >= 12  # before and after each of: add, fsync, rename, folder's fsync, entering, trimming


def _kill_at(patch: pytest.MonkeyPatch, moment: int) -> None:
    """Die at the n-th moment: before or after each thing that leaves a trace on the disk."""
    left = [moment]

    def tick() -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            tick()
            found = real(*args, **options)
            tick()
            return found

        return call

    patch.setattr(segments.SegmentWriter, "add", deadly(segments.SegmentWriter.add))
    patch.setattr(os, "fsync", deadly(os.fsync))
    patch.setattr(Path, "rename", deadly(Path.rename))
    patch.setattr(segments, "flush_folder", deadly(segments.flush_folder))
    patch.setattr(sealing, "enter", deadly(sealing.enter))
    patch.setattr(sealing, "keys_of", deadly(sealing.keys_of))


def test_late_rounds_are_seen_at_once_and_sealed_together_with_their_day(tmp_path: Path) -> None:
    writer = fill(tmp_path, days=1, every_s=3600)
    keep_up(writer, LATER)
    late = [record(1, START + hour * HOUR + 7, "a.example") for hour in (3, 5)]
    writer.accept(report(late, "late"), LATER)
    before = seen(tmp_path)
    assert len(before) == 3 * 24 + 2
    with EmbeddedReader(tmp_path) as reader:
        (hours,) = reader.history(Choice(targets=("a.example",)), Window(START, START + DAY), Resolution.HOUR)
    assert hours.rounds == [2 if hour in (3, 5) else 1 for hour in range(24)]
    keep_up(writer, LATER + 2 * HOUR)
    assert seen(tmp_path) == before
    assert sorted(path.name[-12:] for path in (tmp_path / "segments").iterdir()) == [
        "0001.parquet",
        "0002.parquet",
    ]
    keep_up(writer, LATER + 2 * DAY)  # the file that was replaced has had its time
    assert [path.name[-12:] for path in (tmp_path / "segments").iterdir()] == ["0002.parquet"]
    assert seen(tmp_path) == before
    assert writer.check() == []
    writer.close()


def test_a_round_that_was_sealed_is_not_stored_again(tmp_path: Path) -> None:
    writer = fill(tmp_path, days=1, every_s=3600)
    keep_up(writer, LATER)
    before = seen(tmp_path)
    again = writer.accept(report([record(1, START + 3 * HOUR, "a.example")], "again"), LATER)
    assert again.new == ()
    assert seen(tmp_path) == before
    writer.close()


def test_rounds_page_through_hot_and_sealed_days_alike(tmp_path: Path) -> None:
    writer = fill(tmp_path, days=5, every_s=3600)
    before = sorted(seen(tmp_path), key=lambda each: (each.due, each.series))
    keep_up(writer, LATER)
    for newest_first in (False, True):
        found, after = [], None
        with EmbeddedReader(tmp_path) as reader:
            while page := reader.rounds(Choice(), EVER, limit=50, newest_first=newest_first, after=after):
                found += page
                after = (page[-1].due, page[-1].series)
        assert found == (before[::-1] if newest_first else before)
    writer.close()


def test_a_delay_that_two_clocks_call_negative_is_kept_as_such_and_is_no_loss(tmp_path: Path) -> None:
    delays = (-5_000, -1, 7_000)
    way = WayTest(
        target="a.example", address=None, at=START, outcome=Outcome.MEASURED, sent=4, received=3, delays_ns=delays
    )  # fmt: skip
    told = Record(
        seq=1, target="a.example", endpoint="rest", method=RoundMethod.STAMP, due=START, measurement=way
    )
    writer = fill(tmp_path, days=0)
    writer.accept(report([told], "ways"), START)

    def kept() -> list[Any]:
        with EmbeddedReader(tmp_path) as reader:
            columns = reader.raw(Choice(), EVER, limit=9)
        return [columns.rtt_ns, columns.min_ns, columns.max_ns, columns.samples_ns]

    hot = kept()
    assert hot[:3] == [[-1], [-5_000], [7_000]]
    assert sorted(each for each in hot[3][0] if each is not None) == list(delays)
    keep_up(writer, LATER)
    writer.close()
    assert list((tmp_path / "segments").iterdir()), "the day is sealed"
    assert kept() == hot
