"""Sheets of rollups: 24 buckets to a row come back as they were, whatever is in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import StoreCorrupt
from nettrace.store.embedded import sheet, tally
from nettrace.store.embedded.raw import Counted
from nettrace.store.embedded.tally import Tally

HOUR_S, NS = 3_600, 10**9

values = st.lists(st.one_of(st.integers(0, 100), st.integers(0, 2**50)), max_size=30)
rounds = st.lists(
    st.tuples(st.integers(1, 3), st.integers(20_000 * 24, 20_000 * 24 + 100), st.integers(0, 2), values)
)


def tally_of(made: list[tuple[int, int, int, list[int]]]) -> Tally:
    """Hours of rounds, each given by series, hour, outcome and samples in ns."""
    series, hour, outcome = (np.array([row[place] for row in made], np.int64) for place in range(3))
    sizes = np.array([len(row[3]) for row in made], np.int64)
    samples = np.array([value for row in made for value in row[3]], np.int64)
    owners = np.repeat(np.arange(len(made)), sizes)
    due = hour * HOUR_S * NS
    return tally.of_rounds(Counted(series, due, due, outcome, sizes, sizes, samples, owners), hour * HOUR_S)


FIRST_KIND = [
    (
        288230384741646337,
        "03000300170028000500010101000091039103010100010000000101010000030300d20f98f8ffffffffff0198f8ffffffffff01020"
        "1d10f00000000b8d88027a6958001ebe3a401030ff00000008003db0a",
    ),
    (288230384741646338, "010001000700050002000101010000020201100202020010"),
]
OF_FIRST_KIND = [
    (1, 48, 0, [1_000] * 400 + [2**50]), (1, 50, 1, []), (1, 51, 0, [41_500_000, 40_900_123, 43_000_001]),
    (2, 49, 0, [7, 9]),
]  # fmt: skip
"""Sheets as version 3 of the schema wrote them, and the rounds they are of."""


VERSION_4 = (
    288316275497631745,
    "048002000e0019000e006300000505040003010100001818010100010000000bd94783308b64210f704d6e91ab87585d9561755586d55519f10603060324"
    "07030500460505049f0b",
)
OF_VERSION_4 = [
    (1, 20_000 * 24 + hour, 0, [30_000_000 + 40_009 * (hour * 7 + each * each % 61) for each in range(24)])
    for hour in (0, 1, 5)
] + [(1, 20_000 * 24 + 6, 1, [])]
"""A sheet as version 4 of the schema wrote it, and the rounds it is of."""


def test_sheets_of_the_first_kind_are_read_beside_those_of_now() -> None:
    old = [(number, bytes.fromhex(body)) for number, body in FIRST_KIND]
    before, later = (
        tally_of(OF_FIRST_KIND),
        tally_of([(3, 48, 0, [5, 6]), (3, 49, 0, list(range(1, 10**6, 9_000)))]),
    )
    assert tally.rows_of(sheet.decode(old, HOUR_S), HOUR_S) == tally.rows_of(before, HOUR_S)
    both = sheet.decode([*sheet.encode(later, HOUR_S), *old], HOUR_S)
    assert tally.rows_of(both, HOUR_S) == tally.rows_of(before, HOUR_S) + tally.rows_of(later, HOUR_S)


def test_a_sketch_of_more_entries_than_a_byte_counts_is_kept() -> None:
    hours = tally_of([(1, 48, 0, [int(1_000 * 1.03**each) for each in range(300)]), (2, 48, 0, [5])])
    assert len(hours.sketches.buckets) > 256
    found = sheet.decode(sheet.encode(hours, HOUR_S), HOUR_S)
    assert tally.rows_of(found, HOUR_S) == tally.rows_of(hours, HOUR_S)


@given(rounds)
def test_what_is_written_is_read(made: list[tuple[int, int, int, list[int]]]) -> None:
    hours = tally_of(made)
    sheets = sheet.encode(hours, HOUR_S)
    found = sheet.decode(sheets, HOUR_S)
    assert tally.rows_of(found, HOUR_S) == tally.rows_of(hours, HOUR_S)
    assert len(sheets) == len({(row[0], row[1] // 24) for row in made})


def test_a_spike_far_away_and_a_count_beyond_a_nibble_are_kept() -> None:
    hours = tally_of([(1, 48, 0, [1_000] * 400 + [2**50])])
    ((_, body),) = sheet.encode(hours, HOUR_S)
    assert len(body) < 50
    assert sheet.decode(
        [(sheet.sheet_id(HOUR_S, 48 * HOUR_S, 1), body)], HOUR_S
    ).sketches.counts.tolist() == [400, 1]


def test_bytes_that_are_no_sheet_are_a_corrupt_store() -> None:
    ((number, body),) = sheet.encode(tally_of([(1, 48, 0, [7, 9])]), HOUR_S)
    for damaged in (body[:-1], body[:12], b""):
        with pytest.raises(StoreCorrupt, match="3600 s is damaged"):
            sheet.decode([(number, damaged)], HOUR_S)
