"""Traces of a real node's report through a real hub, received by an OTLP double; off unless asked for."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.faults.node_world import wait_for

from nettrace.errors import ConfigError
from nettrace.hub.enrolment import make_token
from nettrace.hub.link import blocking_link
from nettrace.hub.place import Data
from nettrace.node.identity import Identity
from nettrace.node.keeper import Keeper
from nettrace.node.line import Hub, Signature
from nettrace.node.uplink import About, Uplink, enrol
from nettrace.runtime import telemetry
from nettrace.wire.frames import Enrol

proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")


class Receiver:
    """Takes OTLP/HTTP protobuf, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, bytes, bytes, bytes]] = []
        spans = self.spans

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    raise AssertionError("nobody asked for gzip")
                asked = proto.ExportTraceServiceRequest.FromString(body)
                for each in asked.resource_spans:
                    names = {pair.key: pair.value.string_value for pair in each.resource.attributes}
                    for scope in each.scope_spans:
                        for span in scope.spans:
                            found = (span.trace_id, span.span_id, span.parent_span_id)
                            spans.append((names["service.name"], span.name, *found))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


class Quiet:
    """A node that measures nothing."""

    def about(self) -> About:
        return About()

    def assigned(self, _: object) -> None:
        return

    def asked(self, _: object) -> None:
        return

    def dismissed(self, error: Exception) -> None:
        raise error

    def say(self, _: str) -> None:
        return


def test_one_trace_leads_from_the_node_over_the_api_to_the_writers_transaction(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    data = Data(tmp_path / "hub")
    command = [
        sys.executable,
        "-m",
        "nettrace",
        "up",
        "--no-node",
        "--bind",
        "127.0.0.1:0",
        "--data",
        str(data.folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as hub:
        try:
            url = hub.stdout.readline().strip()
            link = blocking_link(data.socket)
            token = make_token(link, "nyc", time.time_ns())
            link.close()
            enrolled = enrol(Hub(url), Enrol(token=token, region="nyc", version="t"))
            identity = Identity(node=enrolled.node, secret=enrolled.secret, region="nyc", hub=url)
            (tmp_path / "node").mkdir()
            keeper = Keeper(tmp_path / "node")
            keeper.start()
            traces = telemetry.tracing("nettrace-node")
            uplink = Uplink(Hub(url), Signature(identity), identity.node, keeper, Quiet(), tracing=traces)
            uplink.start()
            wait_for(lambda: uplink.heard_at)
            uplink.stop(60)
            keeper.stop()
            traces.close()
        finally:
            hub.terminate()
            hub.stdout.read()
            hub.wait(60)
    spans = {(service, name): ids for service, name, *ids in receiver.spans}
    node = spans["nettrace-node", "node report"]
    api = [
        ids
        for service, name, *ids in receiver.spans
        if (service, name) == ("nettrace-api", "POST /api/v1/nodes/report")
    ]
    writer = [
        ids for service, name, *ids in receiver.spans if (service, name) == ("nettrace-writer", "writer take")
    ]
    nodes = {ids[1]: ids for service, name, *ids in receiver.spans if service == "nettrace-node"}
    apis = {ids[1]: ids for ids in api}
    assert node[2] == b""  # the trace begins there
    assert api and all(ids[2] in nodes and ids[0] == nodes[ids[2]][0] for ids in api)
    assert writer and all(ids[2] in apis and ids[0] == apis[ids[2]][0] for ids in writer)


def test_nothing_is_traced_or_imported_unless_asked_for() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, nettrace.runtime.telemetry as t, nettrace.node.agent, nettrace.api.worker\n"
         "assert t.tracing('x') is t.OFF and t.OFF.current() == ''\n"
         "assert not [each for each in sys.modules if each.startswith('opentelemetry')]"],
        env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr


def test_who_asks_for_traces_without_the_extra_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(telemetry, "import_module", missing)
    with pytest.raises(ConfigError, match=r"OpenTelemetry is not installed.*nettrace\[telemetry\]"):
        telemetry.tracing("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})


@pytest.mark.parametrize("evil", ["", "x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "00-zz", "a" * 5000])
def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(
    evil: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    traces = telemetry.tracing("t")
    with traces.span("s", "server", [evil]) as span:
        assert len(span.traceparent) == 55
    traces.close()
    ((service, name, _, _, parent),) = receiver.spans
    assert (service, name, parent) == ("t", "s", b"")
