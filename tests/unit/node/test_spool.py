"""The spool: numbers without holes, bounds that are stated, broken files that cost no more than they must."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.node.entries import START, number_of, record

from nettrace.model.instant import NS_PER_S
from nettrace.node.keeper import MOST_WAITING, Keeper
from nettrace.node.spool import Batch, Bounds, Spool, damaged
from nettrace.wire.frames import Gap, Record


def check_whole(batch: Batch) -> None:
    """Numbers follow each other without a hole."""
    expected = batch.first_seq
    for entry in batch.entries:
        assert entry.seq == expected
        expected = (entry.last_seq if isinstance(entry, Gap) else entry.seq) + 1


def test_what_was_appended_is_there_after_opening_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    assert spool.read() == Batch(1, ())
    assert spool.append([record(1), record(2)], START) == 2
    epoch = spool.epoch
    spool.close()
    spool = Spool(tmp_path / "s")
    assert (spool.epoch, spool.next_seq, spool.backlog) == (epoch, 3, 2)
    assert [number_of(each) for each in spool.read().entries if isinstance(each, Record)] == [1, 2]
    spool.acknowledge(2)
    spool.acknowledge(1)
    spool.close()
    spool = Spool(tmp_path / "s")
    assert spool.read() == Batch(3, ()), "numbers go on after everything was acknowledged"
    spool.close()


def test_the_oldest_makes_room_but_for_the_batch_in_doubt(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", Bounds(most_bytes=40_000, batch=10))
    for number in range(1, 501):
        spool.append([record(number, words=200)], START)
    batch, entries = spool.read(), []
    while batch.entries:
        check_whole(batch)
        entries += batch.entries
        last = batch.entries[-1]
        spool.acknowledge(last.last_seq if isinstance(last, Gap) else last.seq)
        batch = spool.read()
    records = [number_of(each) for each in entries if isinstance(each, Record)]
    gaps = [each for each in entries if isinstance(each, Gap)]
    assert records[:10] == list(range(1, 11)), "the batch that may be at the hub already"
    assert records[-1] == 500
    assert len(gaps) == 1
    assert (gaps[0].seq, gaps[0].reason, gaps[0].since) == (11, "spool_full", START + 11 * NS_PER_S)
    assert spool.dropped == gaps[0].last_seq - 10 == 500 - len(records)
    assert (tmp_path / "s").stat().st_size < 100_000
    assert spool.backlog == 0
    spool.close()


def test_what_is_too_old_makes_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", Bounds(oldest_s=3600, batch=2))
    spool.append([record(number) for number in range(1, 11)], START)
    spool.append([record(5000)], START + 5000 * NS_PER_S)
    assert all(isinstance(each, Record) for each in spool.read().entries), "the batch in doubt stays"
    spool.acknowledge(2)
    gap = spool.read().entries[0]
    assert isinstance(gap, Gap)
    assert (gap.seq, gap.last_seq, gap.until) == (3, 10, START + 10 * NS_PER_S)
    spool.close()


def test_a_full_disk_changes_nothing_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append([record(1)], START)
    pages = spool._db.execute("pragma page_count").fetchone()[0]
    spool._db.execute(f"pragma max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError) as caught:
        spool.append([record(number, words=3000) for number in range(2, 100)], START)
    assert not damaged(caught.value)
    assert (spool.next_seq, spool.backlog) == (2, 1)
    spool._db.execute("pragma max_page_count=100000")
    assert spool.append([record(2)], START) == 2
    spool.close()


def test_a_new_epoch_keeps_the_records_and_begins_at_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append([record(number) for number in range(1, 6)], START)
    spool.acknowledge(2)
    before = spool.epoch
    spool.renumber()
    batch = spool.read()
    check_whole(batch)
    assert spool.epoch != before
    assert batch.first_seq == 1
    assert [number_of(each) for each in batch.entries if isinstance(each, Record)] == [3, 4, 5]
    assert spool.append([record(6)], START) == 4
    spool.close()


def test_a_refused_record_becomes_a_gap_in_its_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.append([record(number) for number in range(1, 4)], START)
    spool.waive(2, "refused")
    batch = spool.read()
    check_whole(batch)
    assert [type(each) for each in batch.entries] == [Record, Gap, Record]
    spool.close()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 30)),
            st.tuples(st.just("acknowledge"), st.integers(0, 40)),
            st.tuples(st.just("open again"), st.just(0)),
        ),
        max_size=25,
    )
)
def test_every_number_is_delivered_once_or_stated_as_dropped(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "s"
    bounds = Bounds(most_bytes=6_000, batch=5)
    spool = Spool(path, bounds)
    made, told, upto = 0, set[int](), 0
    for what, how in [*story, ("acknowledge", 10**6)] * 2:
        if what == "append":
            spool.append([record(made + each) for each in range(1, how + 1)], START)
            made += how
        elif what == "open again":
            spool.close()
            spool = Spool(path, bounds)
        else:
            left = how
            while left > 0 and (batch := spool.read()).entries:
                check_whole(batch)
                assert batch.first_seq == upto + 1
                for entry in batch.entries[:left]:
                    last = entry.last_seq if isinstance(entry, Gap) else entry.seq
                    if isinstance(entry, Record):
                        assert number_of(entry) == entry.seq
                    assert not told & set(range(entry.seq, last + 1))
                    told |= set(range(entry.seq, last + 1))
                    upto, left = last, left - 1
                spool.acknowledge(upto)
    assert told == set(range(1, made + 1))
    assert spool.backlog == 0
    spool.close()


class TestKeeper:
    """The keeper around it."""

    def entries(self, keeper: Keeper) -> list[Record | Gap]:
        return list(keeper.read()[1].entries)

    @pytest.mark.parametrize("how", ["torn", "overwritten", "garbage"])
    def test_a_broken_file_is_moved_aside_and_told(self, tmp_path: Path, how: str) -> None:
        keeper = Keeper(tmp_path, now=lambda: START)
        for number in range(200):
            keeper.put(record(number, words=200))
        assert keeper.stop()
        path, before = tmp_path / "spool.sqlite", keeper.epoch
        body = path.read_bytes()
        path.write_bytes(
            {
                "torn": body[: len(body) // 2],
                "overwritten": body[:5000] + bytes(8000) + body[13_000:],
                "garbage": b"no database at all" * 1000,
            }[how]
        )
        said: list[str] = []
        keeper = Keeper(tmp_path, say=said.append, now=lambda: START + 60 * NS_PER_S)
        keeper.put(record(7))
        assert keeper.flush()
        gap, after = self.entries(keeper)
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.until) == ("spool_corrupt", START + 60 * NS_PER_S)
        assert gap.since == START, "what is known of when it last was well"
        assert isinstance(after, Record)
        assert keeper.epoch != before
        assert (tmp_path / "spool.sqlite.damaged").exists()
        assert "damaged" in said[0]
        keeper.stop()

    def test_a_file_that_breaks_under_way_costs_what_was_in_it_and_no_more(self, tmp_path: Path) -> None:
        keeper = Keeper(tmp_path, now=lambda: START)
        keeper.put(record(1))
        keeper.flush()
        keeper._spool._db.execute("pragma writable_schema=on")
        keeper._spool._db.execute("update sqlite_schema set rootpage = 999 where name = 'entry'")
        keeper._spool._db.execute("pragma schema_version=77")
        keeper.put(record(2))
        assert keeper.flush()
        gap, kept = self.entries(keeper)
        assert isinstance(gap, Gap)
        assert gap.reason == "spool_corrupt"
        assert isinstance(kept, Record)
        assert number_of(kept) == 2
        keeper.stop()

    def test_a_full_disk_stops_nothing_and_is_stated(self, tmp_path: Path) -> None:
        said: list[str] = []
        keeper = Keeper(tmp_path, say=said.append, now=lambda: START)
        keeper.put(record(0))
        keeper.flush()
        db = keeper._spool._db
        pages = db.execute("pragma page_count").fetchone()[0]
        db.execute(f"pragma max_page_count={pages}")
        for number in range(1, MOST_WAITING + 301):
            keeper.put(record(number, words=400))
        assert not keeper.flush()
        assert keeper.trouble is not None
        db.execute("pragma max_page_count=1000000")
        assert keeper.flush()
        assert keeper.trouble is None
        first, gap = self.entries(keeper)[:2]
        assert isinstance(first, Record)
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.seq, gap.last_seq) == ("disk_full", 2, 301)
        assert (gap.since, gap.until) == (START + NS_PER_S, START + 300 * NS_PER_S)
        assert keeper.next_seq == MOST_WAITING + 302, "every number has its record or is in the gap"
        assert len(said) == 2
        keeper.stop()

    def test_the_time_between_two_lives_is_a_gap(self, tmp_path: Path) -> None:
        keeper = Keeper(tmp_path, now=lambda: START)
        keeper.start()
        keeper.stop()
        keeper = Keeper(tmp_path, now=lambda: START + 3600 * NS_PER_S)
        keeper.start()
        keeper.stop()
        spool = Spool(tmp_path / "spool.sqlite")
        (gap,) = spool.read().entries
        spool.close()
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.since, gap.until) == ("stopped", START, START + 3600 * NS_PER_S)

    def test_who_takes_anothers_place_states_what_that_one_took_with_it(self, tmp_path: Path) -> None:
        for reason in ("replaced", "stopped"):
            folder = tmp_path / reason
            folder.mkdir()
            heir = Keeper(folder, now=lambda: START + 60 * NS_PER_S)
            heir.follow(START)
            if reason == "stopped":  # it is killed before anything else is on disk
                heir._spool.close()
                heir = Keeper(folder, now=lambda: START + 60 * NS_PER_S)
            heir.start()
            heir.stop()
            spool = Spool(folder / "spool.sqlite")
            (gap,) = spool.read().entries
            spool.close()
            assert isinstance(gap, Gap)
            assert (gap.reason, gap.since, gap.until) == (reason, START, START + 60 * NS_PER_S)

    def test_a_clock_that_went_back_between_two_lives_starts_another_life(self, tmp_path: Path) -> None:
        lives: list[int] = []
        for hours in (5, 6, 1):
            keeper = Keeper(tmp_path, now=lambda hours=hours: START + hours * 3600 * NS_PER_S)
            keeper.start()
            keeper.stop()
            lives.append(keeper.life)
        assert lives == [0, 0, 1]
