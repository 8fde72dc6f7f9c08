"""Globalping and RIPE Atlas as small servers on loopback that check requests by the published schemas."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handler = Callable[["Request"], tuple[int, dict[str, str], Any]]

OPTIONS = {
    "ping": {"packets": range(1, 17), "protocol": {"ICMP", "TCP"}, "port": range(65536), "ipVersion": {4, 6}},
    "traceroute": {"protocol": {"ICMP", "TCP", "UDP"}, "port": range(65536), "ipVersion": {4, 6}},
    "http": {
        "protocol": {"HTTP", "HTTPS", "HTTP2"}, "port": range(65536), "ipVersion": {4, 6}, "request": None,
        "resolver": None,
    },
}  # fmt: skip
REQUEST = {"host", "path", "query", "method", "headers"}
PROBE = {
    "continent": "AS", "region": "Eastern Asia", "country": "JP", "state": None, "city": "Tokyo", "asn": 16509,
    "network": "Amazon.com", "latitude": 35.69, "longitude": 139.69, "tags": ["aws-ap-northeast-1", "datacenter-network"],
    "resolvers": ["private"],
}  # fmt: skip


class Request:
    def __init__(self, method: str, path: str, headers: dict[str, str], body: Any) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body


class Double:
    """A server that answers with what `answer` says and remembers what was asked."""

    def __init__(self, answer: Handler) -> None:
        self.asked: list[Request] = []
        self.url = ""
        self.answer = answer


@contextmanager
def served(answer: Handler) -> Iterator[Double]:
    double = Double(answer)

    class Door(BaseHTTPRequestHandler):
        def _do(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Request(
                self.command,
                self.path,
                {k.lower(): v for k, v in self.headers.items()},
                json.loads(raw or b"null"),
            )
            double.asked.append(asked)
            status, headers, body = double.answer(asked)
            data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _do  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        double.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()


def globalping_complaint(body: Any) -> str | None:
    """What the published schema of `MeasurementRequest` finds wrong, or None."""
    if set(body) - {"type", "target", "locations", "limit", "measurementOptions", "inProgressUpdates"}:
        return "unknown field"
    if body.get("type") not in OPTIONS or not isinstance(body.get("target"), str):
        return "type or target"
    for place in body["locations"]:
        if set(place) - {"magic", "limit", "country", "city", "asn"} or not 1 <= place["limit"] <= 200:
            return "location"
    known = OPTIONS[body["type"]]
    for name, value in body["measurementOptions"].items():
        if name not in known or (known[name] is not None and value not in known[name]):
            return f"option {name}"
    request = body["measurementOptions"].get("request", {})
    if set(request) - REQUEST or request.get("method", "HEAD") not in {"HEAD", "GET", "OPTIONS"}:
        return "request"
    return None


class FakeGlobalping:
    """The service with an hourly limit of its own; `results` are its probes' results."""

    def __init__(self, results: list[dict[str, Any]], limit: int = 250) -> None:
        self.results = results
        self.limit = limit
        self.used = 0
        self.polls = 0
        self.polls_until_finished = 2
        self.created: Any = None
        self._lock = threading.Lock()

    def __call__(self, asked: Request) -> tuple[int, dict[str, str], Any]:
        if asked.path == "/v1/limits":
            create = {"type": "ip", "limit": self.limit, "remaining": self.limit - self.used, "reset": 3600}
            return 200, {}, {"rateLimit": {"measurements": {"create": create}}}
        if asked.method == "POST" and asked.path == "/v1/measurements":
            return self._create(asked.body)
        return self._get(asked)

    def _create(self, body: Any) -> tuple[int, dict[str, str], Any]:
        if wrong := globalping_complaint(body):
            error = {
                "type": "validation_error",
                "message": "Parameter validation failed.",
                "params": {"x": wrong},
            }
            return 400, {}, {"error": error}
        with self._lock:
            probes = min(len(self.results), sum(place["limit"] for place in body["locations"]))
            if self.used + probes > self.limit:
                headers = {"Retry-After": "77", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "77"}
                return (
                    429,
                    headers,
                    {"error": {"type": "rate_limit_exceeded", "message": "API rate limit exceeded."}},
                )
            self.used += probes
            self.created = body
            headers = {
                "Location": "/v1/measurements/nzGzfAGL7sZfUs3c", "X-RateLimit-Limit": str(self.limit),
                "X-RateLimit-Remaining": str(self.limit - self.used), "X-RateLimit-Reset": "3600",
            }  # fmt: skip
            return 202, headers, {"id": "nzGzfAGL7sZfUs3c", "probesCount": probes}

    def _get(self, asked: Request) -> tuple[int, dict[str, str], Any]:
        self.polls += 1
        finished = self.polls >= self.polls_until_finished
        if not finished and asked.headers.get("if-none-match") == 'W/"1"':
            return 304, {}, None
        results = (
            self.results
            if finished
            else [{**each, "result": {"status": "in-progress", "rawOutput": ""}} for each in self.results]
        )
        return 200, {"ETag": 'W/"2"' if finished else 'W/"1"'}, measurement(results, finished=finished)


