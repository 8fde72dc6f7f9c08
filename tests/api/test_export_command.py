"""`nettrace export`: the same rows from the hub's folder and from its API."""

import csv
import io
import shutil
from pathlib import Path

import httpx2
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from tests.api.test_worker import Served, served

from nettrace.cli.commands.export import command
from nettrace.errors import Invalid, NotFound

__all__ = ["served"]
WINDOW = ["--from", "2026-11-20T10:30:00Z", "--to", "2026-11-20T11:00:00Z", "--method", "tcp"]


@pytest.fixture(scope="module")
def folder(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(filled, tmp_path_factory.mktemp("export") / "hub")


def test_rows_of_a_folder(folder: Path) -> None:
    done = CliRunner().invoke(command, ["api.example.com", *WINDOW, "--region", "nyc", "--data", str(folder)])
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 30
    assert {row["vantage"] for row in rows} == {"nyc"}
    assert all(int(row["rtt_ns"]) > 9_000_000 for row in rows)


def test_a_parquet_file_appears_when_it_is_complete(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    words = [
        "api.example.com",
        "b.example.com",
        *WINDOW,
        "--format",
        "parquet",
        "--out",
        str(out),
        "--data",
        str(folder),
    ]
    assert CliRunner().invoke(command, words).exit_code == 0
    assert pq.read_table(out).num_rows == 2 * 3 * 30
    assert list(tmp_path.iterdir()) == [out]


def test_an_unknown_target_or_method_is_said(folder: Path) -> None:
    runner = CliRunner()
    unknown = runner.invoke(command, ["api.exampel.com", "--data", str(folder)])
    assert isinstance(unknown.exception, NotFound)
    assert "api.example.com" in unknown.exception.hint
    assert isinstance(
        runner.invoke(command, ["api.example.com", "--method", "x", "--data", str(folder)]).exception, Invalid
    )
    empty = runner.invoke(
        command, ["api.example.com", "--from", "2020-01-01", "--to", "2020-01-02", "--data", str(folder)]
    )
    assert empty.exit_code == 1


def test_over_the_api_come_the_same_rows(served: Served, folder: Path) -> None:
    assert httpx2.get(f"{served.url}/livez", timeout=60).status_code == 200
    here = CliRunner().invoke(command, ["api.example.com", *WINDOW, "--data", str(folder)])
    there = CliRunner().invoke(command, ["api.example.com", *WINDOW, "--hub", served.url])
    assert there.exit_code == 0, there.output
    rows = sorted(here.stdout.splitlines())
    assert len(rows) == 1 + 3 * 30
    assert rows == sorted(there.stdout.splitlines())
