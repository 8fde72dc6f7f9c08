"""How the command starts: quickly, and as any other program once it runs."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc, sys
from nettrace.__main__ import main
try:
    main()
except SystemExit as end:
    print(end.code, gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [(["completion", "bash"], 0), (["--fail-if", "nonsense"], 2)],
    ids=["command", "snapshot"],
)
def test_garbage_is_collected_again_once_the_modules_are_loaded_and_never_theirs(
    words: list[str], code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=180, check=True
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == f"{code} True True"
