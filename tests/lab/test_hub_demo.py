"""`nettrace demo`: a hub and a node at every vantage of a lab, in one command that leaves nothing behind."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nettrace.lab.permission import lab_obstacle

pytestmark = pytest.mark.lab


def demo(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "nettrace",
        "demo",
        "--bind",
        "127.0.0.1:0",
        "--interval",
        "2",
        "--once",
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


def test_every_vantage_of_a_lab_reports_to_a_hub_outside_of_it(tmp_path):
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.skip(str(obstacle))
    ran = demo("small", "--data", str(tmp_path / "d"))
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"^ +http://127\.0\.0\.1:\d+$", ran.stdout, re.MULTILINE)
    assert "all 2 vantages report" in ran.stdout
    assert ran.stdout.endswith("Everything is torn down.\n")
    assert_nothing_runs_on(tmp_path)


def test_where_there_is_no_lab_one_node_measures_servers_on_loopback(tmp_path):
    ran = demo("--plain", "--data", str(tmp_path / "d"))
    assert ran.returncode == 0, ran.stderr
    assert "all 1 vantages report" in ran.stdout
    assert_nothing_runs_on(tmp_path)


def assert_nothing_runs_on(folder: Path) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert bytes(folder) not in words, words
