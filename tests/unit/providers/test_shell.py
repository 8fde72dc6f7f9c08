"""Nodes as processes: here for real, and on other hosts through a stand-in for `ssh` that runs what it is given."""

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from nettrace.errors import Unreachable
from nettrace.outside.providers.local import LocalMachines
from nettrace.outside.providers.port import Order, Refused, Secret
from nettrace.outside.providers.ssh import SshMachines
from nettrace.placement.fleet import Machine, Wanted
from nettrace.placement.fleet_file import Ssh

TOKEN = "nt_enrol_verysecret"
DEAD_HUB = ("--hub", "http://127.0.0.1:9")  # a node that reaches nobody measures nothing


def order(code: str = "here", provider: str = "local", node: tuple[str, ...] = DEAD_HUB) -> Order:
    return Order(Wanted(f"nt-{code}", code, provider, ("here",), ""), node, Secret(TOKEN))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalMachines]:
    """Processes that wait, as a node does, in the place of `nettrace`; nothing of them is left."""
    machines = LocalMachines("nt", tmp_path / "fleet", (str(sleeper(tmp_path)),))
    yield machines
    for each in machines.machines():
        machines.destroy(each)


def sleeper(folder: Path) -> Path:
    """A program that enrols as a node does (an identity in its folder) and then waits for a signal."""
    program = folder / "node-alike"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, signal, sys\n"
        "at = pathlib.Path(sys.argv[sys.argv.index('--data') + 1]); at.mkdir(exist_ok=True)\n"
        "(at / 'identity.json').write_text('{}'); print('up', *sys.argv[1:], flush=True); signal.pause()\n"
    )
    program.chmod(stat.S_IRWXU)
    return program


def until(what: Callable[[], bool]) -> None:
    """Asks again until it is so; a minute is a hang."""
    for _ in range(3000):
        if what():
            return
        time.sleep(0.02)
    pytest.fail("it never came to that")


def states(machines: LocalMachines) -> list[tuple[str, str]]:
    return sorted((each.name, each.state) for each in machines.machines())


def test_a_process_is_made_found_again_started_again_and_destroyed(
    local: LocalMachines, tmp_path: Path
) -> None:
    made = local.create(order(), "here")
    assert states(local) == [("nt-here", "started")]
    pid = int((tmp_path / "fleet/nt-here/pid").read_text())
    until((tmp_path / "fleet/nt-here/node/identity.json").exists)
    assert local.create(order(), "here").state == "started"
    assert int((tmp_path / "fleet/nt-here/pid").read_text()) == pid, "made once"
    until(lambda: any("--region here" in line for line in local.logs(made, 5)))
    os.kill(pid, 9)
    until(lambda: states(local) == [("nt-here", "stopped")])
    local.start(made)
    assert states(local) == [("nt-here", "started")]
    local.destroy(made)
    local.destroy(made)
    assert (states(local), list((tmp_path / "fleet").glob("nt-*"))) == ([], [])


def another(folder: Path, version: str) -> LocalMachines:
    """The same fleet with another release's program, which tells its version."""
    program = folder / f"release-{version}"
    program.write_text(
        sleeper(folder)
        .read_text()
        .replace(
            "import pathlib, signal, sys\n",
            f"import pathlib, signal, sys\nif '--version' in sys.argv: sys.exit(print('nettrace, version {version}'))\n",
        )
    )
    program.chmod(stat.S_IRWXU)
    return LocalMachines("nt", folder / "fleet", (str(program),))


def test_a_process_is_replaced_by_another_program_on_the_same_folder_and_put_back(
    local: LocalMachines, tmp_path: Path
) -> None:
    made, home, new = local.create(order(), "here"), tmp_path / "fleet/nt-here", another(tmp_path, "9.1")
    until((home / "node/identity.json").exists)
    assert new.version("here") == "9.1"
    (home / "node/spool").write_text("kept")
    first = (home / "command").read_text()
    for _ in range(2):  # once more, after an interruption
        new.replace(made, order())
    assert len(processes(tmp_path)) == 1
    assert "release-9.1" in (home / "command").read_text()
    assert (home / "node/spool").read_text() == "kept"
    new.restore(made)
    new.restore(made)
    assert ((home / "command").read_text(), states(local)) == (first, [("nt-here", "started")])
    assert len(processes(tmp_path)) == 1
    new.replace(made, order())
    new.settle(made)
    new.restore(made)
    assert "release-9.1" in (home / "command").read_text(), "what was settled stays"


def test_what_will_not_start_is_said_so_and_put_back(local: LocalMachines, tmp_path: Path) -> None:
    made = local.create(order(), "here")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such library >&2; exit 1\n")
    broken.chmod(stat.S_IRWXU)
    with pytest.raises(Refused, match="no such library"):
        LocalMachines("nt", tmp_path / "fleet", (str(broken),)).replace(made, order())
    local.restore(made)
    assert states(local) == [("nt-here", "started")]


