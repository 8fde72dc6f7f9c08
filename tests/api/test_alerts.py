"""Alerts by the API: from a rule by curl to its incident and its notice, for nobody else's eyes and into no inner network."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.api.conftest import Hub, ping

from nettrace.hub.courier import Courier
from nettrace.model.instant import NS_PER_S
from nettrace.outside.notify.channel import deliver
from nettrace.runtime.logs import Log

API = "/api/v1/alerts"
RULE = {
    "name": "broken",
    "metric": "failed",
    "above": 1,
    "for": "0s",
    "targets": ["api.example.com"],
    "severity": "critical",
}


class Receiver:
    """Keeps every POST; `move` makes it answer with a redirect instead."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        self.move: str | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), json.loads(body)))
                self.send_response(302 if receiver.move else 200)
                if receiver.move:
                    self.send_header("Location", receiver.move)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def channel(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"name": "desk", "kind": "webhook", "url": f"http://127.0.0.1:{receiver.port}/n", **more}


def rules_are_in_force(hub: Hub, accounts: int) -> bool:
    with hub.reading() as reader:
        return sum(name.startswith("place~") for name in reader.alert_state()) == accounts


async def test_a_rule_by_curl_opens_an_incident_that_is_told_acknowledged_and_closed(
    hub: Hub, receiver: Receiver
) -> None:
    hub.clock = time.time_ns()
    owner, stranger = (
        hub.key("government", "acme"),
        hub.key("government", "other", scopes=frozenset({"read", "alerts"})),
    )
    made = await hub.post(f"{API}/channels", channel(receiver, allow=["127.0.0.0/8"]), headers=owner)
    assert made.status_code == 201, made.text
    assert made.json()["secret"].startswith("whsec_")
    assert made.json()["secret"] not in (await hub.get(f"{API}/channels", headers=owner)).text
    assert (await hub.post(f"{API}/rules", RULE, headers=owner)).status_code == 201
    assert (await hub.post(f"{API}/rules", {**RULE, "name": "theirs"}, headers=stranger)).status_code == 201
    courier, ended = Courier(hub.data, hub.service.writer, Log("courier")), asyncio.Event()  # type: ignore[arg-type]
    carrying = asyncio.create_task(courier.run(ended))
    try:
        async with asyncio.timeout(60):
            while not rules_are_in_force(hub, 2):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            now = hub.clock = time.time_ns()
            dues = [now - ago * 60 * NS_PER_S for ago in (4, 3, 2, 1)]
            host = "api.example.com"
            hub.report(
                "nyc", [(due, host, ping(host, None if n else 9.0, due)) for n, due in enumerate(dues)]
            )
            while not (found := (await hub.json(f"{API}/incidents?state=open", headers=owner))["data"]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            while not receiver.got:  # noqa: ASYNC110 - the receiver is a thread
                await asyncio.sleep(0.05)
            incident = found[0]
            assert (incident["rules"], incident["targets"]) == (["broken"], ["api.example.com"])
            theirs = (await hub.json(f"{API}/incidents", headers=stranger))["data"]
            assert [each["rules"] for each in theirs] == [["theirs"]], "each account has its own incident"
            path = f"{API}/incidents/{incident['id']}"
            assert (await hub.get(path, headers=stranger)).status_code == 404
            assert (await hub.post(f"{path}/ack", {}, headers=stranger)).status_code == 404
            for word, state in (("ack", "acknowledged"), ("close", "closed")):
                assert (await hub.post(f"{path}/{word}", None, headers=owner)).status_code == 202
                while (shown := await hub.json(path, headers=owner))["state"] != state:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert shown["closed_by"].startswith("key_")
            assert (await hub.post(f"{path}/close", None, headers=owner)).status_code == 409
            assert (await hub.json(f"{API}/incidents/{theirs[0]['id']}", headers=stranger))["state"] == "open"
    finally:
        ended.set()
        await carrying
    headers, body = receiver.got[0]
    assert body["data"]["incident"]["id"] == incident["id"]
    assert "webhook-signature" in {name.lower() for name in headers}


async def test_a_rule_is_checked_word_by_word_and_shown_with_all_it_left_out(hub: Hub) -> None:
    made = (await hub.post(f"{API}/rules", {"name": "slow", "preset": "derived"})).json()
    assert (made["metric"], made["mads"], made["k"], made["for"]) == ("p50", 8.0, 1, "2m")
    wrong = (
        {"name": "x", "preset": "derivd"}, {"name": "x", "metric": "p51", "above": 1}, {"name": "x", "metric": "p95"},
        {"name": "../x", "preset": "down"}, {"name": "x", "preset": "down", "for": "soon"}, {"name": "x", "abve": 3},
        {"name": "x", "preset": "down", "channels": ["none"]}, {"name": "", "preset": "down"},
    )  # fmt: skip
    for body in wrong:
        assert (await hub.post(f"{API}/rules", body)).status_code == 400, body
    assert [each["name"] for each in (await hub.json(f"{API}/rules"))["data"]] == ["slow"]
    await hub.post(f"{API}/rules", {"name": "slow", "preset": "derived", "k": 2})
    assert (await hub.json(f"{API}/rules/slow"))["k"] == 2
    assert (await hub.client.delete(f"{API}/rules/slow")).status_code == 200
    assert (await hub.get(f"{API}/rules/slow")).status_code == 404


async def test_rules_channels_and_silences_are_their_accounts_alone(hub: Hub) -> None:
    owner, stranger = hub.key("government", "acme"), hub.key("government", "other")
    await hub.post(f"{API}/rules", RULE, headers=owner)
    await hub.post(
        f"{API}/channels", {"name": "d", "kind": "slack", "url": "https://h.example/secret"}, headers=owner
    )
    silence = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}
    once = {**owner, "Idempotency-Key": "s"}
    first = await hub.post(f"{API}/silences", silence, headers=once)
    assert (await hub.post(f"{API}/silences", silence, headers=once)).json() == first.json()
    assert (await hub.post(f"{API}/silences", {**silence, "note": "n"}, headers=once)).status_code == 422
    assert (
        await hub.post(f"{API}/silences", {**silence, "end": silence["start"]}, headers=owner)
    ).status_code == 400
    for noun in ("rules", "channels", "silences"):
        shown = await hub.get(f"{API}/{noun}", headers=owner)
        assert len(shown.json()["data"]) == 1
        assert "secret" not in shown.text.replace('"secret":null', "")
        assert (await hub.json(f"{API}/{noun}", headers=stranger))["data"] == []
    poor = hub.key("government", "acme", scopes=frozenset({"read"}))
    assert (await hub.post(f"{API}/rules", RULE, headers=poor)).status_code == 403
    assert (await hub.json(f"{API}/rules", headers=poor))["data"], "whoever may read sees them"


