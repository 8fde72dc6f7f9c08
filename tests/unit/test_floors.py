"""The floors hold because a breach is caught, not because nobody tried."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BREACHES = {
    "a clock in a pure core": ("measure/tracing/flow.py", "import time\n"),
    "a pure core that opens sockets": ("wire/documents.py", "import socket\n"),
    "an import that runs up": ("model/instant.py", "import nettrace.cli.exits\n"),
    "a heavy library in a prober": ("measure/probing/__init__.py", "import numpy\n"),
    "a room nobody planned": ("utils/__init__.py", ""),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--config", "pyproject.toml"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("breach", BREACHES)
def test_a_planted_breach_is_caught(tmp_path: Path, breach: str) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    name, line = BREACHES[breach]
    path = tmp_path / "src" / "nettrace" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + line)

    done = _lint(tmp_path)

    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr, done.stderr


def test_the_house_as_it_stands_keeps_its_floors() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
