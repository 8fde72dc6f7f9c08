"""Fly's Machines API as its OpenAPI document describes it, on loopback, with the faults a caller must live with."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REGIONS = ("ams", "cdg", "fra", "nrt")


class Fly:
    """The service's state. `fault(method, path)` may return (status, body, headers), "drop" or "late"."""

    def __init__(self) -> None:
        self.machines: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.full: dict[str, tuple[int, str]] = {}
        self.calls: list[tuple[str, str, Any]] = []
        self.fault: Callable[[str, str], Any] = lambda _method, _path: None
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        with self.lock:
            if path == "/platform/regions":
                old = {"code": "hkg", "deprecated": True}
                return 200, {
                    "Regions": [*({"code": code, "name": code} for code in REGIONS), old],
                    "nearest": "fra",
                }
            if path == "/apps/nodes":
                return 200, {"id": "a1", "name": "nodes", "status": "deployed"}
            if found := re.fullmatch(r"/apps/nodes/secrets/(\w+)", path):
                if method == "DELETE":
                    return (200, {}) if self.secrets.pop(found[1], None) else (404, {"error": "not found"})
                self.secrets[found[1]] = body["value"]
                return 200, {"name": found[1], "digest": "d", "version": len(self.secrets)}
            if path == "/apps/nodes/machines":
                return self._list(query) if method == "GET" else self._create(body)
            if found := re.fullmatch(r"/apps/nodes/machines/(\w+)/metadata/(\w+)", path):
                assert method == "DELETE"
                known = self.machines[found[1]]["config"]["metadata"].pop(found[2], None)
                return (204, None) if known else (404, {"error": "no such metadata"})
            if found := re.fullmatch(r"/apps/nodes/machines/(\w+)(/\w+)?", path):
                return self._one(method, found[1], found[2] or "", body)
            return 404, {"error": f"no {path}"}

    def _list(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        assert query == {"metadata.nettrace_fleet": ["nettrace"]}
        # Fly filters by this; the double does not, so that a client that trusts the filter alone is found out
        return 200, list(self.machines.values())

    def _create(self, body: Any) -> tuple[int, Any]:
        for each in self.machines.values():
            if each["name"] == body["name"]:
                text = f'already_exists: unique machine name violation, machine ID {each["id"]} already exists with name "{each["name"]}"'
                return 409, {"error": text}
        if body["region"] in self.full:
            status, text = self.full[body["region"]]
            return status, {"error": text}
        made = {
            "id": f"{len(self.machines) + 0x9080:x}e", "name": body["name"], "state": "created", "region": body["region"],
            "instance_id": "01H", "private_ip": "fdaa::1", "config": body["config"], "events": [],
            "created_at": "2026-11-20T00:00:00Z", "updated_at": "2026-11-20T00:00:00Z",
        }  # fmt: skip
        self.machines[made["id"]] = made
        made["state"] = "started"
        return 200, made

    def _one(self, method: str, id_: str, verb: str, body: Any) -> tuple[int, Any]:
        machine = self.machines.get(id_)
        if machine is None:
            return 404, {"error": "machine not found"}
        if method == "DELETE":
            return 200, {"ok": bool(self.machines.pop(id_))}
        if method == "POST" and not verb:
            if machine["region"] in self.full:
                status, text = self.full[machine["region"]]
                return status, {"error": text}
            machine["config"], machine["state"] = body["config"], "started"
            return 200, machine
        if verb in {"/start", "/stop"}:
            machine["state"] = "started" if verb == "/start" else "stopped"
            return 200, {"ok": True}
        return 200, {"ok": True} if verb == "/wait" else machine

    def foreign(self, name: str, metadata: dict[str, str] | None = None) -> str:
        """A machine of the same app that this fleet did not make."""
        config = {"image": "x", "metadata": metadata or {"owner": "somebody"}}
        self.machines["f0e"] = {
            "id": "f0e",
            "name": name,
            "state": "started",
            "region": "fra",
            "config": config,
        }
        return "f0e"


@contextmanager
def serving() -> Iterator[Fly]:
    """The double at `fly.url` until the end of the block."""
    fly = Fly()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix("/v1")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            assert self.headers["Authorization"] == "Bearer fly-token"
            fly.calls.append((self.command, path, body))
            fault = fly.fault(self.command, path)
            headers: dict[str, str] = {}
            if isinstance(fault, tuple):
                status, data, headers = fault
            else:
                status, data = fly.answer(self.command, path, parse_qs(parts.query), body)
            if fault == "drop":
                self.close_connection = True
                return
            if fault == "late":
                self.connection.recv(1)  # its end: the caller has given up
            text = json.dumps(data).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 (names of http.server)

        def log_message(self, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # a caller that had no patience
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    fly.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fly
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
