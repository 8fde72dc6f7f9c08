"""A lab's life: events while it runs, and that nothing of it is left however it ends."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nettrace.errors import LabError
from nettrace.lab import state
from nettrace.lab.session import RunningLab
from nettrace.lab.world import Event
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_permitted")]
PATIENCE_S = 60.0
FLOW = flow_for("x", Method.ICMP)


@pytest.fixture
def own_lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    with RunningLab.start("small", name=f"own-{os.getpid()}") as lab:
        yield lab


def least_ms(lab: RunningLab, vantage: str, target: str, *more: str) -> float:
    done = lab.run(vantage, ["ping", "-4", "-n", "-c", "3", "-i", "0.2", *more, target])
    found = re.search(
        r"min/avg/max/mdev = ([0-9.]+)/", done.stdout
    )  # a line's own `time=` is cut to whole ms above 100
    assert found is not None, done.stdout
    return float(found[1])


def eventually(holds: object) -> bool:
    """Whether the condition comes true while one may still hope."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def processes_of(lab: RunningLab) -> set[int]:
    """The supervisor, its children, and whatever runs in the lab's namespaces."""
    supervisor = lab.status().pid
    spaces = {Path(f"/proc/{supervisor}/ns/net").stat().st_ino}
    for entry in Path(f"/proc/{supervisor}/fd").iterdir():
        with contextlib.suppress(OSError):  # a descriptor the supervisor closed meanwhile
            spaces |= {entry.stat().st_ino} if "net:" in str(entry.readlink()) else set()
    found = {supervisor}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                inside = (entry / "ns" / "net").stat().st_ino in spaces
            except OSError:
                continue
            if inside or parent == supervisor:
                found.add(int(entry.name))
    return found


@pytest.mark.tool("ping")
def test_events_change_what_packets_meet_and_the_truth_with_it(own_lab: RunningLab) -> None:
    before = own_lab.oracle().path("nyc", "west.lab", FLOW)
    own_lab.happen(Event(kind="cut", subject="plains-1"))
    after = own_lab.oracle().path("nyc", "west.lab", FLOW)
    assert after.rtt_ns > before.rtt_ns and after.as_path != before.as_path
    assert least_ms(own_lab, "nyc", "west.lab") >= after.rtt_ns / 1e6
    own_lab.happen(Event(kind="restore", subject="plains-1"))
    assert before.rtt_ns / 1e6 <= least_ms(own_lab, "nyc", "west.lab") < after.rtt_ns / 1e6
    own_lab.happen(Event(kind="congest", subject="east-1", delay_ms=100.0))
    assert least_ms(own_lab, "nyc", "west.lab") >= before.rtt_ns / 1e6 + 200


@pytest.mark.tool("ping")
def test_a_narrow_cable_says_its_mtu_and_cuts_what_may_be_cut(own_lab: RunningLab) -> None:
    own_lab.happen(Event(kind="cut", subject="plains-1"))
    told = own_lab.run("nyc", ["ping", "-4", "-c", "1", "-W", "10", "-M", "do", "-s", "1450", "west.lab"])
    assert "mtu = 1400" in told.stdout + told.stderr or "mtu=1400" in told.stdout + told.stderr
    cut = own_lab.run("nyc", ["ping", "-4", "-c", "1", "-W", "10", "-M", "dont", "-s", "1450", "west.lab"])
    assert "1 received" in cut.stdout


@pytest.mark.tool("ping")
def test_a_dead_site_takes_its_hosts_along_and_moves_anycast(own_lab: RunningLab) -> None:
    own_lab.happen(Event(kind="kill", subject="sfo"))
    done = own_lab.run("nyc", ["ping", "-4", "-c", "1", "-W", "10", "west.lab"])
    assert "Destination Net Unreachable" in done.stdout
    own_lab.happen(Event(kind="revive", subject="sfo"))
    assert least_ms(own_lab, "nyc", "west.lab") > 40


def test_an_event_that_cannot_be_is_refused_and_harms_nothing(own_lab: RunningLab) -> None:
    with pytest.raises(LabError, match="no cable 'nowhere'"):
        own_lab.happen(Event(kind="cut", subject="nowhere"))
    assert own_lab.status().conditions.cut == frozenset()


def test_events_of_the_file_happen_by_themselves(tmp_path: Path) -> None:
    from nettrace.lab.worldfile import read

    (tmp_path / "planned.toml").write_text(
        read("small") + '[[event]]\nkind = "cut"\nsubject = "plains-1"\nat_s = 0.2\n', encoding="utf-8"
    )
    with RunningLab.start(str(tmp_path / "planned.toml"), name=f"planned-{os.getpid()}") as lab:
        assert eventually(lambda: "plains-1" in lab.conditions().cut)


