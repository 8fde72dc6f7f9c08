"""`nettrace store`: what an operator types when a disk has lied."""

import json
import os
import subprocess
from pathlib import Path

from bench.faults import enrol
from tests.cli.program import PATIENCE_S, PROGRAM


def run(*given: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "store", *given], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_check_backup_damage_check_restore_check(tmp_path: Path) -> None:
    data, backup, again = (tmp_path / name for name in ("data", "backup", "again"))
    enrol(data)
    assert run("check", "--data", data).returncode == 0
    made = run("backup", backup, "--data", data)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["files"] == 1
    os.truncate(data / "hub.sqlite", 8192)
    found = run("check", "--data", data)
    assert found.returncode == 1
    assert "nettrace store restore" in json.loads(found.stdout.splitlines()[0])["remedy"]
    assert run("restore", backup, "--data", again).returncode == 0
    assert run("check", "--data", again).returncode == 0


def test_what_cannot_be_done_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    nothing = run("check", "--data", tmp_path / "nothing")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "nettrace up" in nothing.stderr
    enrol(tmp_path / "data")
    full = run("backup", tmp_path / "data", "--data", tmp_path / "data")
    assert full.returncode == 1
    assert "Back up into a new folder" in full.stderr
    assert len(full.stderr.splitlines()) == 1
