"""`nettrace demo`: a hub and a node at every vantage of a lab, in one command that leaves nothing behind."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from nettrace.lab.permission import lab_obstacle
from nettrace.lab.truth import Oracle
from nettrace.lab.worldfile import load

pytestmark = pytest.mark.lab
PATIENCE_S = 90.0


def command(folder: Path, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "nettrace", "demo", "--bind", "127.0.0.1:0", "--interval", "2", "--data", str(folder), *words,
    ]  # fmt: skip


def call(method: str, url: str, body: object = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, method=method, data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def line_with(process: "subprocess.Popen[str]", words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if re.search(words, line):
            return line
    pytest.fail(f"it ended without '{words}'")


def test_every_vantage_of_a_lab_reports_to_a_hub_outside_and_measures_what_somebody_asks_for_now(tmp_path):
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.skip(str(obstacle))
    with subprocess.Popen(command(tmp_path / "d", "small"), stdout=subprocess.PIPE, text=True) as process:
        try:
            url = line_with(process, r"^ +http://127\.0\.0\.1:\d+$").strip()
            line_with(process, "all 2 vantages report")
            oracle = Oracle(load("small"))
            vantages = list(oracle.topology.vantages)
            asked = {"target": "west.lab", "method": "tcp", "regions": vantages, "probes": 3}
            made = call("POST", f"{url}/api/v1/measurements", asked)
            deadline = time.monotonic() + PATIENCE_S
            while made["state"] != "finished":
                assert time.monotonic() < deadline, made
                time.sleep(0.1)
                made = call("GET", f"{url}/api/v1/measurements/{made['id']}")
            found = {row["region"]: row["rtt_ms"] for row in made["results"]}
            assert found.keys() == set(vantages)
            for vantage, rtt_ms in found.items():  # late by as much as a busy machine likes, never early
                assert rtt_ms > oracle.pair(vantage, "west.lab")["rtt_ms"] - 0.5
        finally:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert said.endswith("Everything is torn down.\n")
    assert_nothing_runs_on(tmp_path)


def test_where_there_is_no_lab_one_node_measures_servers_on_loopback(tmp_path):
    ran = subprocess.run(
        command(tmp_path / "d", "--plain", "--once"), capture_output=True, text=True, timeout=150, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "all 1 vantages report" in ran.stdout
    assert ran.stdout.endswith("Everything is torn down.\n")
    assert_nothing_runs_on(tmp_path)


def assert_nothing_runs_on(folder: Path) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert bytes(folder) not in words, words
