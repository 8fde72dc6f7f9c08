"""What a start costs: modules loaded, not milliseconds. And completion, which is a start at every Tab."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.program import PROGRAM, nettrace

HEAVY = {
    "rich",
    "numpy",
    "pandas",
    "pydantic",
    "urllib.request",
    "xml",
    "sqlite3",
    "multiprocessing",
    "unittest",
}
STREAMS = {"h11", "websockets"}
RUN = """
import json, runpy, sys
sys.argv = ["nettrace", *json.loads(sys.argv[1])]
try:
    runpy.run_module("nettrace", run_name="__main__")
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def loaded(*words: str) -> set[str]:
    """The modules in memory when a command ends."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(words)], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "words", [("--version",), ("--help",), ("ping", "--help"), ("trace", "--help")], ids=" ".join
)
def test_words_about_itself_need_no_network_and_no_event_loop(words: tuple[str, ...]) -> None:
    modules = loaded(*words)
    assert not modules & {*HEAVY, *STREAMS, "asyncio", "ssl", "socket", "ctypes", "csv"}
    assert not {name for name in modules if name.startswith(("nettrace.measure", "nettrace.lab"))}


@pytest.mark.parametrize(
    "words",
    [
        ("ping", "127.0.0.1", "-n", "1"),
        ("trace", "127.0.0.1"),
        ("sweep", "127.0.0.1"),
        ("doctor",),
        ("claim", "check", "EWR -> SIN 40ms"),
    ],
    ids=lambda words: words[0],
)
def test_a_measurement_loads_only_what_it_needs(words: tuple[str, ...]) -> None:
    modules = loaded(*words)
    assert not modules & {*HEAVY, *STREAMS}
    assert not {name for name in modules if name.startswith("nettrace.lab") and words[0] != "doctor"}


def test_the_measuring_rooms_themselves_are_light() -> None:
    everything = "import importlib, json, pkgutil, sys; import nettrace.measure as room\n"
    everything += "for each in pkgutil.walk_packages(room.__path__, room.__name__ + '.'): importlib.import_module(each.name)\n"
    everything += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", everything], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    assert not modules & {"rich", "click", "numpy", "pandas", "pydantic", "sqlite3", "urllib.request"}
    assert {"h11", "websockets", "asyncio"} <= modules, "nothing was loaded: the test would prove nothing"


def completed(tmp_path: Path, line: str) -> set[str]:
    """What bash offers at the end of this line."""
    program = tmp_path / "nettrace"
    program.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "completion.bash"
    script.write_text(nettrace("completion", "bash").out)
    words = line.split(" ")
    ask = (
        f"PATH={tmp_path}:$PATH; source {script}\n"
        f"COMP_WORDS=({' '.join(word or repr('') for word in words)}); COMP_CWORD={len(words) - 1}\n"
        '_nettrace_completion nettrace; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("nettrace ", {"ping", "trace", "sweep", "http", "ws", "dns", "lab", "doctor", "import", "claim"}),
        ("nettrace tr", {"trace"}),
        ("nettrace trace --m", {"--method", "--max-ttl", "--multipath"}),
        ("nettrace trace --method ", {"icmp", "udp", "tcp"}),
        ("nettrace lab e", {"exec", "event"}),
        ("nettrace ping -o ", {"table", "ndjson", "json", "csv"}),
    ],
)
def test_bash_completes_commands_options_and_choices(tmp_path: Path, line: str, offered: set[str]) -> None:
    assert offered <= completed(tmp_path, line)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_too(shell: str) -> None:
    done = nettrace("completion", shell)
    assert done.code == 0
    assert "_NETTRACE_COMPLETE" in done.out
