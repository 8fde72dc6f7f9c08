"""The line to the hub: trusted certificates only, one kept connection that may end at any time."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from nettrace.errors import ConfigError, Unreachable
from nettrace.node.identity import Identity
from nettrace.node.line import Hub, Line, Signature
from nettrace.node.uplink import LONGEST_PAUSE_S, Pauses
from nettrace.wire.signing import genuine, key_of


class Server(HTTPServer):
    """Answers with what it was asked, and notes the requests; hangs up after each when `brusque`."""

    brusque = False
    connections = 0

    def handle_error(self, *_: object) -> None:
        return


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, Server)
        self.server.connections += 1

    def log_message(self, *_: object) -> None:
        return

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = genuine(key_of("s"), ("POST", "/api/v1/nodes/report"), dict(self.headers), body)
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.server.brusque


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Door)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def line_to(server: Server, ca_file: Path | None) -> Line:
    hub = Hub(f"https://127.0.0.1:{server.server_port}/", ca_file=str(ca_file) if ca_file else None)
    return Line(hub, Signature(Identity(node="nd", secret="s", region="nyc", hub=hub.url)))


def test_requests_are_signed_and_the_connection_is_kept_or_made_again(
    server: Server, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    line = line_to(server, tmp_path / "ca.pem")
    for _ in range(3):
        answer = line.ask("POST", "/api/v1/nodes/report", b"body")
        assert (answer.status, answer.body) == (200, b"body")
    assert server.connections == 1
    server.brusque = True
    for _ in range(3):
        assert line.ask("POST", "/api/v1/nodes/report", b"body").status == 200
    assert server.connections >= 3
    line.hang_up()
    with pytest.raises(Unreachable, match="ending"):
        line.ask("POST", "/api/v1/nodes/report", b"body")
    line.close()


def test_a_certificate_nobody_vouches_for_is_refused(server: Server) -> None:
    with pytest.raises(Unreachable, match="not trusted"):
        line_to(server, None).ask("POST", "/api/v1/nodes/report", b"body")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hub.example", True),
        ("http://127.0.0.1:8787", True),
        ("http://[::1]:8787", True),
        ("http://localhost", True),
        ("http://hub.example", False),
        ("http://127.0.0.1.hub.example", False),
        ("http://192.168.1.1", False),
        ("https://user:secret@hub.example", False),
        ("hub.example", False),
        ("https://hub.example:port", False),
    ],
)
def test_plain_http_goes_nowhere_but_here(url: str, allowed: bool) -> None:
    if allowed:
        assert Hub(url).url == url
    else:
        with pytest.raises(ConfigError):
            Hub(url)


def test_plain_http_elsewhere_must_be_asked_for() -> None:
    hub = Hub("http://hub.example/nettrace/", insecure_http=True)
    assert (hub.host, hub.port, hub.prefix) == ("hub.example", 80, "/nettrace")


def test_pauses_grow_to_a_minute_and_begin_again() -> None:
    pauses = Pauses()
    grown = [pauses.next_s() for _ in range(12)]
    for number, pause_s in enumerate(grown):
        longest_s = min(LONGEST_PAUSE_S, 2.0**number)
        assert longest_s / 2 <= pause_s <= longest_s
    pauses.ended()
    assert pauses.next_s() <= 1.0
