"""`nettrace estimate`, `registry import-matrix` and estimates in `nettrace plan`, as a user runs them."""

import json
from pathlib import Path

from tests.cli.program import nettrace

ROWS = "a,b,p50_ms,low_ms,high_ms,n,at,source,own\nvultr:ewr,binance-spot,171.2,170.9,172.0,600,2026-11-20,node ewr,yes\n"
PLAN = """
[[venue]]
name = "binance-spot"
usd_per_ms_month = 2.0
[[site]]
name = "vultr:ewr"
usd_month = 10.0
[[site]]
name = "vultr:nrt"
usd_month = 20.0
"""


def test_an_estimate_says_how_it_came_and_own_rows_come_first(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(ROWS)
    guess = json.loads(nettrace("estimate", "vultr:ewr", "binance-spot", "-o", "ndjson").out)
    assert (guess["schema"], guess["evidence"], guess["by"]) == ("nettrace.estimate/1", "estimated", "near pairs")  # fmt: skip
    assert guess["fibre_ms"] <= guess["low_ms"] <= 171.2 <= guess["high_ms"]
    assert len(guess["basis"]) == 4
    assert guess["basis"][-1].startswith("15% added for the open internet")
    seen = json.loads(nettrace("estimate", "binance-spot", "vultr:ewr", "--evidence", str(own), "-o", "ndjson").out)  # fmt: skip
    assert (seen["p50_ms"], seen["evidence"], seen["n"], seen["at"]) == (171.2, "measured", 600, "2026-11-20")


def test_a_percentile_that_no_row_speaks_of_is_called_unknown(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(ROWS)
    guess = nettrace("estimate", "vultr:ewr", "binance-spot", "-o", "table").out
    assert "p95    unknown: it takes 30 rows that have one" in guess
    seen = nettrace("estimate", "vultr:ewr", "binance-spot", "--evidence", str(own), "-o", "table").out
    assert "p95    unknown: its row has none" in seen


def test_a_place_that_nobody_knows_is_not_guessed() -> None:
    done = nettrace("estimate", "LON", "interactive-brokers", "-o", "table")
    assert done.code == 5
    assert "where interactive-brokers stands is not known" in done.out


def test_a_published_matrix_becomes_evidence(tmp_path: Path) -> None:
    matrix = tmp_path / "m.csv"
    matrix.write_text("from,eu-west-2,mx-central-1\neu-west-2,,130\nmx-central-1,132,\n")
    done = nettrace("registry", "import-matrix", str(matrix), "--source", "me", "--at", "2026", "--provider", "aws")  # fmt: skip
    assert done.out.splitlines()[1] == "aws:eu-west-2,aws:mx-central-1,131.0,,,,,2026,me,"
    table = tmp_path / "t.csv"
    table.write_text(done.out)
    found = json.loads(nettrace("estimate", "aws:mx-central-1", "aws:eu-west-2", "--evidence", str(table), "-o", "ndjson").out)  # fmt: skip
    assert (found["p50_ms"], found["by"], found["evidence"]) == (131.0, "published", "estimated")


def test_a_plan_estimates_pairs_of_registry_names_and_nothing_else(tmp_path: Path) -> None:
    request = tmp_path / "r.toml"
    request.write_text(PLAN)
    made = json.loads(nettrace("plan", str(request), "-o", "ndjson", "--chance", "20").out)
    assert made["sites"] == ["vultr:nrt"]
    (row,) = made["assignments"]
    assert row["evidence"] == "estimated"
    assert row["low_ms"] < row["p50_ms"] < row["high_ms"]
    assert made["chance"]["pairs_without_interval"] == 0
    never = json.loads(nettrace("plan", str(request), "-o", "ndjson", "--estimates", "never").out)
    assert never["conflict"] == ["venue binance-spot latency"]
    request.write_text(PLAN.replace("vultr:nrt", "mine") + '[[latency]]\nvenue = "binance-spot"\nsite = "vultr:ewr"\np50_ms = 170\n')  # fmt: skip
    given = json.loads(nettrace("plan", str(request), "-o", "ndjson").out)
    assert [(row["site"], row["evidence"]) for row in given["assignments"]] == [("vultr:ewr", "given")]
