"""How a machine is: by files of the kernel's form, and by gauge files that somebody wrote lately."""

import os
from pathlib import Path

from nettrace.model.vantage import Load
from nettrace.runtime.machine import Machine, lags


def kernel(folder: Path, busy: int, idle: int) -> Path:
    (folder / "self").mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 7 7\ncpu0 1 1 1 1\n")
    (folder / "meminfo").write_text(
        "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  250 kB\nHugePages_Total: 0\n"
    )
    (folder / "self" / "status").write_text("Name:\tpython\nVmRSS:\t   64 kB\n")
    return folder


def test_cpu_counts_from_sample_to_sample_and_the_rest_is_what_the_kernel_says(tmp_path: Path) -> None:
    proc = kernel(tmp_path / "proc", 1000, 1000)
    machine = Machine(tmp_path, proc=proc)
    assert machine.sample().cpu_percent is None  # nothing has passed yet
    kernel(proc, 1030, 1070)
    made = machine.sample()
    assert (made.cpu_percent, made.memory_percent, made.rss_bytes) == (30.0, 75.0, 65_536)
    assert made.disk_bytes and made.disk_used_bytes is not None and made.disk_used_bytes <= made.disk_bytes


def test_what_the_kernel_does_not_tell_is_not_measured(tmp_path: Path) -> None:
    made = Machine(tmp_path / "nowhere", proc=tmp_path / "no-proc").sample()
    assert (made.cpu_percent, made.memory_percent, made.disk_percent, made.rss_bytes) == (
        None,
        None,
        None,
        None,
    )


def test_lags_are_read_from_fresh_files_and_from_lines_of_the_right_form_alone(tmp_path: Path) -> None:
    (tmp_path / "pg.prom").write_text(
        "# TYPE nettrace_replication_lag_seconds gauge\n"
        'nettrace_replication_lag_seconds{endpoint="pg-sin"} 0.25\n'
        'nettrace_replication_lag_seconds{endpoint="pg-lon"} NaN\n'
        'nettrace_replication_lag_seconds{endpoint="minus"} -1\n'
        'node_load1{endpoint="x"} 3\n'
    )
    (tmp_path / "old.prom").write_text('nettrace_replication_lag_seconds{endpoint="old"} 9\n')
    (tmp_path / "other.txt").write_text('nettrace_replication_lag_seconds{endpoint="txt"} 9\n')
    now = (tmp_path / "pg.prom").stat().st_mtime
    os.utime(tmp_path / "old.prom", (now - 301, now - 301))
    assert lags(tmp_path, now) == {"pg-sin": 0.25}
    assert lags(tmp_path, now + 301) == {}  # a writer that died leaves no figure behind
    assert lags(tmp_path / "nowhere", now) == {}


def test_many_lags_are_cut_so_that_the_hub_takes_the_report(tmp_path: Path) -> None:
    lines = (f'nettrace_replication_lag_seconds{{endpoint="e{number}"}} {number}' for number in range(100))
    path = tmp_path / "many.prom"
    path.write_text("\n".join(lines))
    found = lags(tmp_path, path.stat().st_mtime)
    assert len(found) == 32
    assert Load(replication_lag_s=found)
