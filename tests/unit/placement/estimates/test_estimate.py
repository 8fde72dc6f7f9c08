"""Estimates: best evidence first, never below light, intervals that hold as often as they say."""

import random

import numpy as np
import pytest

from nettrace.analysis.geo import floor, sphere
from nettrace.errors import Invalid
from nettrace.outside.places import find
from nettrace.placement.estimates import kriging
from nettrace.placement.estimates.estimate import estimate, estimates
from nettrace.placement.estimates.evidence import (
    End,
    Evidence,
    Row,
    end_named,
    evidence_of,
    read_table,
    write_table,
)
from nettrace.placement.estimates.filling import filled, missing
from nettrace.placement.estimates.matrices import Origin, read_matrix
from nettrace.placement.estimates.model import Model
from nettrace.placement.estimates.shipped import shipped, shipped_rows
from nettrace.placement.request import Evidence as Kind
from nettrace.placement.request import Latency, Request, Site, Venue


@pytest.fixture(scope="module")
def public() -> Evidence:
    return shipped(find)


def with_ends(evidence: Evidence, *names: str) -> Model:
    return Model(evidence.joined(Evidence({name: end_named(name, find) for name in names})))


def test_light_is_the_same_here_as_in_the_claims() -> None:
    assert pytest.approx(floor.fibre_ns(1e6) / 1e12) == kriging.FIBRE_MS_PER_KM
    assert kriging.FIBRE_INDEX == floor.FIBRE_INDEX
    assert kriging.EARTH_KM == sphere.EARTH_RADIUS_KM
    points = np.array([51.5, -33.9]), np.array([0.1, 151.2])
    assert kriging.distances_km(*points)[0, 1] == pytest.approx(sphere.distance_km(51.5, 0.1, -33.9, 151.2))


def test_own_history_is_the_answer_and_says_so(public: Evidence) -> None:
    own = Row(a="FRA", b="aws:eu-west-2", p50_ms=14.2, p95_ms=15.1, n=600, at="2026-11-20", source="node fra", own=True)  # fmt: skip
    model = Model(evidence_of([own], find).joined(public))
    found = estimate(("aws:eu-west-2", "FRA"), model)
    assert found is not None
    assert (found.p50_ms, found.p95_ms, found.evidence, found.by, found.n, found.at) == (14.2, 15.1, Kind.MEASURED, "own history", 600, "2026-11-20")  # fmt: skip


def test_a_published_row_comes_before_the_model_and_is_not_called_measured(public: Evidence) -> None:
    found = estimate(("aws:eu-west-2", "aws:eu-west-3"), Model(public))
    row = next(row for row in public.rows if {row.a, row.b} == {"aws:eu-west-2", "aws:eu-west-3"})
    assert found is not None
    assert (found.p50_ms, found.by, found.evidence, found.at) == (row.p50_ms, "published", Kind.ESTIMATED, "2022-02")  # fmt: skip
    assert found.low_ms is not None
    assert found.high_ms is not None
    assert found.low_ms < row.p50_ms < found.high_ms
    assert "DoiT intercloud" in found.basis[0]


