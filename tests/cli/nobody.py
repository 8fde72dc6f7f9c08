"""The program as uid 65534 without one capability, home or variable: as strict containers run it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import nettrace

UID = "65534"


def nobodys_program(folder: Path) -> tuple[str, ...]:
    """What stands before `nettrace`'s own words; the test is skipped where no Python is open to other users.

    The package is copied to `folder`, which nobody may read: checkouts often stand where only their owner may go.
    """
    source = Path(nettrace.__file__).parent
    copied = shutil.copytree(source, folder / "nettrace", ignore=shutil.ignore_patterns("__pycache__"))
    for each in (*folder.parents, folder, copied, *copied.rglob("*")):
        if each.is_relative_to("/tmp"):
            each.chmod(each.stat().st_mode | (0o555 if each.is_dir() else 0o444))
    libraries = [path for path in sys.path if "site-packages" in path]
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        words = (
            "setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", "--bounding-set", "-all", "--no-new-privs",
            "env", "-i", "PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1",
            f"PYTHONPATH={os.pathsep.join([str(folder), *libraries])}", python, "-m", "nettrace",
        )  # fmt: skip
        if _works((*words, "--version")):
            return words
    pytest.skip("no Python here that other users may run")


def _works(words: Sequence[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
