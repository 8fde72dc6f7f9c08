"""The line to the hub: HTTPS requests the node makes, signed, over one connection that is kept."""

import http.client
import socket
import ssl
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from nettrace import __version__
from nettrace.errors import ConfigError, Invalid, Unreachable
from nettrace.model.instant import NS_PER_S
from nettrace.node.identity import Identity
from nettrace.wire.signing import TIME_HEADER, key_of, signed

CONNECT_TIMEOUT_S = 10.0
_SKEW_NOTED_NS = 10 * NS_PER_S


class Answer(NamedTuple):
    """What the hub said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def seconds(self, name: str) -> float | None:
        """A header that is a number of seconds, such as Retry-After; None when it is absent or a date."""
        try:
            return max(0.0, float(self.headers.get(name, "")))
        except ValueError:
            return None


class Hub:
    """Where the hub is and how it is trusted.

    Args:
        url: `https://...`; plain `http://` only to this machine itself, or with `insecure_http`.
        ca_file: trust exactly the certificates in this PEM file.
        insecure_http: allow plain HTTP to anywhere: readable and alterable on the way, though signed.

    Raises:
        ConfigError: the URL is not one of those.
    """

    def __init__(self, url: str, *, ca_file: str | None = None, insecure_http: bool = False) -> None:
        self.url = url.rstrip("/")
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"{url!r} is not a URL: {error}") from None
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.username:
            raise ConfigError(f"{url!r} is not the URL of a hub", "Write it like https://hub.example.net")
        self.host = host
        self.secure = parts.scheme == "https"
        self.port = port or (443 if self.secure else 80)
        self.prefix = parts.path
        if not self.secure and not insecure_http and not _is_loopback(host):
            raise ConfigError(
                f"{url} is not encrypted", "Use https://, or --insecure-http if nobody else is on the way"
            )
        self._context: ssl.SSLContext | None = None
        if self.secure:
            try:
                self._context = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"{ca_file} holds no certificates: {error}") from None

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection that is not open yet."""
        if self._context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=self._context)


class Signature:
    """Signs requests of one node, by the hub's clock as far as it is known.

    Attributes:
        skew_ns: hub minus our clock, learnt from a refusal; 0 as long as the hub accepts ours.
    """

    def __init__(self, identity: Identity) -> None:
        self.skew_ns = 0
        self._node = identity.node
        self._key = key_of(identity.secret)

    def headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The headers that sign this request now."""
        return signed(self._node, self._key, (method, path), time.time_ns() + self.skew_ns, body)

    def correct(self, answer: Answer, used_ns: int) -> bool:
        """After a 401: True when the hub's clock was the reason, and the next try goes by it.

        Args:
            answer: with the hub's time in its header.
            used_ns: the skew the refused request was signed with; another thread may know better by now.
        """
        stamp = answer.headers.get(TIME_HEADER, "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 20):
            return False
        self.skew_ns = int(stamp) - time.time_ns()
        return abs(self.skew_ns - used_ns) > _SKEW_NOTED_NS


class Line:
    """One connection to the hub, opened when needed; for one thread, but `hang_up` may come from any."""

    def __init__(self, hub: Hub, signature: Signature | None = None) -> None:
        self.hub = hub
        self.signature = signature
        self._connection: http.client.HTTPConnection | None = None
        self._closed = False
        self._skew_ns = 0

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        """The hub's answer. A kept connection that had ended meanwhile is opened again, once.

        Raises:
            Unreachable: there is no answer.
        """
        kept = self._connection is not None
        try:
            return self._once(method, path, body, headers or {}, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            if not kept or self._closed or isinstance(error, TimeoutError):
                raise self._unreachable(error) from error
        try:  # the other side may end a kept connection at any time, with or without a word
            return self._once(method, path, body, headers or {}, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise self._unreachable(error) from error

    def corrected(self, answer: Answer) -> bool:
        """True when the last request was refused for its time alone, and is worth asking again at once."""
        if answer.status != 401 or self.signature is None:
            return False
        return self.signature.correct(answer, self._skew_ns)

    def hang_up(self) -> None:
        """End whatever is under way; no request succeeds after this."""
        self._closed = True
        connection = self._connection
        sock = connection.sock if connection else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back; only from the thread that asks."""
        self._closed = True
        self._drop()

    def _once(self, method: str, path: str, body: bytes, extra: dict[str, str], timeout_s: float) -> Answer:
        if self._closed:
            raise ConnectionError("this node is ending")
        if self._connection is None:
            self._connection = self.hub.connection(CONNECT_TIMEOUT_S)
            self._connection.connect()
        sock = self._connection.sock
        if sock is not None:
            sock.settimeout(timeout_s)
        headers = {"User-Agent": f"nettrace-node/{__version__}", **extra}
        if self.signature is not None:
            self._skew_ns = self.signature.skew_ns
            headers |= self.signature.headers(method, path, body)
        self._connection.request(method, self.hub.prefix + path, body or None, headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.will_close:
            self._drop()
        return Answer(response.status, response.headers, content)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _unreachable(self, error: BaseException) -> Unreachable:
        words = str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            words = f"its certificate is not trusted ({error.verify_message})"
        return Unreachable(f"the hub at {self.hub.url} does not answer: {words}")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(text: str) -> str:
    """The token in the text of a token file.

    >>> read_token("  nt_node_abc ")
    'nt_node_abc'

    Raises:
        Invalid: there is none, or more than one word.
    """
    words = text.split()
    if len(words) != 1:
        raise Invalid(
            "The token file does not hold one token", "Make one: nettrace fleet token --region CODE"
        )
    return words[0]
