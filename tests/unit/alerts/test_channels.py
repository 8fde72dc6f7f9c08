"""What each service is sent, that nothing goes where it may not, and that no secret shows."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from tests.ports import held_port

from nettrace.analysis.alerts.rule import RETRY, ChannelSpec, seconds
from nettrace.errors import ConfigError, Forbidden
from nettrace.hub.courier import FAILING_NS, Health, Outbox
from nettrace.model.alert import Delivery, DeliveryState, Incident, Notice, NoticeKind, Reason
from nettrace.model.instant import NS_PER_S
from nettrace.model.signal import Severity
from nettrace.outside.notify.address import resolved
from nettrace.outside.notify.channel import Fate, Receipt, deliver
from nettrace.outside.notify.message import Message, notice_document
from nettrace.outside.notify.secret import secret

NOW = 1_800_000_000 * NS_PER_S
HERE = ("127.0.0.0/8", "::1/128")


class Service:
    """Answers every POST and keeps it."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.status, self.headers = 200, dict[str, str]()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.asked.append(
                    (self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                )
                self.send_response(service.status)
                for name, value in service.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "Service":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as made:
        yield made


def message(
    kind: NoticeKind = NoticeKind.OPENED, severity: Severity = Severity.CRITICAL, many: int = 1
) -> Message:
    reason = Reason(subject="nyc>api.example/rest/tcp", metric="failed", value=2.0, threshold=1.0)
    incident = Incident(
        id="inc_1", cause="target:<!channel>&", severity=severity, rules=("down",), targets=("api.example",) * many,
        vantages=("nyc",), since=NOW, opened_at=NOW, why=(reason,) * many,
        closed_at=NOW if kind is NoticeKind.CLOSED else None,
    )  # fmt: skip
    return Message(
        id="msg_1",
        document=json.loads(notice_document(Notice(kind=kind, at=NOW, incident=incident, channels=()))),
    )


def sent(service: Service, spec: dict[str, Any], told: Message | None = None) -> tuple[str, Any]:
    made = ChannelSpec(allow=HERE, **{"url": service.url, **spec})
    assert deliver("desk", made, told or message(), NOW) == Receipt(fate=Fate.DELIVERED)
    return service.asked[-1]


def test_chat_services_get_words_that_mention_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOM", service.url + "/services/T/B/x")
    path, body = sent(service, {"kind": "slack", "url": "env:ROOM"})
    assert (path, set(body)) == ("/services/T/B/x", {"text"})
    assert "&lt;!channel&gt;&amp;" in body["text"]
    _, body = sent(service, {"kind": "discord"}, message(many=500))
    assert body["allowed_mentions"] == {"parse": []}
    assert len(body["content"]) <= 2000
    monkeypatch.setenv("BOT", "12:ab")
    path, body = sent(service, {"kind": "telegram", "token": "env:BOT", "to": ("-100",)})
    assert (path, body["chat_id"]) == ("/bot12:ab/sendMessage", "-100")
    assert "api.example/rest/tcp: failed 2 (above 1)" in body["text"]


