"""A hub that is stopped says that it ended, and nothing else: streams that are open are no fault."""

import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_streams_that_are_open_leave_no_trace_in_the_log(tmp_path: Path, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "nettrace",
        "up",
        "--no-node",
        "--bind",
        "127.0.0.1:0",
        "--data",
        str(tmp_path / "d"),
    ]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as open_ones,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            client = open_ones.enter_context(httpx2.Client(base_url=url, timeout=60))
            for _ in range(4):  # both workers get some
                events = open_ones.enter_context(client.stream("GET", "/api/v1/stream"))
                assert next(events.iter_lines()).startswith("retry")
                socket = open_ones.enter_context(connect(url.replace("http", "ws") + "/api/v1/stream"))
                assert '"type":"snapshot"' in str(socket.recv(60))
            process.send_signal(number)
            assert process.wait(60) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        said = process.stderr.read()
    assert "ended; everything acknowledged is on disk" in said
    assert not re.search(r"Traceback|Error|Exception|broke", said), said