def test_hidden_pairs_and_hidden_sites_of_a_real_matrix_are_found_within_ten_percent(
    public: Evidence,
) -> None:
    rows = [Row(a=row.a, b=row.b, p50_ms=row.p50_ms, own=True) for row in shipped_rows() if row.a[:5] == "azure"]  # fmt: skip
    rng = random.Random(5)
    rng.shuffle(rows)
    part = rows[:120], rows[120:]
    regions = sorted({row.a for row in rows})
    gone = set(rng.sample(regions, 5))
    sites = (
        [row for row in rows if {row.a, row.b} & gone],
        [row for row in rows if not {row.a, row.b} & gone],
    )
    for hidden, shown in (part, sites):
        model = Model(evidence_of(shown, find).joined(Evidence(evidence_of(hidden, find).ends)))
        found = estimates(model, [(row.a, row.b) for row in hidden])
        missed = [abs(each.p50_ms - row.p50_ms) / max(0.1 * row.p50_ms, 2) for each, row in zip(found, hidden, strict=True) if each]  # fmt: skip
        inside = [each.low_ms <= row.p50_ms <= each.high_ms for each, row in zip(found, hidden, strict=True) if each and each.low_ms is not None and each.high_ms is not None]  # fmt: skip
        assert len(missed) == len(hidden)
        assert sorted(missed)[len(missed) // 2] <= 1
        assert 0.8 <= sum(inside) / len(inside) <= 0.99


def test_nothing_is_estimated_below_glass(public: Evidence) -> None:
    rng = random.Random(1)
    ends = [
        End(name=f"e{number}", latitude=rng.uniform(-60, 70), longitude=rng.uniform(-180, 180))
        for number in range(30)
    ]
    model = Model(public.joined(Evidence({end.name: end for end in ends})))
    pairs = [(one.name, other.name) for one in ends for other in ends if one.name < other.name]
    for found in estimates(model, pairs):
        assert found is not None
        assert found.fibre_ms is not None
        assert found.low_ms is not None
        assert found.fibre_ms <= found.low_ms <= found.p50_ms


def test_ends_without_a_place_are_estimated_from_ends_that_see_the_world_alike() -> None:
    rng = random.Random(2)
    at = [(rng.random() * 80, rng.random() * 80, rng.random() * 5) for _ in range(40)]
    truth = {
        (f"n{i}", f"n{j}"): 5 + at[i][2] + at[j][2] + ((at[i][0] - at[j][0]) ** 2 + (at[i][1] - at[j][1]) ** 2) ** 0.5
        for i in range(40)
        for j in range(i)
    }  # fmt: skip
    rows = [Row(a=a, b=b, p50_ms=ms, own=True) for (a, b), ms in truth.items() if rng.random() < 0.6]
    model = Model(Evidence({f"n{i}": End(name=f"n{i}") for i in range(40)}, tuple(rows)))
    known = {(row.a, row.b) for row in rows}
    asked = [pair for pair in truth if pair not in known]
    found = estimates(model, asked)
    missed = [abs(each.p50_ms - truth[pair]) / truth[pair] for each, pair in zip(found, asked, strict=True) if each and each.by == "twins"]  # fmt: skip
    assert len(missed) == len(asked)
    assert sorted(missed)[len(missed) // 2] < 0.1


def test_what_nothing_bears_on_is_not_guessed(public: Evidence) -> None:
    assert estimate(("nowhere", "aws:eu-west-2"), with_ends(public, "nowhere")) is None


def test_rows_that_light_forbids_are_refused_and_a_place_with_many_of_them_is_not_believed() -> None:
    cities = ("LON", "FRA", "PAR", "AMS", "MAD")
    good = [Row(a=a, b=b, p50_ms=15 + len(a)) for a in cities for b in cities if a < b]
    far = [Row(a="SYD", b=city, p50_ms=12.0) for city in cities]
    model = Model(evidence_of([*good, *far], find))
    assert [each.row for each in model.refused] == far
    assert model.misplaced == ("SYD",)
    assert not model.ends["SYD"].placed


def test_a_request_gets_rows_only_for_pairs_it_lacks(public: Evidence) -> None:
    request = Request(
        venue=(Venue(name="v", usd_per_ms_month=1),),
        site=(Site(name="s", usd_month=1), Site(name="t", usd_month=1), Site(name="u", usd_month=1)),
        latency=(Latency(venue="v", site="s", p50_ms=99),),
    )
    ends = {"v": "aws:ap-northeast-1", "s": "aws:eu-west-2", "t": "aws:ap-southeast-1"}
    made, found = filled(
        request,
        public,
        lambda each: end_named(ends[each.name], find) if each.name in ends else None,
        missing(request),
    )
    assert made.latency[0] == request.latency[0]
    assert [(row.site, row.evidence) for row in made.latency] == [("s", Kind.GIVEN), ("t", Kind.ESTIMATED)]
    assert set(found) == {("v", "t")}


@pytest.mark.parametrize(
    "text",
    ['{"metadata": {"unit": "ms"}, "data": {"eu": {"us": 80, "eu": 1}, "us": {"eu": 82}}}', "from,eu,us\neu,1,80\nus,82,-", "a,b,p50_ms\neu,us,81\n"],
)  # fmt: skip
def test_published_matrices_are_read_in_their_forms(text: str) -> None:
    rows = read_matrix(text, "m", Origin(source="me", at="2026", provider="aws"))
    assert rows == [Row(a="aws:eu", b="aws:us", p50_ms=81.0, at="2026", source="me")]


def test_a_table_is_read_back_as_written_and_faults_name_their_row() -> None:
    rows = [Row(a="x", b="y", p50_ms=1.5, p95_ms=2.0, n=3, at="2026", source="me", own=True)]
    assert read_table(write_table(rows), "t") == rows
    with pytest.raises(Invalid, match="t, row 2: p50_ms is 'soon'"):
        read_table("a,b,p50_ms\nx,y,1\nx,z,soon\n", "t")
    with pytest.raises(Invalid, match="unknown column 'rtt'"):
        read_table("a,b,p50_ms,rtt\n", "t")
