"""`nettrace claim check` and `nettrace databases`, as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def nettrace(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nettrace", *args], input=stdin, capture_output=True, text=True, check=False
    )


def test_a_claim_in_a_pipe_is_one_json_object_and_exit_code_0_whatever_the_verdict() -> None:
    done = nettrace("claim", "check", "EWR -> SIN 40ms")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    made = json.loads(line)
    assert {key: made[key] for key in ("schema", "verdict")} == {
        "schema": "nettrace.claim/1",
        "verdict": "impossible",
    }
    assert made["floor_ms"] == pytest.approx(102.3, abs=0.05)
    assert made["fibre_ms"] == pytest.approx(150.1, abs=0.05)
    assert made["distance_km"] == pytest.approx(15_331, abs=1)


def test_southern_latitudes_are_no_options() -> None:
    done = nettrace("claim", "check", "-o", "ndjson", "-33.9,151.2 -> Tokyo 100 ms")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "possible"


def test_claims_come_from_a_file_too() -> None:
    done = nettrace(
        "claim", "check", "-f", "-", "-o", "json", stdin="# a remark\nSIN->NRT 10 ms\n\nSIN->Atlantis 1 ms\n"
    )
    assert [each["verdict"] for each in json.loads(done.stdout)] == ["impossible", "unknown_place"]


@pytest.mark.parametrize("text", ["hello", "EWR -> SIN", ""])
def test_what_is_no_claim_ends_with_2_and_an_example(text: str) -> None:
    done = nettrace("claim", "check", text)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "EWR -> SIN 40ms" in done.stderr


def test_without_a_claim_usage_is_shown() -> None:
    assert nettrace("claim", "check").returncode == 2


def test_a_table_names_the_places_that_were_understood() -> None:
    done = nettrace("claim", "check", "-o", "table", "NRT -> Portland, ME 80ms")
    assert "Tokyo, JP -> Portland, US" in done.stdout
    assert "\x1b" not in done.stdout


def test_databases_are_added_listed_asked_and_removed(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("192.0.2.0/24,64500,EXAMPLE\nbad\n")
    folder = ("--folder", str(tmp_path / "db"))
    done = nettrace("databases", "add", "asn", str(table), "--licence", "CC0", *folder)
    assert done.returncode == 0, done.stderr
    assert "line 2 skipped" in done.stderr
    rows = [json.loads(line) for line in nettrace("databases", "list", *folder).stdout.splitlines()]
    assert [(row["kind"], row["installed"]) for row in rows] == [
        ("asn", True),
        ("city", False),
        ("ixp", False),
    ]
    assert rows[0]["licence"] == "CC0"
    found = json.loads(nettrace("databases", "lookup", "192.0.2.1", *folder).stdout)
    assert (found["asn"], found["as_name"]) == (64500, "EXAMPLE")
    assert nettrace("databases", "remove", "asn", *folder).returncode == 0
    assert json.loads(nettrace("databases", "lookup", "192.0.2.1", *folder).stdout)["asn"] is None


def test_update_without_a_name_and_nothing_fetched_before_asks_for_one(tmp_path: Path) -> None:
    done = nettrace("databases", "update", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert "databases sources" in done.stderr
    assert (
        nettrace(
            "databases", "update", "--from", "http://127.0.0.1:1/x", "--folder", str(tmp_path)
        ).returncode
        == 2
    )
