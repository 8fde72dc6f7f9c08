"""`nettrace plan`, as a user runs it: the contract's document, its exit codes, and what a person reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import Done, nettrace

REQUEST = """\
[limits]
budget_usd_month = 200.0
max_sites = 3
redundancy = 1
backup_differs = "provider"
[[venue]]
name = "v1"
usd_per_ms_month = 12.5
max_ms = 40.0
backup_max_ms = 120.0
forbid_countries = ["US"]
[[venue]]
name = "v2"
usd_per_ms_month = 3.0
[[site]]
name = "s1"
provider = "a"
country = "JP"
usd_month = 60.0
pinned = false
[[site]]
name = "s2"
provider = "b"
country = "SG"
usd_month = 40.0
[[site]]
name = "s3"
provider = "b"
country = "US"
usd_month = 10.0
"""
for _venue, _site, _ms in (
    ("v1", "s1", 2.4),
    ("v1", "s2", 70),
    ("v2", "s3", 3),
    ("v2", "s1", 90),
    ("v2", "s2", 120),
):
    REQUEST += f'[[latency]]\nvenue = "{_venue}"\nsite = "{_site}"\np50_ms = {_ms}\n'
    REQUEST += f"low_ms = {_ms * 0.9}\nhigh_ms = {_ms * 1.2}\n"


def plan(text: str, *words: str) -> Done:
    return nettrace("plan", "-", *words, stdin=text.encode())


@pytest.mark.parametrize("solver", ["search", "highs"])
def test_a_plan_in_a_pipe_is_the_contracts_document(tmp_path: Path, solver: str) -> None:
    file = tmp_path / "request.toml"
    file.write_text(REQUEST)
    done = nettrace("plan", str(file), "--solver", solver)
    assert (done.code, done.err) == (0, "")
    row = done.row
    expected = {
        "schema": "nettrace.plan/1", "status": "optimal", "objective_usd_month": 149.0, "bound_usd_month": 149.0,
        "gap": 0.0, "cost_usd_month": 110.0, "sites": ["s1", "s2", "s3"], "conflict": [],
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    keys = ("venue", "site", "backup", "p50_ms", "low_ms", "high_ms", "evidence")
    assert [tuple(each[key] for key in keys) for each in row["assignments"]] == [
        ("v1", "s1", "s2", 2.4, pytest.approx(2.16), pytest.approx(2.88), "given"),
        ("v2", "s3", "s1", 3.0, pytest.approx(2.7), pytest.approx(3.6), "given"),
    ]


def test_json_is_one_document_since_one_request_has_one_answer() -> None:
    assert json.loads(plan(REQUEST, "-o", "json").out)["status"] == "optimal"


@pytest.mark.parametrize("form", ["ndjson", "json", "md", "table"])
def test_no_plan_ends_with_1_and_the_conflict_in_every_form(form: str) -> None:
    done = plan(REQUEST.replace("200.0", "50.0"), "-o", form)
    assert done.code == 1
    assert "budget" in done.out
    if form == "ndjson":
        row = done.row
        assert (row["status"], row["conflict"]) == ("infeasible", ["budget_usd_month", "redundancy"])
        assert row["objective_usd_month"] is None
        assert row["sites"] == row["assignments"] == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_sites", "max_site", "did you mean 'max_sites'?"),
        ("max_ms = 40.0", 'max_ms = "40"', "venue 'v1' (line 9): max_ms: expected a number, got text"),
        ("[limits]", "[limits", "no TOML"),
    ],
)
def test_a_wrong_request_ends_with_2_and_says_where(old: str, new: str, words: str) -> None:
    done = plan(REQUEST.replace(old, new))
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_a_file_that_is_not_there_or_no_text_ends_with_2(tmp_path: Path) -> None:
    assert nettrace("plan", str(tmp_path / "none.toml")).code == 2
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    done = nettrace("plan", str(binary))
    assert (done.code, "not UTF-8" in done.err) == (2, True)


def test_light_refuses_a_latency_that_cannot_be() -> None:
    text = REQUEST.replace('name = "v1"', 'name = "v1"\nlat = 35.68\nlon = 139.69', 1)
    text = text.replace('name = "s1"', 'name = "s1"\nlat = 1.35\nlon = 103.82', 1)
    done = plan(text)
    assert (done.code, done.out) == (2, "")
    assert "2.4 ms between site 's1' and venue 'v1' is impossible: light needs 35." in done.err


def test_what_was_asked_beside_the_plan_is_there_and_repeats() -> None:
    words = ("--pareto", "--sensitivity", "--chance", "40", "--seed", "7")
    first, again = plan(REQUEST, *words).row, plan(REQUEST, *words).row
    assert first == again
    trade = next(each for each in first["pareto"] if each["sites"] == first["sites"])
    assert (trade["objective_usd_month"], trade["within_budget"]) == (149.0, True)
    assert first["chance"]["draws"] == 40
    flips: list[dict[str, Any]] = first["sensitivity"]
    flip = next(each for each in flips if (each["number"], each["site"]) == ("site_price", "s1"))
    assert (flip["now"], flip["flips_at"], flip["sites"]) == (60.0, 150.0, ["s1", "s2"])
    assert not {"pareto", "sensitivity", "chance"} & set(plan(REQUEST).row)


def test_the_document_has_every_section_in_every_form_that_carries_it() -> None:
    text = plan(REQUEST, "-o", "md", "--chance", "20").out
    heads = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    document = json.loads(plan(REQUEST, "-o", "json", "--chance", "20").out)["document"]
    assert heads == [section["title"] for section in document["sections"]]
    assert [section["id"] for section in document["sections"]] == [
        "summary", "free", "brokers", "data", "clusters", "sites", "phases", "costs", "before-after", "return", "topology",
        "advice", "providers", "trial", "migration", "risks", "watching", "sureness", "basis",
    ]  # fmt: skip
    assert "s1 costs $150 instead of $60 a month (+150%): then s1, s2." in text


def test_json_is_the_contracts_document_and_more() -> None:
    bare, full = (
        plan(REQUEST, "--chance", "20", "--pareto", "--sensitivity").row,
        json.loads(plan(REQUEST, "-o", "json", "--chance", "20").out),
    )
    assert {key: full[key] for key in bare} == bare
    assert set(full) - set(bare) == {"brief", "set_aside", "world", "measured", "stages", "document"}


def test_the_table_is_short_and_has_no_colour_in_a_pipe() -> None:
    out = plan(REQUEST, "-o", "table").out
    assert out.splitlines()[:2] == [
        "optimal  s1, s2, s3",
        "  sites $110 + latency $39 = $149 a month. Proven: no choice of sites costs less.",
    ]
    assert "\x1b" not in out
