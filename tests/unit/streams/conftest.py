"""Servers on loopback whose every delay and fault is planted by the test."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
import trustme

Handler = Callable[[socket.socket], None]
T = TypeVar("T")


class Server:
    """A TCP server that runs `handler` in a thread for every connection."""

    def __init__(self, handler: Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        self.failures: list[BaseException] = []
        self.connections = 0
        self._handler = handler
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def secure_url(self) -> str:
        return self.url.replace("http", "https", 1)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self._threads)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._handler(connection)
        except (OSError, EOFError):
            pass  # the client went away, as clients do
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._open.discard(connection)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """`serve(handler, host=..., port=...)` starts a server; all are stopped after the test."""
    servers: list[Server] = []

    def start(handler: Handler, host: str = "127.0.0.1", port: int = 0) -> Server:
        server = Server(handler, host, port)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
    assert not [failure for server in servers for failure in server.failures]


class Trust:
    """A certificate authority of our own, and server settings with its certificates."""

    def __init__(self, authority: trustme.CA, ca_file: str) -> None:
        self.authority = authority
        self.ca_file = ca_file

    def server(self, *names: str, **options: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*(names or ("127.0.0.1", "::1", "localhost")), **options).configure_cert(
            context
        )
        return context


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return Trust(authority, str(path))


def read_request(connection: socket.socket) -> bytes:
    """One request without a body; EOFError when the client closes instead."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        part = connection.recv(4096)
        if not part:
            raise EOFError
        request += part
    return request


@pytest.fixture(scope="session")
def request_of() -> Callable[[socket.socket], bytes]:
    return read_request


def response(body: bytes = b"ok", status: str = "200 OK", **headers: str) -> bytes:
    """An HTTP/1.1 response with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture(scope="session")
def respond() -> Callable[..., bytes]:
    return response


@pytest.fixture(scope="session")
def run() -> Callable[[Awaitable[T]], T]:
    """Run a coroutine to its end in a fresh event loop; a hang fails instead of hanging."""

    def run(work: Awaitable[T]) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(work, 30)

        return asyncio.run(bounded())

    return run


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port nobody listens on, nor can while the test runs: it is bound."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops every connection request without a word."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture(scope="session")
def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
