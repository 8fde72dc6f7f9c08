"""A round's samples and stages survive being packed, and junk is told from samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import NotFound, StoreCorrupt
from nettrace.store.embedded.rounds import parse_round_id, round_id
from nettrace.store.embedded.samples import LOST, pack, pack_stages, unpack, unpack_many, unpack_stages
from nettrace.store.embedded.schema import STAGES

rounds = st.tuples(
    st.lists(st.one_of(st.none(), st.integers(-(2**50), 2**50)), max_size=9).map(tuple),
    st.one_of(st.none(), st.integers(0, 2**50)),
)


@given(rounds)
def test_samples_come_back(made: tuple[tuple[int | None, ...], int | None]) -> None:
    samples, rtt_ns = made
    assert unpack(pack(samples, rtt_ns), rtt_ns) == samples


@given(st.lists(rounds, max_size=6))
def test_many_rounds_at_once_are_the_same(made: list[tuple[tuple[int | None, ...], int | None]]) -> None:
    blobs = [pack(*each) for each in made]
    values, counts = unpack_many(blobs, [rtt for _, rtt in made])
    assert counts.tolist() == [len(samples) for samples, _ in made]
    assert values.tolist() == [LOST if each is None else each for samples, _ in made for each in samples]


@given(st.dictionaries(st.sampled_from(STAGES), st.integers(0, 2**45)))
def test_stages_come_back(stages: dict[str, int]) -> None:
    assert unpack_stages(pack_stages(stages)) == stages


def test_the_median_takes_one_byte_and_jitter_what_it_needs() -> None:
    assert len(pack((12_000_000, 12_000_040, None), 12_000_000) or b"") == 3


@given(st.binary(min_size=1, max_size=12).map(lambda head: head + b"\xff"))
def test_bytes_that_end_within_a_number_are_corrupt(blob: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        unpack(blob, 5)
    with pytest.raises(StoreCorrupt):
        unpack_many([blob], [5])


@given(st.integers(1, 2**31), st.integers(0, 2**62))
def test_a_rounds_id_says_which_it_is(series: int, due: int) -> None:
    assert parse_round_id(round_id(series, due)) == (series, due)


@given(st.integers(3, 24), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_mistyped_id_is_no_round(place: int, letter: str) -> None:
    good = round_id(7, 1_767_225_600_000_000_000)
    typed = good[:place] + letter + good[place + 1 :]
    if typed != good:
        with pytest.raises(NotFound):
            parse_round_id(typed)


@pytest.mark.parametrize("junk", ["", "ms_", "ms_!", "sig_x", "ms_" + "é" * 23, "MS_" + round_id(1, 1)[3:]])
def test_junk_is_no_round(junk: str) -> None:
    with pytest.raises(NotFound):
        parse_round_id(junk)