async def test_a_channel_that_a_rule_names_stays(hub: Hub) -> None:
    await hub.post(f"{API}/channels", {"name": "desk", "kind": "slack", "url": "https://h.example/x"})
    await hub.post(f"{API}/rules", {**RULE, "channels": ["desk"]})
    assert (await hub.client.delete(f"{API}/channels/desk")).status_code == 409
    await hub.client.delete(f"{API}/rules/broken")
    assert (await hub.client.delete(f"{API}/channels/desk")).status_code == 200


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1/", 403), ("http://[::1]:80/", 403), ("http://10.0.0.8/", 403), ("http://169.254.169.254/", 403),
        ("http://[::ffff:10.0.0.8]/", 403), ("http://[64:ff9b::a00:8]/", 403), ("http://inner.example/", 403),
        ("http://2130706433/", 400), ("http://0x7f.1/", 400), ("http://0177.0.0.1/", 400), ("http://127.1/", 400),
        ("ftp://h.example/", 400), ("file:/etc/passwd", 400), ("env:HOME", 400), ("https://u:p@h.example/", 400),
        ("https://h.example/hook", 201),
    ],
)  # fmt: skip
async def test_a_channel_never_leads_inside(hub: Hub, url: str, status: int) -> None:
    hub.names["inner.example"] = ["8.8.8.8", "192.168.1.1"]
    key = hub.key("pro", "acme", scopes=frozenset({"read", "alerts"}))
    body = {"name": "c", "kind": "webhook", "url": url}
    answer = await hub.post(f"{API}/channels", body, headers=key)
    assert answer.status_code == status, answer.text
    assert "192.168" not in answer.text
    opened = await hub.post(f"{API}/channels", {**body, "allow": ["0.0.0.0/0"]}, headers=key)
    assert opened.status_code in {400, 403}, "only an operator opens a network"


async def test_a_channels_secrets_are_the_hubs_own(hub: Hub) -> None:
    for more in ({"secrets": ["env:HOME"]}, {"token": "file:/etc/passwd"}, {"host": "10.0.0.1"}):
        body = {"name": "c", "kind": "webhook", "url": "https://h.example/", **more}
        assert (await hub.post(f"{API}/channels", body)).status_code == 400
    for kind in ("email", "apprise", "telegram", "pagerduty", "pigeon"):
        answer = await hub.post(f"{API}/channels", {"name": "c", "kind": kind, "url": "https://h.example/"})
        assert answer.status_code == 400


async def test_a_test_notice_follows_no_redirect_and_no_name_that_changed_its_mind(
    hub: Hub, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.service.deliver = deliver
    await hub.post(f"{API}/channels", channel(receiver, allow=["127.0.0.0/8"]))
    assert (await hub.post(f"{API}/channels/desk/test", None)).json()["delivered"] is True
    receiver.move = f"http://127.0.0.1:{receiver.port}/inside"
    told = (await hub.post(f"{API}/channels/desk/test", None)).json()
    assert (told["delivered"], told["detail"], len(receiver.got)) == (False, "answered 302", 2)
    hub.names["rebind.example"] = ["8.8.8.8"]  # what it said when the channel was made
    rebind = {"name": "r", "kind": "webhook", "url": f"http://rebind.example:{receiver.port}/"}
    assert (await hub.post(f"{API}/channels", rebind)).status_code == 201
    there = [(2, 1, 6, "", ("127.0.0.1", receiver.port))]
    monkeypatch.setattr("nettrace.outside.notify.address.socket.getaddrinfo", lambda *_, **__: there)
    told = (await hub.post(f"{API}/channels/r/test", None)).json()
    assert (told["delivered"], len(receiver.got)) == (False, 2)
    assert "127.0.0.1" not in told["detail"]
