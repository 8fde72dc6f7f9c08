"""Notices survive outages of where they go and kills of who carries them: none is lost, and repetitions show themselves."""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from tests.faults.node_world import PATIENCE_S, wait_for
from tests.ports import held_port

from nettrace.hub.link import HubWriter, blocking_link
from nettrace.hub.open import open_reader
from nettrace.hub.place import Data
from nettrace.model.alert import DeliveryState, IncidentState
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import Vantage
from nettrace.store.port import EnrolToken, StoreReader
from nettrace.wire.frames import Record, Report

SECRETS = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
FAILING, FINE = 8, 4


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Where the desk and the mailbox will listen; nobody else gets these ports before or after."""
    with held_port() as hook, held_port() as mail:
        yield hook.getsockname()[1], mail.getsockname()[1]


@contextmanager
def process(module: str, data: Data) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "DESK_NEW": "whsec_" + SECRETS[0], "DESK_OLD": SECRETS[1]}
    with (data.folder / f"{module}.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", module, "--data", str(data.folder)], stderr=log, env=environment
        )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.send_signal(signal.SIGTERM)
        try:
            started.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


class Desk:
    """A webhook's endpoint: checks every signature, refuses the first few calls, and may say that it is gone."""

    def __init__(self, port: int, refuse: int = 0, status: int = 204) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.calls = 0
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                desk.calls += 1
                self.send_response(503 if desk.calls <= refuse else status)
                self.end_headers()
                if desk.calls > refuse:
                    desk.bodies[self.headers["webhook-id"]] = json.loads(body)
                    assert self.headers["webhook-signature"].split() == [
                        "v1," + base64.b64encode(hmac.digest(
                            base64.b64decode(secret),
                            f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body,
                            hashlib.sha256,
                        )).decode()
                        for secret in SECRETS
                    ]  # fmt: skip
                    assert len(body) < 20_000

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "Desk":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mailbox:
    def __init__(self) -> None:
        self.ids: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.ids.append(message_from_bytes(envelope.content)["Message-ID"])
        return "250 OK"


@contextmanager
def mail_server(port: int) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=PATIENCE_S)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


class Node:
    """One enrolled node that reports what it is told to."""

    def __init__(self, link: HubWriter) -> None:
        self.link, self.seq = link, 0
        now = time.time_ns()
        link.put_targets([self._target(n) for n in range(FAILING + FINE)], now)
        link.put_token(
            EnrolToken(id="tok_1", hash=b"h", region="nyc", created_at=now, expires_at=now + 10**12)
        )
        assert link.enrol(b"h", Vantage(code="nyc", node="nd_1"), b"k" * 32, now)

    @staticmethod
    def _target(number: int) -> Target:
        host = f"t{number}.example"
        return Target(
            host=host,
            name=host,
            category="Test",
            endpoints=(Endpoint(name="site", host=host, role=Role.WEB),),
        )

    def report(self, age_s: float, is_down: Callable[[int], bool]) -> None:
        due = time.time_ns() - round(age_s * NS_PER_S)
        first = self.seq + 1
        entries = tuple(self._record(n, due, down=is_down(n)) for n in range(FAILING + FINE))
        self.link.take(
            Report(node="nd_1", epoch="e1", first_seq=first, entries=entries, sent_at=due, version="1")
        )

    def _record(self, number: int, due: int, *, down: bool) -> Record:
        self.seq += 1
        if down:
            sample = Sample(state=SampleState.LOST, sent_at=due)
        else:
            sample = Sample(
                state=SampleState.ANSWERED, sent_at=due, rtt_ns=10**7, error_ns=10_000, grade=Grade.KERNEL
            )
        ping = Ping(
            target=f"t{number}.example", address="198.18.0.1", at=due, method=Method.TCP, port=443, samples=(sample,),
            outcome=Outcome.FAILED if down else Outcome.MEASURED, reason=Reason.TIMEOUT if down else None,
        )  # fmt: skip
        return Record(
            seq=self.seq,
            target=ping.target,
            endpoint="site",
            method=RoundMethod.TCP,
            due=due,
            measurement=ping,
        )


