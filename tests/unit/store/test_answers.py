"""Answers that lie ready in sheets are those of their sketches to the last bit, whatever is asked and whatever came late."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.store.filled import DAY, HOUR, START, fill, keep_up, record, report
from tests.unit.store.test_rollup import FOR_EVER, MINUTE, rollups
from tests.unit.store.test_sheet import OF_VERSION_4, VERSION_4, tally_of

from nettrace.model.instant import NS_PER_S
from nettrace.model.target import RoundMethod, Series
from nettrace.store.embedded import answers, packed, ready, sheet, tally
from nettrace.store.embedded.database import Connection, migrate, open_reader, open_writer
from nettrace.store.embedded.filed import Filed
from nettrace.store.embedded.index import SeriesIndex
from nettrace.store.embedded.integrity import check_folder
from nettrace.store.embedded.keeping import restore, write_backup
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.retention import Forgetter
from nettrace.store.embedded.rollup import DAY_S, HOUR_S, put, set_floor
from nettrace.store.embedded.schema import MIGRATIONS
from nettrace.store.embedded.tally import Tally
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import Choice
from nettrace.store.retention import Retention
from nettrace.store.rows import Resolution, Window

UNUSUAL = (0.0, 0.1, 0.5, 0.9, 0.999)
QUESTIONS = (ready.FRACTIONS, (0.5, 0.95, 0.99), UNUSUAL)

many = st.builds(
    lambda base, steps: [base + step for step in steps],
    st.integers(1, 2**32), st.lists(st.integers(0, 50_000), min_size=21, max_size=60),
)  # fmt: skip
rounds = st.lists(
    st.tuples(
        st.integers(1, 3), st.integers(20_000 * 24, 20_000 * 24 + 100), st.integers(0, 2),
        st.one_of(many, many, many, st.just([])),
    ),
    max_size=40,
)  # fmt: skip


def kinds(folder: Path) -> dict[int, set[int]]:
    """How the sheets of each step are written."""
    connection = open_writer(folder / "hub.sqlite")
    found: dict[int, set[int]] = {}
    for number, body in connection.execute("SELECT id, body FROM sheet"):
        kind = int.from_bytes(body[:2], "little") & (packed.NARROW | packed.READY | packed.DENSE)
        found.setdefault(sheet.step_of(number), set()).add(kind)
    connection.close()
    return found


@given(rounds, st.integers(0, 100), st.integers(0, 100))
@settings(max_examples=150)
def test_answers_are_those_of_the_sketches(
    made: list[tuple[int, int, int, list[int]]], first: int, last: int
) -> None:
    hours = tally_of(made)
    window = (20_000 * DAY_S + first * HOUR_S, 20_000 * DAY_S + last * HOUR_S)
    inside = hours.kept((hours.start >= window[0]) & (hours.start < window[1]))
    for wanted in QUESTIONS:
        parts = sheet.decoded(sheet.encode(hours, HOUR_S), HOUR_S, window)
        both = tally.joined(parts)
        told = {
            (series, start): row
            for each in parts
            for series, start, row in zip(
                each.series.tolist(),
                each.start.tolist(),
                each.sketches.quantiles(wanted).tolist(),
                strict=True,
            )
        }
        expected = zip(
            inside.series.tolist(), inside.start.tolist(), inside.sketches.quantiles(wanted).tolist(), strict=True
        )  # fmt: skip
        assert told == {(series, start): row for series, start, row in expected}
        assert tally.rows_of(both.merged(both.start), HOUR_S) == tally.rows_of(inside, HOUR_S)
        zeros = np.zeros_like(inside.start)
        assert tally.rows_of(tally.summed(parts), 0) == tally.rows_of(inside.merged(zeros), 0)


def test_a_table_adds_up_to_what_its_rows_do() -> None:
    days = tally_of([
        (series, 20_000 + day, 0, [30_000_000 + 9_001 * (each * each % 200 + day) for each in range(600 + 40 * day)])
        for series in (1, 2) for day in range(30)
    ])  # fmt: skip
    days = days._replace(start=days.start * 24)
    sheets = sheet.encode(days, DAY_S)
    assert {int.from_bytes(body[:2], "little") & packed.DENSE for _, body in sheets} == {packed.DENSE}
    assert {bool(count > 255) for count in days.sketches.counts.tolist()} == {True, False}
    window = ((20_003) * DAY_S, (20_028) * DAY_S)
    inside = days.kept((days.start >= window[0]) & (days.start < window[1]))
    expected = inside.merged(np.zeros_like(inside.start))
    parts = sheet.decoded(sheets, DAY_S, window)
    assert tally.rows_of(tally.summed(parts), 0) == tally.rows_of(expected, 0)
    one = [each.kept(each.series == 2) for each in parts]
    assert tally.rows_of(tally.summed(one), 0) == tally.rows_of(expected, 0)[1:]
    mine = [each for each in sheets if each[0] & 0xFFFFFFFF == 2]
    found = sheet.total(mine, DAY_S, *window)
    assert found is not None
    whole, days_held = found
    name = Series("ams", "a.example", "rest", RoundMethod.TCP)
    for wanted in QUESTIONS:
        both = answers.summaries(tally.summed(one), {2: name}, WINDOWS[0], wanted)
        assert [answers.summary(name, WINDOWS[0], whole, wanted)] == both
    assert days_held == 25
    assert tally.rows_of(sheet.decode(sheets, DAY_S), DAY_S) == tally.rows_of(days, DAY_S)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a round a minute, sealed, and half a day that is hot."""
    folder = tmp_path_factory.mktemp("dense")
    writer = fill(folder, days=2, every_s=60)
    keep_up(writer, START + 9 * DAY)
    writer.close()
    return folder


