"""Ctrl-C, `kill`, a reader that leaves, streams that are closed: what is known is handed out, nothing hangs."""

import json
import logging
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import PATIENCE_S, PROGRAM, check_shape, nettrace
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

IMPOSSIBLE = "a..b"
"""Fails at once, without a question to any resolver."""

SIGNALS = [signal.SIGINT, signal.SIGTERM]
FOREVER = ["-n", "100000", "-i", "0.05"]


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """A UDP socket that hears probes and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE_S)
        yield sock


def pinged(ear: socket.socket, number: signal.Signals, *more: str, before: str = "exec") -> tuple[int, str]:
    """Exit code and stdout of a ping to two addresses that gets a signal after its second probe to each.

    127.0.0.1 has the ear and is silent, 127.0.0.2 answers that nobody listens there.
    """
    port = str(ear.getsockname()[1])
    words = [*PROGRAM, "ping", "127.0.0.2", "127.0.0.1", *FOREVER, "--method", "udp", "--port", port, *more]
    script = f"{before} {' '.join(words)}"
    process = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True)
    ear.recv(100)
    ear.recv(100)
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_an_interrupted_ping_hands_out_its_samples_and_ends_with_130(
    ear: socket.socket, number: signal.Signals
) -> None:
    code, out = pinged(ear, number)
    rows = {row["target"]: row for row in map(json.loads, out.splitlines())}
    assert code == 130
    for row in rows.values():
        check_shape(row)
        assert len(row["rtt_ms"]) < 100
    assert (rows["127.0.0.2"]["outcome"], rows["127.0.0.1"]["reason"]) == ("measured", "aborted")
    assert rows["127.0.0.2"]["received"] >= 1


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_an_interrupted_round_of_handshakes_hands_out_those_that_were_made(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        words = [*PROGRAM, "ping", "127.0.0.1", *FOREVER, "--method", "tcp", "--port", port]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        server.settimeout(PATIENCE_S)
        for _ in range(3):
            server.accept()[0].close()
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE_S)
    row = json.loads(out)
    check_shape(row)
    assert process.returncode == 130
    assert row["outcome"] == "measured"
    assert 2 <= row["received"] < 100


def test_an_interrupted_json_array_is_closed(ear: socket.socket) -> None:
    code, out = pinged(ear, signal.SIGTERM, "-o", "json")
    assert code == 130
    assert {row["target"] for row in json.loads(out)} == {"127.0.0.1", "127.0.0.2"}


def test_sigterm_ends_it_even_where_the_shell_has_turned_ctrl_c_off(ear: socket.socket) -> None:
    code, out = pinged(ear, signal.SIGTERM, before="trap '' INT; exec")
    assert code == 130
    assert len(out.splitlines()) == 2


class Server:
    """One connection on loopback that answers nothing but what WebSocket asks of it; counts requests, and pongs that were read."""

    def __init__(self) -> None:
        self.heard = threading.Semaphore(0)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        protocol = ServerProtocol(logger=logging.Logger("silent", level=logging.CRITICAL + 1))
        connection, _ = self._listening.accept()
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                if b"Upgrade" not in data and protocol.state is State.CONNECTING:
                    self.heard.release()  # a plain request: it is heard and never answered
                    continue
                protocol.receive_data(data)
                for event in protocol.events_received():
                    if isinstance(event, Request):
                        protocol.send_response(protocol.accept(event))
                    elif event.opcode is Opcode.PING:
                        protocol.send_ping(b"read")  # behind our pong: who answers it has read the pong
                    elif event.opcode is Opcode.PONG:
                        self.heard.release()
                connection.sendall(b"".join(protocol.data_to_send()))


def stopped(
    words: Sequence[str], number: signal.Signals, server: Server, heard: int
) -> tuple[int, dict[str, Any]]:
    """Exit code and only row of a command that gets a signal when the server has heard so much of it."""
    process = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, text=True)
    for _ in range(heard):
        assert server.heard.acquire(timeout=PATIENCE_S)
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    row = json.loads(out)
    check_shape(row)
    return process.returncode, row


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_an_interrupted_websocket_hands_out_its_pings(number: signal.Signals) -> None:
    with Server() as server:
        code, row = stopped(["ws", f"ws://127.0.0.1:{server.port}/", *FOREVER], number, server, heard=3)
    assert code == 130
    assert (row["outcome"], row["status"], row["detail"]) == ("measured", 101, "interrupted")
    assert 2 <= row["received"] <= row["sent"] < 100_000


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_an_interrupted_request_is_told_as_far_as_it_came(number: signal.Signals) -> None:
    with Server() as server:
        code, row = stopped(["http", f"http://127.0.0.1:{server.port}/"], number, server, heard=1)
    assert code == 130
    assert (row["outcome"], row["reason"], row["ttfb_ms"]) == ("not_measured", "aborted", None)
    assert row["connect_ms"] > 0


def test_ctrl_c_while_the_program_is_still_loading_is_an_interrupt_too() -> None:
    # The module finder says where the program is: a signal in the middle of its imports.
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from nettrace.__main__ import main\n"
        "sys.argv = ['nettrace', '--version']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("command", ["ping -n 1", "trace", "sweep", "doctor"])
def test_a_reader_that_leaves_after_one_line_is_no_error(command: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("".join(f"127.0.1.{last}\n" for last in range(1, 120)))
    words = " ".join([*PROGRAM, command, *([] if command == "doctor" else ["-f", str(file)])])
    script = f"set -o pipefail; {words} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert len(done.stdout.splitlines()) == 1
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("form", ["ndjson", "table"])
def test_a_full_disk_is_one_line_and_exit_code_1(form: str) -> None:
    with Path("/dev/full").open("wb") as full:
        words = [*PROGRAM, "trace", "127.0.0.1", "-o", form]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "nettrace: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), ("<&-", 0), ("-f - <&-", 2)])
def test_closed_streams_are_no_reason_to_fall(closed: str, code: int) -> None:
    script = f"{' '.join(PROGRAM)} trace 127.0.0.1 {closed}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["terminal", "NO_COLOR", "dumb"],
)
def test_colour_only_where_it_is_wanted(environment: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", **environment}
    env.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
    process = subprocess.Popen(
        [*PROGRAM, "trace", IMPOSSIBLE], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # the terminal is gone with the program
    os.close(ours)
    assert process.wait(PATIENCE_S) == 1
    assert IMPOSSIBLE.encode() in shown, "a table by itself on a terminal"
    assert (b"\x1b[" in shown) is coloured


def test_a_table_or_ndjson_is_chosen_by_where_stdout_leads() -> None:
    assert nettrace("trace", "127.0.0.1").row["target"] == "127.0.0.1"
