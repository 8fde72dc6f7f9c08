"""95th percentiles of pairs nobody measured: learnt from rows that have one, with an interval that holds; else none."""

import random
from itertools import combinations

from msgspec.structs import replace

from nettrace.placement.estimates.estimate import Estimate, estimate, estimates
from nettrace.placement.estimates.evidence import End, Evidence, Row
from nettrace.placement.estimates.filling import filled
from nettrace.placement.estimates.model import Model
from nettrace.placement.request import Latency, Request, Site, Venue


def mesh(seed: int, ends: int = 24) -> list[Row]:
    """Pairs on a plane; each end has a tail of its own, and every pair some luck."""
    rng = random.Random(seed)
    at = [(rng.random() * 80, rng.random() * 80, rng.uniform(1.02, 1.6)) for _ in range(ends)]
    rows: list[Row] = []
    for i, j in combinations(range(ends), 2):
        p50 = 8 + ((at[i][0] - at[j][0]) ** 2 + (at[i][1] - at[j][1]) ** 2) ** 0.5 * rng.uniform(1, 1.1)
        p95 = p50 * at[i][2] * at[j][2] * rng.uniform(1, 1.1)
        rows.append(Row(a=f"n{i}", b=f"n{j}", p50_ms=p50, p95_ms=p95, own=True))
    return rows


def model_of(rows: list[Row]) -> Model:
    return Model(Evidence({name: End(name=name) for row in rows for name in (row.a, row.b)}, tuple(rows)))


def asked_of(hidden: list[Row], shown: list[Row]) -> list[Estimate]:
    model = Model(
        Evidence({name: End(name=name) for row in (*hidden, *shown) for name in (row.a, row.b)}, tuple(shown))
    )
    found = estimates(model, [(row.a, row.b) for row in hidden])
    return [each for each in found if each is not None]


def test_intervals_of_hidden_percentiles_hold_nine_times_in_ten_whether_the_median_is_known_or_not() -> None:
    held, off, usual = {True: [], False: []}, [], []  # type: ignore[var-annotated]
    for seed in range(4):
        rows = mesh(seed)
        random.Random(seed).shuffle(rows)
        hidden, shown = rows[:60], rows[60:]
        longer = sorted((row.p95_ms or 0) / row.p50_ms for row in shown)[len(shown) // 2]
        for known in (True, False):
            published = [replace(row, p95_ms=None, own=False) for row in hidden] if known else []
            for found, row in zip(asked_of(hidden, [*shown, *published]), hidden, strict=True):
                assert (
                    found.p95_ms is not None
                    and found.p95_low_ms is not None
                    and found.p95_high_ms is not None
                )
                assert row.p95_ms is not None
                assert max(found.p50_ms, found.p95_low_ms) <= found.p95_ms <= found.p95_high_ms
                held[known].append(found.p95_low_ms <= row.p95_ms <= found.p95_high_ms)
                off.append(abs(found.p95_ms - row.p95_ms) / row.p95_ms)
                usual.append(abs(found.p50_ms * longer - row.p95_ms) / row.p95_ms)
    for each in held.values():
        assert 0.85 <= sum(each) / len(each) <= 0.95
    assert sum(off) < 0.7 * sum(usual), "ends have tails of their own"


def test_without_thirty_rows_that_have_one_there_is_no_percentile() -> None:
    rows = [row if at < 29 else replace(row, p95_ms=None) for at, row in enumerate(mesh(5))]
    [found] = asked_of(rows[-1:], rows[:-1])
    assert (found.p95_ms, found.p95_low_ms, found.p95_high_ms) == (None, None, None)
    assert found.low_ms is not None


def test_a_published_percentile_is_told_as_it_is_without_an_interval_nobody_learnt() -> None:
    rows = mesh(6)
    published = replace(rows[0], p95_ms=500.0, own=False)
    found = estimate((published.a, published.b), model_of([published, *rows[1:]]))
    assert found is not None
    assert (found.by, found.p95_ms, found.p95_low_ms, found.p95_high_ms) == ("published", 500, None, None)


def test_a_plan_is_told_the_percentile_with_its_interval() -> None:
    rows = mesh(7)
    request = Request(
        venue=(Venue(name="n0", usd_per_ms_month=1),), site=(Site(name="n1", usd_month=1),), latency=()
    )
    evidence = Evidence({f"n{at}": End(name=f"n{at}") for at in range(24)}, tuple(rows[1:]))
    made, _ = filled(request, evidence, lambda each: End(name=each.name), [("n0", "n1")])
    row: Latency = made.latency[0]
    assert row.p95_ms is not None and row.p95_low_ms is not None and row.p95_high_ms is not None
    assert row.p95_low_ms <= row.p95_ms <= row.p95_high_ms