def test_the_token_is_in_a_file_for_its_owner_and_in_no_command_line(
    local: LocalMachines, tmp_path: Path
) -> None:
    local.create(order(), "here")
    home = tmp_path / "fleet/nt-here"
    assert (home / "token").read_text() == TOKEN
    assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
    cmdline = Path(f"/proc/{(home / 'pid').read_text().strip()}/cmdline").read_bytes()
    assert TOKEN.encode() not in cmdline
    assert TOKEN not in (home / "command").read_text() + (home / "log").read_text()


def test_what_an_interruption_left_half_made_is_finished(local: LocalMachines, tmp_path: Path) -> None:
    home = tmp_path / "fleet/nt-here"
    home.mkdir(parents=True)
    (home / "fleet").write_text("nt")
    assert states(local) == [("nt-here", "unfinished")]
    assert local.create(order(), "here").state == "started"


def test_folders_of_others_are_not_seen_and_not_removed(local: LocalMachines, tmp_path: Path) -> None:
    home = tmp_path / "fleet/nt-here"
    home.mkdir(parents=True)
    (home / "fleet").write_text("another")
    assert states(local) == []
    for do in (
        lambda: local.create(order(), "here"),
        lambda: local.destroy(Machine("local", "x", "nt-here", "here", "?")),
    ):
        with pytest.raises(Refused, match="left alone"):
            do()
    assert (home / "fleet").read_text() == "another"


def test_many_at_once_make_one_process(local: LocalMachines, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: local.create(order(), "here"), range(6)))
    assert states(local) == [("nt-here", "started")]
    until((tmp_path / "fleet/nt-here/node/identity.json").exists)
    assert processes(tmp_path) == [int((tmp_path / "fleet/nt-here/pid").read_text())]


def processes(folder: Path, below: str = "fleet") -> list[int]:
    """Those whose command line names something below the folder."""
    found: list[int] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"{folder}/{below}".encode() in file.read_bytes():
                found.append(int(file.parent.name))
    return found


def test_hostile_words_stay_words(local: LocalMachines, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    made = local.create(
        order(node=(f"$(touch {canary})", f"'; touch {canary}; '", f"`touch {canary}`")), "here"
    )
    until(lambda: any("$(touch" in line for line in local.logs(made, 5)))
    assert not canary.exists()


def test_a_real_node_that_reaches_no_hub_runs_or_says_why(tmp_path: Path) -> None:
    machines = LocalMachines("nt", tmp_path / "fleet")
    try:
        machines.create(order(), "here")
        told = ""
    except Refused as problem:
        told = str(problem)
    (found,) = machines.machines()
    until(lambda: bool(told or machines.logs(found, 5)))
    assert TOKEN not in told + "".join(machines.logs(found, 50))
    machines.destroy(found)
    assert machines.machines() == []


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SshMachines, Path]]:
    """`ssh` of this test's PATH: HOST is a home folder below; a host called `down` is not reached."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/ssh"
    fake.write_text(
        '#!/bin/sh\nprintf \'%s\\n\' "$*" >>"$SSH_CALLS"\n'
        'while [ "$1" != -- ]; do shift; done\n'
        '[ "$2" != down ] || { echo "ssh: connect to host down: No route to host" >&2; exit 255; }\n'
        'export HOME="$SSH_HOMES/$2"; unset XDG_DATA_HOME; mkdir -p "$HOME"; cd "$HOME"; shift 2; exec sh -c "$*"\n'
    )
    fake.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SSH_HOMES", str(tmp_path / "homes"))
    monkeypatch.setenv("SSH_CALLS", str(tmp_path / "calls"))
    machines = SshMachines("nt", Ssh(program=(str(sleeper(tmp_path)),)))
    yield machines, tmp_path
    for each in machines.machines(["root@a", "b"]):
        machines.destroy(each)


def test_hosts_by_ssh_each_their_own_node(ssh: tuple[SshMachines, Path]) -> None:
    machines, folder = ssh
    for host in ("root@a", "b"):
        machines.create(order(host[-1], "ssh"), host)
    found = machines.machines(["root@a", "b", "b"])
    assert [(each.name, each.place, each.state) for each in found] == [
        ("nt-a", "root@a", "started"),
        ("nt-b", "b", "started"),
    ]
    assert (folder / "homes/b/.local/share/nettrace-fleet/nt-b/token").read_text() == TOKEN
    calls = (folder / "calls").read_text()
    assert "BatchMode=yes" in calls
    assert TOKEN not in calls, "by standard input, in no argument"


def test_a_host_that_is_not_reached_is_an_error_not_an_empty_host(ssh: tuple[SshMachines, Path]) -> None:
    with pytest.raises(Unreachable, match="No route to host"):
        ssh[0].machines(["down"])


def test_a_host_without_the_program_says_how_to_install_it(ssh: tuple[SshMachines, Path]) -> None:
    machines = SshMachines("nt", Ssh(program=("no-such-program",)))
    with pytest.raises(Refused, match=r"pipx install nettrace"):
        machines.create(order("b", "ssh"), "b")
    assert machines.machines(["b"])[0].state == "unfinished", "the next apply goes on here"