def rules(hook: int, mail: int, more: str = "") -> str:
    return f"""
retry = [{", ".join(['"200ms"'] * 1000)}]
{more}
[[rule]]
name = "down"
metric = "failed"
above = 1
recover = 0
for = "0s"
severity = "critical"
[channel.desk]
kind = "webhook"
url = "http://127.0.0.1:{hook}/hook"
allow = ["127.0.0.1/32"]
secrets = ["env:DESK_NEW", "env:DESK_OLD"]
[channel.mail]
kind = "email"
host = "127.0.0.1"
port = {mail}
tls = "none"
sender = "nettrace@example.org"
to = ["desk@example.org"]
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Data, HubWriter, StoreReader]]:
    data = Data(tmp_path / "hub")
    data.make()
    with ExitStack() as stack:
        stack.enter_context(process("nettrace.hub.writer", data))
        wait_for(data.socket.exists)
        link = blocking_link(data.socket)
        stack.callback(link.close)
        reader = open_reader(data)
        stack.callback(reader.close)
        yield data, link, reader


def break_targets(node: Node) -> None:
    node.report(3, lambda _: False)
    node.report(2, lambda number: number < FAILING)
    node.report(1, lambda number: number < FAILING)


def settled(reader: StoreReader) -> bool:
    return not reader.deliveries(states=(DeliveryState.PENDING,))


def test_outages_and_kills_lose_no_notice(
    hub: tuple[Data, HubWriter, StoreReader], ports: tuple[int, int]
) -> None:
    data, link, reader = hub
    hook, mail = ports
    (data.folder / "alerts.toml").write_text(rules(hook, mail))
    with process("nettrace.hub.courier", data) as courier:
        wait_for(lambda: b"courier.ready" in (data.folder / "nettrace.hub.courier.log").read_bytes())
        wait_for(lambda: "evaluator" in reader.alert_state())
        break_targets(Node(link))
        wait_for(lambda: len(reader.deliveries(limit=1000)) == 2 * FAILING)
        wait_for(lambda: any(each.attempts for each in reader.deliveries(limit=1000)))
        courier.kill()
    with Desk(hook, refuse=2) as desk:
        with process("nettrace.hub.courier", data) as courier:
            wait_for(lambda: desk.bodies)
            courier.kill()
        with mail_server(mail) as box, process("nettrace.hub.courier", data):
            wait_for(lambda: settled(reader))

    made = reader.deliveries(limit=1000)
    assert {each.state for each in made} == {DeliveryState.DELIVERED}
    assert set(desk.bodies) == {each.id for each in made if each.channel == "desk"}
    assert {f"<{each.id}@nettrace>" for each in made if each.channel == "mail"} == set(box.ids)
    told = {body["data"]["incident"]["id"] for body in desk.bodies.values()}
    assert told == {each.id for each in reader.incidents()}
    assert len(told) == FAILING
    assert all(body["type"] == "incident.opened" for body in desk.bodies.values())
    traces = {each.id for each in reader.requests() if each.method is RoundMethod.TRACE}
    assert {body["data"]["incident"]["traces"][0] for body in desk.bodies.values()} == traces


def test_who_wants_nothing_any_more_is_asked_no_more_and_the_others_are_told(
    hub: tuple[Data, HubWriter, StoreReader], ports: tuple[int, int]
) -> None:
    data, link, reader = hub
    hook, mail = ports
    (data.folder / "alerts.toml").write_text(rules(hook, mail))
    with Desk(hook, status=410) as desk, mail_server(mail) as box, process("nettrace.hub.courier", data):
        wait_for(lambda: "evaluator" in reader.alert_state())
        node = Node(link)
        break_targets(node)
        wait_for(lambda: any(each.kind == "channel_disabled" for each in reader.deliveries(limit=1000)))
        wait_for(lambda: len(box.ids) == FAILING + 1)
        assert desk.calls == 3
        node.report(0, lambda _: False)
        wait_for(lambda: all(each.state is IncidentState.CLOSED for each in reader.incidents()))
        wait_for(lambda: len(box.ids) == 2 * FAILING + 1)
        assert desk.calls == 3
    waiting = reader.deliveries(states=(DeliveryState.PENDING,), limit=1000)
    assert {each.channel for each in waiting} == {"desk"}
    assert len(waiting) == 2 * FAILING