def test_duty_services_follow_an_incident_by_one_key(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "r0")
    spec = {"kind": "pagerduty", "token": "env:KEY"}
    path, opened = sent(service, spec)
    _, closed = sent(service, spec, message(NoticeKind.CLOSED))
    assert path == "/v2/enqueue"
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == "inc_1"
    assert {"summary", "source", "severity"} <= set(opened["payload"])
    assert opened["payload"]["severity"] == "critical"

    path, alerts = sent(service, {"kind": "alertmanager"}, message(severity=Severity.WARNING))
    assert path == "/api/v2/alerts"
    ends = {each["labels"]["severity"]: each["endsAt"][:4] for each in alerts}
    assert ends == {"info": "2027", "notice": "2027", "warning": "2100"}
    _, alerts = sent(service, {"kind": "alertmanager"}, message(NoticeKind.CLOSED))
    assert {each["endsAt"][:4] for each in alerts} == {"2027"}


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_any_service_of_apprise(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANY", service.url.replace("http://", "json://"))
    _, body = sent(service, {"kind": "apprise", "url": "env:ANY"})
    assert body["title"].startswith("[CRITICAL] opened")


def test_a_webhooks_body_stays_below_20_kb_and_says_what_it_left_out(service: Service) -> None:
    _, body = sent(service, {"kind": "webhook"}, message(many=5000))
    assert len(json.dumps(body, separators=(",", ":"))) < 20_000
    assert body["data"]["incident"]["counts"]["targets"] == 5000


def test_tls_is_pinned_to_the_address_and_checked_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Service(context) as made:
        spec = ChannelSpec(kind="slack", url=f"https://localhost:{made.port}/", allow=HERE)
        assert "does not answer" in deliver("desk", spec, message(), NOW).detail
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert deliver("desk", spec, message(), NOW).fate is Fate.DELIVERED
        other = ChannelSpec(kind="slack", url=f"https://127.0.0.1:{made.port}/", allow=HERE)
        assert "does not answer" in deliver("desk", other, message(), NOW).detail


def test_mail_is_encrypted_and_never_sends_a_password_in_the_clear(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    taken: list[bytes] = []

    class Box:
        async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:
            assert session.ssl is not None
            taken.append(envelope.content)
            return "250 OK"

    held = held_port()
    port = held.getsockname()[1]
    controller = Controller(
        Box(), hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True, ready_timeout=60
    )
    controller.start()
    try:
        spec = ChannelSpec(
            kind="email", host="localhost", port=port, sender="a@example.org", to=("b@example.org",)
        )
        assert deliver("mail", spec, message(), NOW).fate is Fate.FAILED
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert deliver("mail", spec, message(), NOW).fate is Fate.DELIVERED
    finally:
        controller.stop()
        held.close()
    assert b"Message-ID: <msg_1@nettrace>" in taken[0]
    plain = ChannelSpec(
        kind="email", host="localhost", port=1, sender="a@b", to=("c@d",), user="u", token="env:X", tls="none"
    )
    assert "in the clear" in deliver("mail", plain, message(), NOW).detail


def test_only_what_the_operator_opened_is_reached(service: Service) -> None:
    shut = ChannelSpec(kind="webhook", url=f"{service.url}/metadata")
    receipt = deliver("desk", shut, message(), NOW)
    assert (receipt.fate, service.asked) == (Fate.FAILED, [])
    assert "a loopback address" in receipt.detail
    with pytest.raises(Forbidden):
        resolved("localhost", 80)


def test_a_redirect_is_not_followed(service: Service) -> None:
    service.status, service.headers = 302, {"Location": "http://169.254.169.254/"}
    receipt = deliver("desk", ChannelSpec(kind="webhook", url=service.url, allow=HERE), message(), NOW)
    assert (receipt.fate, receipt.detail) == (Fate.FAILED, "answered 302")


def test_secrets_are_references_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    assert secret(f"file:{tmp_path}/key", "x") == "s3cret"
    with pytest.raises(ConfigError) as met:
        secret("whsec_c2VjcmV0", "channel 'desk': a secret")
    assert "c2VjcmV0" not in str(met.value)
    monkeypatch.setenv("BAD", "whsec_not-base64!")
    receipt = deliver(
        "desk", ChannelSpec(kind="webhook", url="http://x.invalid/", secrets=("env:BAD",)), message(), NOW
    )
    assert "not-base64" not in receipt.detail


def delivery() -> Delivery:
    return Delivery(
        id="msg_1",
        channel="desk",
        incident="inc_1",
        kind=NoticeKind.OPENED,
        created_at=NOW,
        body=b"{}",
        next_at=NOW,
    )


def test_retries_go_on_for_days_and_then_end() -> None:
    outbox, tried, now = Outbox([seconds(text) for text in RETRY], lambda: 0.5), delivery(), NOW
    attempts = 0
    while tried.state is DeliveryState.PENDING:
        now, attempts = max(now, tried.next_at), attempts + 1
        tried = outbox.after(tried, Receipt(fate=Fate.FAILED, detail="answered 500"), now)
    assert attempts == 79
    assert 3 < (now - NOW) / (86_400 * NS_PER_S) < 5
    asked = outbox.after(delivery(), Receipt(fate=Fate.FAILED, retry_after_s=600), NOW)
    assert asked.next_at == NOW + 600 * NS_PER_S


def test_a_channel_that_fails_for_long_is_disabled_and_one_success_clears_it() -> None:
    outbox, health = Outbox([1.0]), Health(spec="x")
    failed = Receipt(fate=Fate.FAILED, detail="answered 500")
    health = outbox.health(outbox.health(health, failed, NOW), failed, NOW + FAILING_NS)
    assert health.disabled_at is None
    assert outbox.health(health, failed, NOW + FAILING_NS + 1).disabled_at is not None
    assert outbox.health(health, Receipt(fate=Fate.DELIVERED), NOW + FAILING_NS + 1) == Health(spec="x")
