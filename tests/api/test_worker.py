"""A real API process beside a real writer: bad clients do not stop good ones, and nothing makes it answer 5xx."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from nettrace.api.openapi import document
from nettrace.api.table import OPERATIONS

EXAMPLES = int(os.environ.get("NETTRACE_FUZZ_EXAMPLES", "6"))
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
"""No test waits for this long: it only turns a hang into a failure."""
IDLE = int(os.environ.get("NETTRACE_IDLE_SOCKETS", "400"))


class Served:
    """An API worker, its writer, and where it listens."""

    def __init__(self, folder: Path) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        data = ["--data", str(folder)]
        self.writer = subprocess.Popen(
            [sys.executable, "-m", "nettrace.hub.writer", *data], stderr=subprocess.DEVNULL
        )
        fd = self._listener.fileno()
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "tests.api.offline_worker", "--fd", str(fd), *data],
            cwd=ROOT,
            pass_fds=(fd,),
        )
        until = time.monotonic() + PATIENCE_S
        while not self._ready():
            assert time.monotonic() < until, "the worker did not become ready"
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=PATIENCE_S).status_code == 200
        except httpx2.HTTPError:
            return False

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE_S)

    def end(self) -> None:
        self._listener.close()
        for process in (self.worker, self.writer):
            process.terminate()
        for process in (self.worker, self.writer):
            process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def served(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(shutil.copytree(filled, tmp_path_factory.mktemp("served") / "hub"))
    yield made
    made.end()


def good(served: Served) -> None:
    """Others are served: quickly enough for a client that waits two seconds."""
    answer = httpx2.get(f"{served.url}/api/v1/targets", timeout=2)
    assert answer.status_code == 200


@pytest.mark.alone
def test_ten_thousand_headers_stop_nobody(served: Served) -> None:
    with served.connect() as bad:
        bad.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n")
        try:
            for number in range(10_000):
                bad.sendall(b"x-%d: %s\r\n" % (number, b"y" * 50))
            answer = bad.recv(64)
        except ConnectionError:  # it hung up on us while we were still sending
            answer = b"HTTP/1.1 431"
        assert answer[:12] in {b"HTTP/1.1 431", b""}
    good(served)


@pytest.mark.alone
def test_a_hundred_megabytes_are_refused_before_they_are_sent(served: Served) -> None:
    with served.connect() as bad:
        bad.sendall(
            b"POST /api/v1/measurements HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000000\r\n\r\n"
        )
        assert bad.recv(64).startswith(b"HTTP/1.1 413")
    good(served)


@pytest.mark.alone
def test_an_endless_body_in_chunks_is_refused(served: Served) -> None:
    with served.connect() as bad:
        bad.sendall(
            b"POST /api/v1/measurements HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            for _ in range(64):
                bad.sendall(chunk)
            answer = bad.recv(64)
        except ConnectionError:
            answer = b"HTTP/1.1 413"
        assert answer.startswith(b"HTTP/1.1 413")
    good(served)


@pytest.mark.alone
def test_idle_and_slow_clients_stop_nobody(served: Served) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 200:
        pytest.skip("too few file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, IDLE + 500)), hard))
    with ExitStack() as open_ones:
        for number in range(IDLE):
            one = open_ones.enter_context(served.connect())
            if number % 2:
                one.sendall(
                    b"POST /api/v1/measurements HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{"
                )
        for _ in range(20):
            good(served)


@pytest.mark.alone
def test_it_ends_soon_after_sigterm_with_clients_connected(filled: Path, tmp_path: Path) -> None:
    served = Served(shutil.copytree(filled, tmp_path / "hub"))
    try:
        with served.connect(), httpx2.Client(base_url=served.url, timeout=PATIENCE_S) as kept:
            assert kept.get("/livez").status_code == 200
            served.worker.send_signal(signal.SIGTERM)
            assert served.worker.wait(5) in {0, -signal.SIGTERM}
    finally:
        served.end()


schema = schemathesis.openapi.from_dict(document(OPERATIONS))


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_nothing_that_is_asked_makes_it_answer_5xx(case: schemathesis.Case, served: Served) -> None:
    answer = case.call(base_url=served.url, timeout=120)  # a plan takes a minute at most
    case.validate_response(answer, checks=(not_a_server_error,))
    if answer.status_code >= 400:
        assert answer.headers["content-type"][0] in {"application/problem+json", "text/plain; charset=utf-8"}
