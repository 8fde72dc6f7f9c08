"""Tables say the median, the spread, the goal and whether it is kept."""

import json
from pathlib import Path

from bench.figure import Column, Table, nearest_rank, write_json


def table() -> Table:
    made = Table("Errors", [Column("p99", "us", goal=2.0), Column("hops", "%", goal=99.0, at_least=True)])
    for value in (1.0, 9.0, 1.5):
        made.add("nettrace", {"p99": value, "hops": 100.0})
    made.add("fping", {"p99": 30.0, "hops": None})
    return made


def test_a_cell_is_the_median_with_its_spread_and_the_verdict() -> None:
    text = table().text()
    assert "1.5 (1-9) ok" in text
    assert "100 (100-100) ok" in text


def test_a_rival_is_set_beside_our_median() -> None:
    row = next(line for line in table().text().splitlines() if "fping" in line)
    assert row.split() == ["fping", "30", "x20", "-"]


def test_one_bad_run_of_three_breaks_no_goal_and_two_do() -> None:
    made = table()
    assert made.broken() == []
    made.add("nettrace", {"p99": 9.0})
    made.add("nettrace", {"p99": 9.0})
    assert made.broken() == ["Errors: p99 9 us, goal <= 2"]


def test_a_goal_nobody_measured_is_missed() -> None:
    made = Table("Speed", [Column("wall", "s", goal=2.5)])
    assert made.broken() == ["Speed: wall - s, goal <= 2.5"]


def test_a_lower_bound_is_a_lower_bound() -> None:
    hops = Column("hops", "%", goal=99.5, at_least=True)
    assert hops.met(99.5)
    assert not hops.met(99.4)
    assert not Column("wall", "s", goal=1.0).met(1.1)


def test_quantiles_are_nearest_rank() -> None:
    assert nearest_rank([], 0.5) is None
    assert nearest_rank([float(n) for n in range(1, 1001)], 0.999) == 999.0
    assert nearest_rank([5.0], 0.999) == 5.0
    assert nearest_rank([4.0, 1.0], 0.5) == 1.0


def test_everything_goes_into_the_json_file(tmp_path: Path) -> None:
    write_json(str(tmp_path / "out.json"), [table()], {"kernel": "6.1"})
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["host"]["kernel"] == "6.1"
    assert written["tables"][0]["rows"]["nettrace"]["p99"] == [1.0, 9.0, 1.5]
    assert written["tables"][0]["broken"] == []
