"""`nettrace lab` as people type it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from nettrace.lab import state

NETTRACE = [sys.executable, "-m", "nettrace"]


def nettrace(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*NETTRACE, "lab", *words], check=False, capture_output=True, text=True)


def test_check_says_what_is_in_a_world() -> None:
    done = nettrace("check", "small")
    assert done.returncode == 0, done.stderr
    assert "5 sites, 7 networks" in done.stdout and "14 pairs" in done.stdout


def test_truth_needs_no_running_lab() -> None:
    done = nettrace("truth", "--world", "small", "--pair", "nyc", "west.lab")
    document = json.loads(done.stdout)
    assert (document["schema"], document["edge"], document["reaches"]) == (
        "nettrace.lab_truth/1",
        "sfo",
        True,
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["truth", "--world", "small", "--pair", "nyc", "nobody"], "no target 'nobody' in the world 'small'"),
        (["status", "--name", "none"], "no lab named 'none' is up"),
        (["event", "--name", "none", "cut", "x"], "no lab named 'none' is up"),
        (["exec", "--name", "none", "nyc", "--", "true"], "no lab named 'none' is up"),
        (["check", "nowhere"], "Built-in worlds: small, world"),
        (["up", "small", "--name", "a/b"], "'a/b' is not a name for a lab"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_1(words: list[str], complaint: str) -> None:
    done = nettrace(*words)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.lab
@pytest.mark.usefixtures("lab_permitted")
def test_up_status_event_exec_down() -> None:
    name = f"typed-{os.getpid()}"
    up = nettrace("up", "small", "--name", name, "--detach")
    assert f"lab '{name}' is up: world small, 2 vantages" in up.stdout, up.stderr
    try:
        assert json.loads(nettrace("status", "--name", name).stdout)["world"] == "small"
        assert json.loads(nettrace("event", "--name", name, "cut", "plains-1").stdout)["cut"] == ["plains-1"]
        truth = json.loads(nettrace("truth", "--name", name, "--pair", "nyc", "west.lab").stdout)
        assert "southern-1" in truth["cables"]
        inside = nettrace("exec", "--name", name, "lon", "--", "sh", "-c", "echo $NETTRACE_LAB; exit 7")
        assert (inside.stdout.strip(), inside.returncode) == (f"{name}:lon", 7)
        assert "no vantage 'xxx'" in nettrace("exec", "--name", name, "xxx", "--", "true").stderr
    finally:
        assert nettrace("down", "--name", name).returncode == 0
    assert not state.folder(name).exists()


@pytest.mark.lab
@pytest.mark.usefixtures("lab_permitted")
def test_the_demo_shows_a_cut_cable_and_no_false_hop() -> None:
    done = nettrace("demo", "small", "--once")
    assert done.returncode == 0, done.stderr
    assert "false hop" not in done.stdout and "not measured" not in done.stdout
    before, after = (done.stdout.split("\n\n")[index] for index in (-2, -1))
    assert "lon-nyc-chi-den-sfo" in before and "plains-1" in before
    assert "lon-nyc-sfo" in after and "The cable plains-1 is cut" in after
    assert "Everything is torn down" in after


@pytest.mark.lab
@pytest.mark.usefixtures("lab_permitted")
def test_control_c_ends_the_demo_and_everything_in_it() -> None:
    process = subprocess.Popen(
        [*NETTRACE, "lab", "demo", "small"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    heard: list[str] = []
    for (
        line
    ) in process.stdout:  # wait for the first measurement, then interrupt the whole group as a terminal does
        heard.append(line)
        if "truth" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    heard += process.stdout.readlines()
    assert process.wait(60) == 130
    process.stdout.close()
    assert not state.folder(f"demo-{process.pid}").exists()
    assert any("truth" in line for line in heard)
