"""What every request passes: the host's names, other sites' pages, sizes, patience."""

import asyncio
import json

import pytest
import uvicorn
from tests.api.conftest import Hub
from uvicorn.server import ServerState

from nettrace.api import connection, shield
from nettrace.api.connection import PatientProtocol
from nettrace.api.shield import Shield


@pytest.mark.parametrize(
    "host", ["localhost:8787", "127.0.0.1:1", "[::1]:8787", "app.localhost", "LOCALHOST."]
)
async def test_loopback_names_are_ours(hub: Hub, host: str) -> None:
    assert (await hub.get("/livez", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""]
)
async def test_a_name_that_is_not_ours_is_rebinding(hub: Hub, host: str) -> None:
    for path in ("/livez", "/api/v1/targets", "/docs", "/nowhere"):
        answer = await hub.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")


async def test_a_named_public_host_is_ours(hub: Hub) -> None:
    assert Shield(hub.app, hosts=["Hub.Example"])._ours("hub.example:443")
    assert not Shield(hub.app, hosts=["hub.example"])._ours("other.example")


async def test_pages_of_other_sites_cannot_write(hub: Hub) -> None:
    body = {"target": "api.example.com"}
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://localhost", 202)):
        answer = await hub.post("/api/v1/measurements", body, headers={"Origin": origin, "Host": "localhost"})
        assert answer.status_code == status
    assert "access-control-allow-origin" not in (await hub.get("/api/v1/targets")).headers


async def test_every_kind_of_refusal_is_a_problem(hub: Hub) -> None:
    asked = {
        404: hub.get("/api/v1/nowhere"),
        405: hub.client.delete("/api/v1/targets"),
        406: hub.get("/api/v1/targets", headers={"Accept": "application/xml"}),
        413: hub.client.post("/api/v1/measurements", content=b"x" * (shield.BODY_BYTES + 1)),
        400: hub.client.post("/api/v1/measurements", content=b"{"),
        431: hub.get("/livez", headers=[(f"x-{number}", "1") for number in range(200)]),
    }
    for status, answer in asked.items():
        found = await answer
        assert found.status_code == status
        assert found.headers["content-type"] == "application/problem+json"
        told = found.json()
        assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(told)
        assert told["request_id"] == found.headers["x-request-id"]
        assert (await hub.get(told["type"])).status_code == 200


async def test_what_nobody_foresaw_is_a_500_without_secrets(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr(hub.service.readers, "run", broken)
    answer = await hub.get("/api/v1/rounds")
    assert answer.status_code == 500
    assert "1234" not in answer.text
    assert answer.json()["request_id"] in caplog.text


async def test_head_answers_like_get_without_a_body(hub: Hub) -> None:
    head, get = await hub.client.head("/api/v1/targets"), await hub.get("/api/v1/targets")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]


async def test_a_slow_body_is_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shield, "BODY_PATIENCE_S", 0.01)
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/measurements", "raw_path": b"/api/v1/measurements",
        "query_string": b"", "headers": [(b"host", b"localhost"), (b"content-length", b"5")], "http_version": "1.1",
        "scheme": "http", "server": ("localhost", 80), "client": ("127.0.0.1", 1), "root_path": "", "state": {},
        "asgi": {"version": "3.0", "spec_version": "2.3"}, "extensions": {},
    }  # fmt: skip
    await hub.app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["code"] == "body-too-slow"


async def test_a_client_that_hangs_up_in_its_body_is_no_fault_of_ours(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    coming = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, object]:
        return next(coming)

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/measurements", "raw_path": b"/api/v1/measurements",
        "query_string": b"", "headers": [(b"host", b"localhost")], "http_version": "1.1", "scheme": "http",
        "server": ("localhost", 80), "client": ("127.0.0.1", 1), "root_path": "", "state": {},
        "asgi": {"version": "3.0", "spec_version": "2.3"}, "extensions": {},
    }  # fmt: skip
    await hub.app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert "broke" not in caplog.text


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nhost: local", b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000]
)
async def test_a_head_that_does_not_come_is_not_waited_for(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = len(said) > 1000  # is refused for its length, and has all the time it wants until then
    monkeypatch.setattr(connection, "HEAD_PATIENCE_S", 60 if too_long else 0.05)
    config = uvicorn.Config(lambda *_: None, log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PatientProtocol(config, ServerState(), {}), "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(said)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 431" if too_long else b"")
        assert len(answer) < 200