def measurement(
    results: list[dict[str, Any]], *, finished: bool = True, kind: str = "ping"
) -> dict[str, Any]:
    return {
        "id": "nzGzfAGL7sZfUs3c", "type": kind, "target": "api.example", "probesCount": len(results),
        "status": "finished" if finished else "in-progress", "createdAt": "2026-11-20T10:00:00.250Z",
        "updatedAt": "2026-11-20T10:00:01.000Z", "results": results,
    }  # fmt: skip


def result(found: dict[str, Any], **probe: Any) -> dict[str, Any]:
    return {"probe": {**PROBE, **probe}, "result": {"status": "finished", "rawOutput": "...", **found}}


def pinged(*rtts: float, total: int | None = None, **probe: Any) -> dict[str, Any]:
    sent = total or len(rtts)
    stats = {
        "min": min(rtts, default=None), "avg": None, "max": max(rtts, default=None), "total": sent, "rcv": len(rtts),
        "drop": sent - len(rtts), "loss": 0,
    }  # fmt: skip
    timings = [{"rtt": rtt, "ttl": 50} for rtt in rtts]
    found = {"resolvedAddress": "1.0.0.1", "resolvedHostname": "x", "stats": stats, "timings": timings}
    return result(found, **probe)


class FakeAtlas:
    """Probes in Tokyo, credits, one measurement at a time."""

    def __init__(self, balance: int = 100_000) -> None:
        self.balance = balance
        self.bodies: list[Any] = []
        self.silent: set[int] = set()
        self.looks = 0

    def __call__(self, asked: Request) -> tuple[int, dict[str, str], Any]:
        if asked.headers.get("authorization") != "Key k":
            return 401, {}, {"error": {"status": 401, "title": "Unauthorized", "detail": "no key"}}
        path, _, query = asked.path.partition("?")
        if path == "/api/v2/probes/":
            self.query = query
            rows = [
                {"id": number, "asn_v4": asn, "asn_v6": None, "country_code": "JP", "is_anchor": number == 6002,
                 "geometry": {"type": "Point", "coordinates": [139.7, 35.7]}, "status": {"id": 1}}
                for number, asn in ((11, 2516), (12, 2516), (13, 4713), (6002, 2500))
            ]  # fmt: skip
            return 200, {}, {"count": len(rows), "next": None, "results": rows}
        if path == "/api/v2/credits/":
            return 200, {}, {"current_balance": self.balance}
        if asked.method == "POST":
            return self._create(asked.body)
        if path.endswith("/results/"):
            self.looks += 1
            return 200, {}, [] if self.looks == 1 else self._results()
        return (
            200,
            {},
            {"id": 9001, "status": {"id": 4 if self.looks > 2 else 2, "name": "x"}, "credits_per_result": 3},
        )

    def _create(self, body: Any) -> tuple[int, dict[str, str], Any]:
        [definition], [source] = body["definitions"], body["probes"]
        good = (
            set(body) == {"definitions", "probes", "is_oneoff"}
            and body["is_oneoff"] is True
            and {"type", "target", "af", "description"} <= set(definition)
            and definition["type"] in {"ping", "traceroute"}
            and definition["af"] in {4, 6}
            and source["type"] == "probes"
            and source["requested"] == len(source["value"].split(","))
        )
        if not good:
            return 400, {}, {"error": {"status": 400, "detail": "bad", "errors": [{"detail": "field"}]}}
        self.bodies.append(body)
        return 201, {}, {"measurements": [9001]}

    def _results(self) -> list[dict[str, Any]]:
        return [
            {"type": "ping", "fw": 5080, "prb_id": number, "msm_id": 9001, "timestamp": 1_795_000_000, "af": 4,
             "dst_name": "api.example", "dst_addr": "1.0.0.1", "proto": "ICMP", "sent": 3, "rcvd": 2,
             "result": [{"rtt": 2.5}, {"x": "*"}, {"rtt": 2.25}]}
            for number in map(int, self.bodies[-1]["probes"][0]["value"].split(",")) if number not in self.silent
        ]  # fmt: skip