@pytest.fixture
def folder(dense: Path, tmp_path: Path) -> Iterator[Path]:
    write_backup(dense, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "data")
    yield tmp_path / "data"


WINDOWS = (
    Window(START, START + 2 * DAY),
    Window(START + 17 * MINUTE + 1, START + DAY + 5 * HOUR + 31 * MINUTE),
    Window(START - 900 * DAY, START + 900 * DAY),
)


ONE = Choice(targets=("a.example",))
SPOKEN_FOR = (
    (ONE, Window(START + 3 * HOUR, START + 29 * HOUR)),
    (Choice(targets=("b.example",)), Window(START + DAY, START + 2 * DAY)),
)
"""Questions about one series, in whole buckets."""


def agree(folder: Path) -> None:
    """What is answered from sheets is what the rounds say, asked in every way."""
    with EmbeddedReader(folder) as reader:
        for choice, window in (*((Choice(), each) for each in WINDOWS), *SPOKEN_FOR):
            for resolution in (Resolution.MINUTE, Resolution.QUARTER, Resolution.HOUR, Resolution.DAY):
                told = reader.history(choice, window, resolution)
                assert told == reader.history(choice, window, resolution, as_of=FOR_EVER)
            for wanted in (QUESTIONS[1], UNUSUAL):
                told = reader.history(choice, window, Resolution.HOUR, wanted)
                assert told == reader.history(choice, window, Resolution.HOUR, wanted, as_of=FOR_EVER)
                told = reader.summary(choice, window, wanted)
                assert told == reader.summary(choice, window, wanted, as_of=FOR_EVER)


def filed(folder: Path, *, choice: Choice = ONE, window: Window = WINDOWS[0]) -> list[bool]:
    """Whether sheets alone answer for hours, for days and for a sum of days."""
    connection = open_reader(folder / "hub.sqlite")
    try:
        index = SeriesIndex(connection)
        index.chosen(choice)
        mine = Filed(connection, folder / "hub.sqlite", index)
        told = [
            mine.history(choice, window, each, QUESTIONS[0]) for each in (Resolution.HOUR, Resolution.DAY)
        ]
        return [each is not None for each in (*told, mine.summary(choice, window, QUESTIONS[0]))]
    finally:
        connection.close()


