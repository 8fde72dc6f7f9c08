"""Processes of a hub killed at random under load: what was acknowledged is there, once, and the store is sound."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from bench.hub_faults import NODE, WORKER, WRITER, Remains, storm
from bench.hub_processes import Hub, Patience, Stuck, queued_s

from nettrace.hub.place import Data


def assert_nothing_lost(left: Remains) -> None:
    assert (left.lost, left.doubled, left.wrong, left.went_back, left.faults) == (0, 0, 0, (), ())
    assert left.rows > 100
    assert left.broken > 0, "no call was ever cut short: the storm proved nothing"


async def test_a_writer_killed_at_any_moment_loses_and_doubles_nothing_it_acknowledged(tmp_path):
    assert_nothing_lost(await storm(tmp_path / "hub", kills=18, longest_s=0.1))


async def test_neither_do_api_workers_nodes_writer_and_seal_job_killed_in_one_storm(tmp_path):
    left = await storm(tmp_path / "hub", kills=8, workers=2, real=1, longest_s=0.1, seed=5)
    assert_nothing_lost(left)
    assert left.acknowledged <= left.rows
    assert set(left.killed) >= {NODE, WORKER, WRITER}  # and SEAL, when the moment was met


def test_a_hub_is_stuck_when_it_could_run_and_not_while_it_waits_for_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, queued = 100.0, 7.0
    monkeypatch.setattr("bench.hub_processes.time.monotonic", lambda: clock)
    monkeypatch.setattr("bench.hub_processes.queued_s", lambda _: queued)
    hub = Hub(Data(tmp_path), 0)
    hub.processes["writer"] = subprocess.Popen(["sleep", "60"])
    patience = Patience(hub)
    clock, queued = clock + 300, queued + 290
    patience.look()
    assert patience.spent_s == 10
    clock += 21
    with pytest.raises(Stuck, match=r"no progress in 30 s of a hub that could run.*writer None"):
        patience.look()
    hub.end("writer", signal.SIGTERM)


def test_how_long_a_process_waited_for_a_cpu_is_what_the_kernel_says() -> None:
    assert 0 < queued_s(os.getpid()) < time.clock_gettime(time.CLOCK_BOOTTIME)
    assert queued_s(2**22 + 1) == 0
