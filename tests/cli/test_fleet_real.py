"""From an empty fleet.toml to a node the hub hears, drained, destroyed and revoked: real hub, real node, loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from nettrace.hub.assignment import SETTING, Orders
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.target import Endpoint, Role, Target


def until(what: Callable[[], bool], log: Path) -> None:
    for _ in range(1200):
        with suppress(OSError):
            if what():
                return
        time.sleep(0.05)
    pytest.fail(f"it never came to that: {log.read_text()[-500:]}")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Data, str]]:
    """A hub whose one target is its own port; nothing leaves loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    data = Data(tmp_path / "hub")
    store = open_writer(data)
    endpoint = Endpoint(name="rest", host="127.0.0.1", role=Role.API, port=int(bind.rpartition(":")[2]))
    store.put_targets(
        [Target(host="here.example", name="Here", category="crypto", endpoints=(endpoint,))], time.time_ns()
    )
    orders = Orders(open_networks=("127.0.0.0/8",), mesh=False)
    store.put_setting(SETTING, msgspec.json.encode(orders), time.time_ns())
    store.close()
    command = [
        sys.executable,
        "-m",
        "nettrace",
        "up",
        "--no-node",
        "--workers",
        "1",
        "--bind",
        bind,
        "--data",
        str(data.folder),
    ]
    log = tmp_path / "hub.log"
    with log.open("wb") as out:
        running = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        until(lambda: urllib.request.urlopen(f"http://{bind}/readyz", timeout=5).status == 200, log)
        yield data, f"http://{bind}"
    finally:
        running.terminate()
        assert running.wait(20) == 0


def test_a_fleet_of_real_nodes_from_the_file_to_the_end(hub: tuple[Data, str], tmp_path: Path) -> None:
    data, url = hub
    file = tmp_path / "fleet.toml"
    file.write_text(f'hub = "{url}"\n[[machines]]\nprovider = "local"\nname = "here"\ncount = 2\n')

    def fleet(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nettrace", "fleet", *words, "--data", str(data.folder)],
            capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip

    of = ("--file", str(file))
    token = fleet("plan", *of).stdout.rpartition("--confirm ")[2].strip()
    try:
        applied = fleet("apply", *of, "--confirm", token)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        until(lambda: fleet("status", *of).stdout.count("ok  nettrace-here-") == 2, tmp_path / "hub.log")
        assert "0 steps" in fleet("apply", *of).stdout
        assert fleet("drain", "here-1").returncode == 0
        assert "BAD nettrace-here-1" in fleet("status", *of).stdout
    finally:
        right = fleet("destroy", "--all", *of).stdout.rpartition("--confirm ")[2].strip()
        gone = fleet("destroy", "--all", *of, "--confirm", right)
    assert gone.returncode == 0, gone.stdout + gone.stderr
    reader = open_reader(data)
    assert {row.vantage.state for row in reader.nodes()} == {"revoked"}
    reader.close()
    assert not list((data.folder / "fleet").glob("nettrace-*"))