def test_sheets_speak_for_themselves_only_where_nothing_else_has_a_say(folder: Path) -> None:
    assert filed(folder) == [True, True, True]
    assert filed(folder, choice=Choice()) == [False, False, False]  # several
    assert filed(folder, window=Window(START + HOUR, START + 2 * DAY)) == [True, False, False]
    assert filed(folder, window=Window(START + 1, START + 2 * DAY)) == [False, False, False]
    # a day without rounds: nobody knows that of it but its hours
    assert filed(folder, window=Window(START, START + 3 * DAY)) == [True, False, False]

    writer = fill(folder, days=0)
    writer.accept(report([record(1, START + 30 * HOUR + 1, "b.example")], "late"), START + 9 * DAY)
    assert filed(folder) == [False, False, False]  # an hour that waits
    keep_up(writer, START + 10 * DAY + HOUR)
    assert filed(folder) == [True, True, True]
    writer.close()

    connection = open_writer(folder / "hub.sqlite")
    set_floor(connection, HOUR_S, START // NS_PER_S + HOUR_S)
    assert filed(folder) == [False, True, True]  # its first hours may have been forgotten
    made = decode(connection, DAY_S)
    put(connection, made.kept(made.series == 1), DAY_S)
    connection.close()
    assert filed(folder) == [False, False, False]  # a day that is not filed


def test_a_series_that_comes_while_a_reader_is_open_is_in_its_answers(folder: Path) -> None:
    with EmbeddedReader(folder) as reader:
        assert [each.rounds for each in reader.summary(ONE, WINDOWS[0])] == [2 * 1440]
        writer = fill(folder, days=0)
        other = msgspec.structs.replace(record(1, START + 1, "a.example"), endpoint="other")
        writer.accept(report([other], "new"), START + 9 * DAY)
        writer.close()
        assert [each.rounds for each in reader.summary(ONE, WINDOWS[0])] == [1, 2 * 1440]


def decode(connection: Connection, step: int) -> Tally:
    sheets = connection.execute(
        "SELECT id, body FROM sheet WHERE id >= ? AND id < ?",
        (sheet.sheet_id(step, 0), sheet.sheet_id(step, 0, 1 << 56)),
    )
    return sheet.decode(list(sheets), step)


def test_any_question_is_answered_as_the_rounds_do(folder: Path) -> None:
    assert kinds(folder) == {
        900: {packed.READY}, HOUR_S: {packed.READY}, DAY_S: {packed.DENSE}
    }  # fmt: skip
    agree(folder)
    assert check_folder(folder) == []


def test_rounds_that_come_late_are_in_the_answers_before_and_after_they_are_filed(folder: Path) -> None:
    writer = fill(folder, days=0)
    late = [record(1, START + 30 * HOUR + each, "b.example") for each in (1, 2)]
    writer.accept(report([*late, record(1, START + 3 * HOUR + 1, "a.example")], "late"), START + 9 * DAY)
    agree(folder)
    writer.maintain(START + 9 * DAY, 0.0)
    agree(folder)
    keep_up(writer, START + 9 * DAY)
    agree(folder)
    keep_up(writer, START + 10 * DAY + HOUR)
    writer.close()
    connection = open_writer(folder / "hub.sqlite")
    assert list(connection.execute("SELECT count(*) FROM rollup")) == [(0,)]
    connection.close()
    agree(folder)
    assert check_folder(folder) == []


def test_a_question_joins_what_is_filed_with_what_is_not_yet(folder: Path) -> None:
    writer = fill(folder, days=0)
    dues = range(START + 9 * DAY, START + 9 * DAY + 5 * HOUR + 20 * MINUTE, 5 * MINUTE)
    writer.accept(report([record(1, due, "a.example") for due in dues], "today"), START + 9 * DAY + 5 * HOUR)
    keep_up(writer, START + 9 * DAY + 5 * HOUR + 30 * MINUTE)
    writer.close()
    agree(folder)


def test_what_is_forgotten_takes_its_answers_with_it(folder: Path) -> None:
    window = Window(START, START + 2 * DAY)
    with EmbeddedReader(folder) as reader:
        days = reader.history(Choice(), window, Resolution.DAY)
    connection = open_writer(folder / "hub.sqlite")
    forget = Forgetter(
        connection, folder / "hub.sqlite", folder / "segments",
        Retention(raw_days=3, quarter_days=3, hour_days=3),
    )  # fmt: skip
    for now in (START + 20 * DAY, START + 22 * DAY):
        while forget.slice(now):
            pass
    connection.close()
    assert set(kinds(folder)) == {DAY_S}
    with EmbeddedReader(folder) as reader:
        assert reader.history(Choice(), window, Resolution.HOUR) == []
        assert reader.history(Choice(), WINDOWS[2], Resolution.DAY) == days


def test_a_folder_of_version_4_gives_the_same_answers_and_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    connection = apsw.Connection(str(path))
    migrate(connection, path, MIGRATIONS[:4])
    connection.execute(
        "INSERT INTO series (vantage, target, endpoint, method) VALUES ('ams', 'a.example', 'rest', 'tcp')"
    )
    number, body = VERSION_4
    connection.execute("INSERT INTO sheet VALUES (?, ?)", (number, bytes.fromhex(body)))
    hours = tally_of(OF_VERSION_4)
    day = hours.merged(hours.start // DAY_S * DAY_S)
    rows = [*tally.rows_of(day, DAY_S), *tally.rows_of(hours, HOUR_S)]
    connection.execute(f"INSERT INTO rollup VALUES ({', '.join('?' * 13)})", tally.rows_of(day, DAY_S)[0])
    connection.execute("INSERT INTO meta VALUES ('filed_before', ?)", (START // DAY * DAY_S + DAY_S,))
    connection.close()
    writer = EmbeddedWriter(tmp_path)
    assert (tmp_path / f"hub.sqlite.before-{len(MIGRATIONS)}").exists()
    assert kinds(tmp_path) == {HOUR_S: {0}}
    assert rollups(tmp_path) == sorted(rows)
    keep_up(writer, START + DAY + HOUR)
    assert kinds(tmp_path) == {HOUR_S: {packed.READY}}
    keep_up(writer, START + 2 * DAY + HOUR)
    writer.close()
    assert kinds(tmp_path) == {HOUR_S: {packed.READY}, DAY_S: {packed.DENSE}}
    assert rollups(tmp_path) == sorted(rows)
    assert check_folder(tmp_path) == []


def test_answers_that_their_sketches_do_not_give_are_a_fault(folder: Path) -> None:
    connection = open_writer(folder / "hub.sqlite")
    for number, body in list(connection.execute("SELECT id, body FROM sheet WHERE id >= ?", (4 << 56,)))[:1]:
        place = packed.HEADER + 16  # the first quantile's bucket
        wrong = (int.from_bytes(body[place : place + 2], "little") - 1).to_bytes(2, "little")
        connection.execute(
            "UPDATE sheet SET body = ? WHERE id = ?", (body[:place] + wrong + body[place + 2 :], number)
        )
    connection.close()
    assert [each.what for each in check_folder(folder)] == ["1 sheets whose answers cannot be right"]
