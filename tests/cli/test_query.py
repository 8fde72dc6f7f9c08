"""`nettrace query` as programs and people call it."""

import json
from pathlib import Path

import pytest
from tests.cli.program import nettrace
from tests.unit.store.filled import START, fill


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hub")
    fill(folder, days=1, every_s=3600).close()
    return str(folder)


SQL = "SELECT target, min(due) AS since, count(*) AS rounds, sum(received) AS answered FROM rounds GROUP BY 1 ORDER BY 1"


def test_programs_get_a_line_of_json_a_row(data: str) -> None:
    done = nettrace("query", SQL, "--data", data)
    assert done.code == 0
    assert [row["target"] for row in done.rows] == ["a.example", "b.example", "c.example"]
    assert done.rows[0]["since"] == "2024-10-04T00:00:00.000000Z"
    assert {row["rounds"] for row in done.rows} == {24}
    assert isinstance(done.rows[0]["answered"], int)
    assert START // 10**9 == 1_728_000_000


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_the_other_forms_say_the_same(data: str, form: str) -> None:
    done = nettrace("query", "SELECT 'a' AS name, NULL AS nothing, 1.5 AS half", "--data", data, "-o", form)
    expected = {"table": ["name", "nothing", "half", "a", "-", "1.5"], "csv": ["name,nothing,half", "a,,1.5"]}
    if form == "json":
        assert json.loads(done.out) == [{"name": "a", "nothing": None, "half": 1.5}]
    else:
        assert done.out.split() == expected[form]


def test_mistakes_are_one_line_on_stderr(data: str, tmp_path: Path) -> None:
    done = nettrace("query", "SELECT latency FROM rounds", "--data", data)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("nettrace: ")
    assert "rtt_ns" in done.err
    assert "no hub" in nettrace("query", "SELECT 1", "--data", str(tmp_path)).err
