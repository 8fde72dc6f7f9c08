"""The programs a hub is made of, and the sockets it listens on: what `nettrace up` and the demo keep running."""

import http.client
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nettrace.errors import ConfigError, Conflict, NetTraceError
from nettrace.hub.access import loopback
from nettrace.hub.link import blocking_link
from nettrace.hub.place import Data
from nettrace.runtime.supervise import Program
from nettrace.store.embedded.database import Lock

WRITER_STAGE, API_STAGE, NODE_STAGE = 0, 1, 2
READY_PATH = "/livez"
_BACKLOG = 4096


class Bind:
    """Where a hub listens, as the user said it.

    >>> bind = Bind("127.0.0.1:8787")
    >>> bind.host, bind.port, bind.loopback, Bind("[::]:80").loopback
    ('127.0.0.1', 8787, True, False)

    Raises:
        ConfigError: not `HOST:PORT`.
    """

    def __init__(self, text: str) -> None:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535 or not host:
            raise ConfigError(
                f"'{text}' is no address to listen on", "Write HOST:PORT, such as 127.0.0.1:8787"
            )
        self.host = host.strip("[]")
        self.port = int(port)
        self.loopback = loopback(self.host)

    def listen(self) -> socket.socket:
        """The listening socket; with port 0 the system chooses one.

        Raises:
            Conflict: somebody listens there already. ConfigError: there is no such address here.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except socket.gaierror as error:
            raise ConfigError(f"cannot listen on '{self.host}': {error.strerror}") from error
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno in {98, 13}:  # EADDRINUSE, EACCES
                raise Conflict(
                    f"cannot listen on {self.host}:{self.port}: {error.strerror}",
                    "Choose another port: nettrace up --bind 127.0.0.1:0 takes a free one",
                ) from error
            raise ConfigError(f"cannot listen on {self.host}:{self.port}: {error.strerror}") from error
        self.port = listener.getsockname()[1]
        return listener

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound
        host = anywhere.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def refuse_taken(data: Data) -> None:
    """Nothing, when nobody writes this data folder.

    Raises:
        StoreBusy: somebody does; it is named.
    """
    Lock(data.lock).release()


def writer_program(data: Data) -> Program:
    """The one that writes."""
    command = [sys.executable, "-m", "nettrace.hub.writer", "--data", str(data.folder)]
    return Program(name="writer", command=command, stage=WRITER_STAGE, ready=lambda: writes(data), end_s=1.2)


def api_program(
    number: int, data: Data, bind: Bind, listeners: Sequence[socket.socket], public_hosts: Sequence[str] = ()
) -> Program:
    """One API worker on listening sockets that all of them share."""
    fds = tuple(listener.fileno() for listener in listeners)
    command = [sys.executable, "-m", "nettrace.serve.worker", "--data", str(data.folder), "--bind", str(bind)]
    for fd in fds:
        command += ["--fd", str(fd)]
    for name in public_hosts:
        command += ["--public-host", name]
    return Program(
        name=f"api-{number}", command=command, stage=API_STAGE, fds=fds, ready=answering(bind), end_s=1.2
    )


def node_program(url: str, region: str, folder: Path, token: Path, prefix: Sequence[str] = ()) -> Program:
    """A node that reports to a hub; `prefix` is what leads to the place where it runs."""
    command = [*prefix, sys.executable, "-m", "nettrace", "node", "--hub", url, "--region", region]
    command += ["--token-file", str(token), "--data", str(folder)]
    return Program(name=f"node-{region}", command=command, stage=NODE_STAGE, end_s=2.3, needed=False)


def courier_program(data: Data) -> Program:
    """The one that holds alert rules against the store and carries notices."""
    command = [sys.executable, "-m", "nettrace.hub.courier", "--data", str(data.folder)]
    return Program(name="courier", command=command, stage=NODE_STAGE, end_s=1.5, needed=False)


def writes(data: Data) -> bool:
    """True when the folder's writer answers."""
    try:
        link = blocking_link(data.socket)
    except NetTraceError:
        return False
    try:
        link.status()
    except NetTraceError:
        return False
    finally:
        link.close()
    return True


def answering(bind: Bind) -> Callable[[], bool]:
    """Tells whether the hub answers HTTP."""

    def ask() -> bool:
        host = bind.url.removeprefix("http://").rpartition(":")[0].strip("[]")
        connection = http.client.HTTPConnection(host, bind.port, timeout=1.0)
        try:
            connection.request("GET", READY_PATH)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask
