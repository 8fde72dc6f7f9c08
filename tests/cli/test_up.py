"""`nettrace up`: a hub and a node from one command; it starts, refuses, restarts and ends as it says."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from nettrace.cli.footprint import family
from nettrace.hub.keys import well_formed

PATIENCE_S = 180.0
END_S = 5.0


def nettrace(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "nettrace", *map(str, words)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options,
    )  # fmt: skip


@contextmanager
def up(folder: Path, *words, bind="127.0.0.1:0"):
    """A running hub; gives its process and its address."""
    command = [sys.executable, "-m", "nettrace", "up", "--bind", bind, "--data", str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not re.fullmatch(r"http://127\.0\.0\.1:\d+", url):
                process.kill()
                pytest.fail(f"no address, but {url!r}: {process.stderr.read()}")
            yield process, url
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def until(found, what: str):
    deadline = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited for {what} too long"
        time.sleep(0.05)
    return value


def alive(pids) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
def targets(tmp_path):
    """One target on loopback that answers; nodes are forbidden to touch it, and that is what is reported."""
    with listening() as server:
        port = server.getsockname()[1]
        file = tmp_path / "targets.toml"
        file.write_text(
            '[[target]]\nhost = "here.example"\nname = "Here"\ncategory = "Mine"\n[[target.endpoint]]\nname = "x"\n'
            f'host = "127.0.0.1"\nrole = "api"\nport = {port}\nmethods = ["tcp"]\n'
        )
        yield file


@pytest.mark.alone
def test_one_command_measures_keeps_and_serves_and_goes_on_after_a_restart(tmp_path, targets):
    data = tmp_path / "d"
    words = ("--targets", str(targets), "--only-targets", "--interval", "1", "--keep", "raw=365")
    with up(data, *words) as (process, url):

        def measured():
            status, body = fetch(f"{url}/api/v1/targets")
            rows = json.loads(body)["data"] if status == 200 else []
            return [row for row in rows if row["region"] == "local"]

        (row,) = until(measured, "a round")
        assert (row["host"], row["outcome"], row["reason"]) == (
            "here.example",
            "not_measured",
            "not_permitted",
        )
        node = nettrace("fleet", "list", "--data", data).stdout.split()[1]

        refused = nettrace("up", "--no-node", "--bind", "127.0.0.1:0", "--data", data)
        assert refused.returncode == 1
        assert re.search(r"process \d+ writes this data folder", refused.stderr)
        assert len(refused.stderr.splitlines()) == 1

        ends_in_time(process, signal.SIGTERM)
    assert not (data / "writer.sock").exists()

    with up(data, *words) as (process, _):
        listed = nettrace("fleet", "list", "--data", data).stdout
        nodes = [line for line in listed.splitlines() if not line.startswith(" ")]
        assert listed.split()[:2] == ["local", node] and len(nodes) == 1
        assert nettrace("fleet", "revoke", "local", "--data", data).returncode == 0
        assert "revoked" in nettrace("fleet", "list", "--data", data).stdout
        assert nettrace("fleet", "drain", "mars", "--data", data).returncode == 1
        ends_in_time(process, signal.SIGINT)


def ends_in_time(process, number: int) -> None:
    """The signal ends all of it, within the five seconds that are promised and one for a busy machine."""
    everybody = family(process.pid)
    assert len(everybody) >= 5  # supervisor, writer, courier, two API workers
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 0
    assert time.monotonic() - began < END_S + 1.0
    assert alive(everybody) == []


def test_a_crashed_writer_or_worker_is_started_again_and_said(tmp_path):
    with up(tmp_path / "d", "--no-node") as (process, url):
        running = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(process.pid)}
        victims = {
            next(pid for pid, words in running.items() if word in words)
            for word in (b"nettrace.hub.writer", b"nettrace.serve.worker")
        }
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        until(lambda: victims.isdisjoint(family(process.pid)), "the end of both")
        until(lambda: len(family(process.pid)) == 5, "all of them")
        until(
            lambda: fetch(f"{url}/readyz")[0] == 200,
            "the writer: without one a command opens the store itself",
        )
        token = ("fleet", "token", "--region", "fra", "--data", tmp_path / "d")
        assert nettrace(*token).returncode == 0
        until(lambda: fetch(f"{url}/livez")[0] == 200, "an answer")
        process.terminate()
        said = process.communicate(timeout=PATIENCE_S)[1]
    assert said.count("child.ended") == 2 and '"name": "writer"' in said


def test_nobody_listens_beyond_this_machine_without_a_key(tmp_path):
    data = tmp_path / "d"
    refused = nettrace("up", "--no-node", "--bind", "0.0.0.0:0", "--data", data)
    assert refused.returncode == 4
    assert "nettrace keys create" in refused.stderr
    made = nettrace("keys", "create", "--tier", "pro", "--data", data)
    assert made.returncode == 0, made.stderr
    with up(data, "--no-node", bind="0.0.0.0:0") as (_, url):
        assert fetch(f"{url}/api/v1/targets")[0] == 401


def test_a_taken_port_is_refused_in_one_line(tmp_path):
    with listening() as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = nettrace("up", "--no-node", "--bind", address, "--data", tmp_path / "d")
    assert refused.returncode == 1
    assert address in refused.stderr and "--bind" in refused.stderr


@pytest.mark.parametrize(
    "words", [("--bind", "127.0.0.1:99999"), ("--interval", "0.5"), ("--keep", "raw=1"), ("--only-targets",)]
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path, words):
    refused = nettrace("up", *words, "--data", tmp_path / "d")
    assert refused.returncode == 2
    assert not (tmp_path / "d" / "hub.sqlite").exists()


def test_a_token_is_printed_and_never_kept(tmp_path):
    made = nettrace("fleet", "token", "--region", "fra", "--data", tmp_path / "d")
    token = made.stdout.strip()
    assert well_formed(token) and token.startswith("nt_enr_")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "d").rglob("*") if path.is_file())
    assert token.encode() not in kept
    assert f"there was no hub in {tmp_path / 'd'}" in made.stderr, "a folder misspelt is a hub nobody runs"
    assert not nettrace("fleet", "token", "--region", "fra", "--data", tmp_path / "d").stderr
    assert nettrace("fleet", "token", "--region", "Not A Code", "--data", tmp_path / "d").returncode == 2


def test_an_operators_registry_that_cannot_be_is_refused_before_anything_starts(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("[[venue]]\nname = 'x'")
    done = nettrace("up", "--no-node", "--bind", "127.0.0.1:0", "--data", tmp_path / "hub", "--registry", own)
    assert done.returncode == 2
    assert "own.toml" in done.stderr
    assert not (tmp_path / "hub" / "data.sqlite").exists()
