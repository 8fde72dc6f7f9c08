"""Rows of recorded series: what is lost, what is late, what is no row."""

import pytest
from tests.unit.signals.series import STEP, observations, place, steady

from nettrace.analysis.signals.catalogue import CATALOGUE, detector
from nettrace.analysis.signals.document import signal_document
from nettrace.analysis.signals.replay import Show, read_rows, replay
from nettrace.errors import Invalid
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import SampleState


def test_every_way_to_write_a_time() -> None:
    rows = [
        "1480550400,1",
        "1480550400.0,1",
        "2016-12-01T00:00:00Z,1",
        "2016-12-01T01:00:00+01:00,1",
        "2016-12-01 00:00:00,1",
    ]
    assert {row.at for row in read_rows(rows)} == {1_480_550_400 * NS_PER_S}


@pytest.mark.parametrize("text", ["", "nan", "NaN", "0", "-1", "-0.5"])
def test_every_way_to_write_a_lost_probe(text: str) -> None:
    (row,) = read_rows([f"1480550400,{text}"])
    assert (row.state, row.rtt_ns) == (SampleState.LOST, None)


def test_header_remarks_empty_lines_and_further_columns_are_passed_over() -> None:
    rows = list(read_rows(["\ufeff# a remark", "t,rtt_ms", "", "# more", "1480550400,12.5,more"]))
    assert [row.rtt_ns for row in rows] == [12_500_000]


def test_semicolons_bring_decimal_commas() -> None:
    assert [row.rtt_ns for row in read_rows(["epoch;rtt;cp", "1480550400;12,5;0"])] == [12_500_000]


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "1480550400",
        "yesterday,5",
        "1480550400,fast",
        "1480550400,inf",
        "1480550400,1e12",
        "1480550400000,5",
    ],
)
def test_what_is_no_row_is_named_with_its_number(text: str) -> None:
    with pytest.raises(Invalid, match="line 2"):
        list(read_rows(["1480550400,5", text]))


def test_a_late_row_is_passed_over_and_counted() -> None:
    late: list[int] = []
    rows = list(read_rows(["100,1", "200,1", "150,1", "300,1"], late.append))
    assert [row.at // NS_PER_S for row in rows] == [100, 200, 300]
    assert late == [3]


def test_one_event_is_shown_once_in_each_tier() -> None:
    seen = observations([*steady(40, 100), *steady(50, 60, seed=2)])
    shown = {show: list(replay(seen, [detector("shift")], show)) for show in Show}
    assert [len(shown[show]) for show in (Show.TENTATIVE, Show.CONFIRMED, Show.ALL)] == [1, 1, 2]
    assert shown[Show.TENTATIVE][0].at == shown[Show.CONFIRMED][0].at


def test_another_series_is_fed_up_to_each_instant_and_no_further() -> None:
    moved, calm = (
        observations([*steady(40, 100), *steady(55, 50, seed=2)]),
        observations(steady(40, 150, seed=3)),
    )
    (signal,) = replay(moved, [detector("divergence")], against=calm)
    assert place(signal.at) == 100
    late = observations(steady(40, 150, seed=3), start=moved[-1].at + STEP)
    assert list(replay(moved, [detector("divergence")], against=late)) == []


def test_the_document_has_the_contracts_fields() -> None:
    seen = observations([*steady(31.2, 100), *steady(44, 60, seed=2)])
    (signal,) = replay(seen, [detector("shift")])
    made = signal_document(signal)
    assert {
        "schema",
        "kind",
        "at",
        "detected_at",
        "direction",
        "severity",
        "confidence",
        "from_ms",
        "to_ms",
    } <= set(made)
    assert made["schema"] == "nettrace.signal/1"
    assert made["at"] == seen[100].at / NS_PER_S
    assert made["to_ms"] - made["from_ms"] == pytest.approx(made["delta_ms"], abs=1e-3)


def test_unknown_detectors_are_named_with_those_there_are() -> None:
    with pytest.raises(Invalid, match="seed_zscore"):
        detector("zscore")
    assert all(detector(name).name.partition("/")[0] == name for name in CATALOGUE)
