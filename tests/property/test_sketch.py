"""Quantile sketches: whatever is put in and however it is merged, no quantile is more than 1 % from the exact one."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.analysis.sketches.quantile import (
    BUCKETS,
    ESTIMATE,
    FIRST,
    LARGEST,
    LAST,
    Sketches,
    bucket_of,
    median_ranks,
    rank,
)

FRACTIONS = [0.0, 0.01, 0.05, 0.25, 0.5, 0.55, 0.75, 0.95, 0.99, 0.999, 1.0]
values = st.one_of(
    st.integers(0, LARGEST),
    st.integers(0, 300),
    st.floats(3, 11).map(lambda power: int(10**power)),
    st.sampled_from([int(edge) + off for edge in FIRST[::37] for off in (-1, 0, 1) if edge + off >= 0]),
)
samples = st.lists(values, max_size=80)


def array(numbers: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(numbers, np.int64)


def one(numbers: list[int]) -> Sketches:
    return Sketches.of_values(array(numbers), array([0] * len(numbers)), 1)


def exact(numbers: list[int], fraction: float) -> int:
    """Nearest rank in whole numbers, without any of the sketch's code."""
    place = math.ceil(Fraction(str(fraction)) * len(numbers))
    return sorted(numbers)[max(1, place) - 1]


def test_every_bucket_keeps_the_bound_and_there_is_no_hole_between_them() -> None:
    """The proof: buckets are finite, so all of them are looked at."""
    assert FIRST[0] == LAST[0] == ESTIMATE[0] == 0
    assert (FIRST[1:] == LAST[:-1] + 1).all()
    assert int(LAST[-1]) >= LARGEST
    for first, last, estimate in zip(
        FIRST[1:].tolist(), LAST[1:].tolist(), ESTIMATE[1:].tolist(), strict=True
    ):
        assert (estimate - first) * 100 <= first
        assert (last - estimate) * 100 <= last
    inside = LAST <= LARGEST
    for edge in (FIRST, LAST, ESTIMATE):
        assert (bucket_of(edge[inside]) == np.arange(BUCKETS)[inside]).all()


@given(samples.filter(bool))
def test_quantiles_are_within_one_percent_of_nearest_rank(numbers: list[int]) -> None:
    found = one(numbers).quantiles(FRACTIONS)[0].tolist()
    for fraction, estimate in zip(FRACTIONS, found, strict=True):
        truth = exact(numbers, fraction)
        assert abs(estimate - truth) * 100 <= truth


@given(st.lists(samples, max_size=6), st.randoms(use_true_random=False))
def test_merging_is_addition_in_any_order_and_grouping(parts: list[list[int]], order) -> None:  # type: ignore[no-untyped-def]
    everything = one([number for part in parts for number in part])
    piled = list(parts)
    order.shuffle(piled)
    while len(piled) > 1:
        left, right = piled.pop(order.randrange(len(piled))), piled.pop()
        blobs = [
            blob
            for part in (left, right)
            for blob in (part if isinstance(part, tuple) else one(part).encode())
        ]
        piled.append(tuple(Sketches.decode(blobs).merged(array([0] * len(blobs)), 1).encode()))  # type: ignore[arg-type]
    last = piled[0] if piled else []
    assert (list(last) if isinstance(last, tuple) else one(last).encode()) == everything.encode()


@given(st.lists(samples, max_size=8))
def test_bytes_give_back_what_was_put_into_them(many: list[list[int]]) -> None:
    owners = [place for place, each in enumerate(many) for _ in each]
    made = Sketches.of_values(array([number for each in many for number in each]), array(owners), len(many))
    read = Sketches.decode(made.encode())
    assert read.size == made.size == len(many)
    for name in ("owners", "buckets", "counts"):
        assert getattr(read, name).tolist() == getattr(made, name).tolist()
    assert read.totals().tolist() == [len(each) for each in many]
    assert read.quantiles([0.5]).tolist() == [
        one(each).quantiles([0.5])[0].tolist() if each else [-1] for each in many
    ]


@given(st.integers(1, 2**40), values)
def test_counts_of_any_size_are_kept(count: int, value: int) -> None:
    made = Sketches(array([0]), bucket_of(array([value])), array([count]), 1)
    assert Sketches.decode(made.encode()).totals().tolist() == [count]


@given(st.binary(max_size=12))
def test_foreign_bytes_are_refused_or_read_without_harm(blob: bytes) -> None:
    try:
        read = Sketches.decode([blob])
    except ValueError:
        return
    assert ((read.buckets >= 0) & (read.buckets < BUCKETS) & (read.counts > 0)).all()


def test_an_hour_of_minutes_takes_about_fifty_bytes() -> None:
    noise = np.random.default_rng(1)
    hours = noise.lognormal(np.log(4e7), 0.1, (500, 60)).astype(np.int64)
    blobs = Sketches.of_values(hours.ravel(), np.repeat(np.arange(500), 60), 500).encode()
    assert sum(map(len, blobs)) / 500 <= 50


@given(st.integers(1, 10_000), st.integers(0, 1_000_000))
def test_ranks_are_whole_number_arithmetic(count: int, millionths: int) -> None:
    assert rank(millionths / 1e6, count) == max(1, math.ceil(Fraction(millionths, 10**6) * count))


@pytest.mark.parametrize("count", [6, 7, 20, 99, 200, 201, 1000, 5001])
def test_the_medians_interval_misses_it_at_most_once_in_twenty(count: int) -> None:
    ranks = median_ranks(count)
    assert ranks is not None
    low, high = ranks
    below = sum(math.comb(count, each) for each in range(low))
    assert below * 40 <= 2**count
    assert high == count - low + 1
