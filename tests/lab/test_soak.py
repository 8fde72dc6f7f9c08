"""A fleet in the lab under faults: a short soak of what `python -m bench.soak` runs for as long as wanted."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.lab, pytest.mark.root]
ROOT = Path(__file__).parents[2]


def test_nothing_acknowledged_is_lost_or_doubled_no_gap_unexplained_and_nobody_forged_gets_in(
    lab_permitted: None, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "bench.soak",
        "--nodes",
        "3",
        "--targets",
        "12",
        "--interval",
        "3",
        "--pause",
        "0.5",
    ]
    done = subprocess.run(
        [*command, "--minutes", "0.15", "--seed", "11", "--keep", str(tmp_path / "soak")],
        capture_output=True, text=True, timeout=240, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0, doubled 0, invented 0" in done.stdout
    assert "unexplained 0" in done.stdout
    assert "rolling upgrade: 3 nodes" in done.stdout