@pytest.mark.parametrize("device", ["tun", "veth"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_however_it_ends(how: signal.Signals, device: str) -> None:
    if device == "tun" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("TUN devices are not permitted here")
    lab = RunningLab.start("small", name=f"killed-{how.name}-{device}-{os.getpid()}", device=device)
    sleeper = subprocess.Popen([*lab.prefix("nyc"), "sleep", "3600"])
    try:
        assert eventually(lambda: sleeper.pid in processes_of(lab))
        inside = processes_of(lab)
        assert len(inside) >= 4  # supervisor, guardian, router, services and the sleeper
        os.kill(lab.status().pid, how)
        assert sleeper.wait(PATIENCE_S) == -signal.SIGKILL
        lab.stop()
        assert eventually(lambda: not any(alive(pid) for pid in inside))
        assert eventually(
            lambda: not lab.home.exists() and not lab.home.with_name(lab.home.name + ".lock").exists()
        )
    finally:
        sleeper.kill()
        sleeper.wait()
        lab.stop()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_the_name_is_free_again_after_a_crash_and_taken_while_up() -> None:
    name = f"again-{os.getpid()}"
    first = RunningLab.start("small", name=name)
    with pytest.raises(LabError, match="is up already"):
        RunningLab.start("small", name=name)
    assert first.status().name == name
    os.kill(first.status().pid, signal.SIGKILL)
    first.stop()
    assert eventually(lambda: not first.home.exists())
    with RunningLab.start("small", name=name) as second:
        assert second.status().world == "small"


def test_a_lab_ends_with_whoever_started_it() -> None:
    name = f"orphan-{os.getpid()}"
    program = f"""
import contextlib
import os
from nettrace.lab.session import RunningLab
lab = RunningLab.start("small", name="{name}")
print(lab.status().pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert eventually(lambda: not alive(int(done.stdout)))
    assert eventually(lambda: not state.folder(name).exists())


def test_a_world_that_cannot_be_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('name = "bad"\n', encoding="utf-8")
    name = f"bad-{os.getpid()}"
    with pytest.raises(LabError, match="missing required field"):
        RunningLab.start(str(tmp_path / "bad.toml"), name=name)
    assert not state.folder(name).exists()


@pytest.mark.tool("ping")
def test_it_works_in_a_user_namespace_over_veth() -> None:
    with RunningLab.start("small", name=f"user-{os.getpid()}", device="veth", unprivileged=True) as lab:
        status = lab.status()
        assert (status.unprivileged, status.device) == (True, "veth")
        true = lab.oracle().path("nyc", "west.lab", FLOW)
        assert least_ms(lab, "nyc", "west.lab") >= true.rtt_ns / 1e6
        program = 'import urllib.request; print(urllib.request.urlopen("https://west.lab/bytes/300000").read().__len__())'
        assert lab.run("nyc", [sys.executable, "-c", program]).stdout.strip() == "300000"


@pytest.mark.root
@pytest.mark.tool("ping")
def test_a_user_without_any_rights_has_a_lab_too(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    shared = tmp_path / "shared"
    source = Path(sys.modules["nettrace"].__file__ or "").parent
    shutil.copytree(source, shared / "nettrace", ignore=shutil.ignore_patterns("__pycache__"))
    (shared / "home").mkdir()
    for each in (shared, *shared.rglob("*"), *shared.parents):
        if each.is_relative_to("/tmp"):
            each.chmod(each.stat().st_mode | 0o555)
    os.chown(shared / "home", nobody.pw_uid, nobody.pw_gid)
    environment = {"HOME": str(shared / "home"), "TMPDIR": str(shared / "home"), "PATH": os.environ["PATH"]}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(shared), *[path for path in sys.path if "site-packages" in path]]
    )

    def as_nobody(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=shared,
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
        )  # fmt: skip

    def can_run(interpreter: str) -> bool:
        try:
            return as_nobody(interpreter, "-m", "nettrace", "--version").returncode == 0
        except OSError:
            return False

    candidates = [sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"]
    python = next(filter(can_run, candidates), None)
    if python is None:
        pytest.skip("no Python here that other users may run")

    def nettrace(*words: str) -> "subprocess.CompletedProcess[str]":
        return as_nobody(str(python), "-m", "nettrace", *words)

    up = nettrace("lab", "up", "small", "--detach")
    assert "user namespace" in up.stdout, up.stderr
    try:
        pinged = nettrace("lab", "exec", "nyc", "--", "ping", "-4", "-c", "2", "-i", "0.2", "west.lab")
        assert "2 received" in pinged.stdout, pinged.stderr
    finally:
        down = nettrace("lab", "down")
    assert down.returncode == 0, down.stderr
    assert not list((shared / "home").glob("nettrace-lab-*/*"))
