"""How the benchmark of detectors counts: one label, one statement, within two samples."""

import pytest
from bench.signals_data import Series
from bench.signals_peers import pelt_poisson, pelt_ranks, sliding_pelt, zscore
from bench.signals_score import Score, matched


@pytest.mark.parametrize(
    ("labels", "said", "pairs"),
    [
        ([10], [12], [(10, 12)]),
        ([10], [13], []),
        ([10], [9, 10, 11], [(10, 9)]),
        ([10, 11], [9, 13], [(10, 9), (11, 13)]),
        ([10, 20], [20], [(20, 20)]),
        ([], [1], []),
    ],
)
def test_each_label_and_each_statement_counts_once(
    labels: list[int], said: list[int], pairs: list[tuple[int, int]]
) -> None:
    assert matched(labels, said) == pairs


def test_figures_are_of_hits_misses_and_delays() -> None:
    score = Score()
    score.add(Series("", list(range(2520)), [1.0] * 2520, [100, 500]), [(105, 101), (700, 690)])
    figures = score.figures()
    assert figures["F1"] == 0.5
    assert (figures["precision"], figures["recall"], figures["false"]) == (0.5, 0.5, 1.0)
    assert figures["delay p50"] == 5


def test_thinning_puts_a_change_on_the_first_sample_kept_after_it() -> None:
    series = Series("", [float(place) for place in range(10)], [1.0] * 10, [0, 3, 4, 9])
    assert series.thinned(4).changes == [0, 1]


def test_peers_find_what_they_are_known_for() -> None:
    row = [50.0 + place % 2 for place in range(60)] + [80.0 + place % 2 for place in range(60)]
    assert 60 in [change for _, change in zscore(row)]
    assert [change for _, change in pelt_poisson(row)] == [60]
    assert [change for _, change in pelt_ranks(row)] == [60]
    assert pelt_ranks(row, gate=40.0) == []


def test_sliding_pelt_says_a_change_once_soon_after_it() -> None:
    row = [50.0 + place % 2 for place in range(150)] + [80.0 + place % 2 for place in range(90)]
    ((proven, change),) = sliding_pelt(row)
    assert abs(change - 150) <= 2
    assert 150 <= proven <= 160
