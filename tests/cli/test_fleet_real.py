"""From an empty fleet.toml to nodes the hub hears, upgraded, drained, destroyed and revoked: real hub and nodes, loopback."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.ports import held_port

from nettrace.cli.root import group
from nettrace.hub.assignment import SETTING, Orders, cadence
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.target import Endpoint, Role, Target


def until(what: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 150  # a hang: a hub that cannot start says so before
    while time.monotonic() < deadline:
        with suppress(OSError):
            if what():
                return
        time.sleep(0.05)
    pytest.fail(f"it never came to that: {log.read_text()[-500:]}")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Data, str]]:
    """A hub whose one target is its own port; nothing leaves loopback."""
    held = held_port()
    bind = f"127.0.0.1:{held.getsockname()[1]}"
    data = Data(tmp_path / "hub")
    store = open_writer(data)
    endpoint = Endpoint(name="rest", host="127.0.0.1", role=Role.API, port=int(bind.rpartition(":")[2]))
    store.put_targets(
        [Target(host="here.example", name="Here", category="crypto", endpoints=(endpoint,))], time.time_ns()
    )
    orders = Orders(cadence=cadence(1.0), open_networks=("127.0.0.0/8",), mesh=False)
    store.put_setting(SETTING, msgspec.json.encode(orders), time.time_ns())
    store.close()
    asked = f"-m nettrace up --no-node --workers 1 --bind {bind} --data"
    command = [sys.executable, *asked.split(), str(data.folder)]
    log = tmp_path / "hub.log"
    with log.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        until(lambda: urllib.request.urlopen(f"http://{bind}/readyz", timeout=5).status == 200, log)
        yield data, f"http://{bind}"
    finally:
        running.terminate()
        held.close()
        assert running.wait(60) == 0


def release(folder: Path, version: str, broken: str = "") -> str:
    """NetTrace as another release: what it runs is this tree, what it says of itself is not."""
    program = folder / f"nettrace-{version}"
    program.write_text(
        f"#!{sys.executable}\nimport sys, nettrace\nnettrace.__version__ = {version!r}\n{broken}\n"
        "from nettrace.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o700)
    return str(program)


def test_a_fleet_of_real_nodes_from_the_file_to_the_end(hub: tuple[Data, str], tmp_path: Path) -> None:
    data, url = hub
    file = tmp_path / "fleet.toml"

    def write(program: str) -> None:
        file.write_text(
            f'hub = "{url}"\n[local]\nprogram = ["{program}"]\n'
            '[[machines]]\nprovider = "local"\nname = "here"\ncount = 2\n'
        )

    def fleet(*words: str) -> Result:
        return CliRunner().invoke(group, ["fleet", *words, "--data", str(data.folder)])

    def upgrade(to: str) -> Result:
        words = ("upgrade", *of, "--to", to, "--patience", "120")
        token = str(fleet(*words).exception).rpartition("--confirm ")[2].split()[0]
        return fleet(*words, "--confirm", token)

    def nodes() -> list[tuple[str, str, str]]:
        reader = open_reader(data)
        try:
            return sorted(
                (row.vantage.node, row.vantage.version, row.vantage.state) for row in reader.nodes()
            )
        finally:
            reader.close()

    of = ("--file", str(file))
    write(release(tmp_path, "1.0"))
    token = fleet("plan", *of).stdout.rpartition("--confirm ")[2].strip()
    try:
        applied = fleet("apply", *of, "--confirm", token)
        assert applied.exit_code == 0, applied.output
        until(lambda: fleet("status", *of).stdout.count("ok  nettrace-here-") == 2, tmp_path / "hub.log")
        assert "0 steps" in fleet("apply", *of).stdout
        first = nodes()

        write(release(tmp_path, "2.0"))
        done = upgrade("2.0")
        assert done.exit_code == 0, done.output
        assert "2 replaced, all well" in done.stdout
        assert nodes() == [(node, "2.0", "active") for node, _, _ in first], "the same nodes, another version"
        assert "0 to replace" in fleet("upgrade", *of, "--to", "2.0").stdout

        write(release(tmp_path, "3.0", broken="if 'node' in sys.argv: sys.exit('a library is missing')"))
        stopped = upgrade("3.0")
        assert stopped.exit_code == 1, stopped.output
        assert "0 replaced, 1 failed (nettrace-here-1), 1 left alone" in str(stopped.exception)
        assert "a library is missing" in stopped.stdout
        assert nodes() == [(node, "2.0", "active") for node, _, _ in first], "what ran before runs again"

        assert fleet("drain", "here-1").exit_code == 0
        assert "BAD nettrace-here-1" in fleet("status", *of).stdout
    finally:
        right = fleet("destroy", "--all", *of).stdout.rpartition("--confirm ")[2].strip()
        gone = fleet("destroy", "--all", *of, "--confirm", right)
    assert gone.exit_code == 0, gone.output
    assert {state for _, _, state in nodes()} == {"revoked"}
    assert not list((data.folder / "fleet").glob("nettrace-*"))
