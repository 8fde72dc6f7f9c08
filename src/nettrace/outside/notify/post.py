"""One HTTP POST to a checked and pinned address: no redirects, no proxies of the environment, a bounded answer."""

import socket
import ssl
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

from nettrace import __version__
from nettrace.errors import Invalid, Unreachable
from nettrace.outside.notify.address import resolved

TIMEOUT_S = 10.0
_MOST_BYTES = 2048


class Answer(NamedTuple):
    """What the service said, its body cut short.

    `retry_after_s` is what it asked for, or None.
    """

    status: int
    text: str
    retry_after_s: float | None = None


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Post to an http or https address.

    Raises:
        Invalid: the address is none. Forbidden: it leads where nothing may be posted. Unreachable: no answer.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Invalid(f"a channel's url is none: {error}", "Write https://HOST/PATH") from error
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
        raise Invalid("a channel's url is no http or https address without a user", "Write https://HOST/PATH")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    failed: Exception | None = None
    for address in resolved(host, port, allow):
        pinned = (
            _Pinned(host, port, address, timeout_s)
            if parts.scheme == "http"
            else _PinnedTls(host, port, address, timeout_s)
        )
        try:
            return _talk(pinned, path, body, headers)
        except (OSError, HTTPException) as error:
            failed = error
        finally:
            pinned.close()
    raise Unreachable(f"{host} does not answer ({failed or 'no address'})", "It is tried again") from failed


def _talk(connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    said = {"User-Agent": f"nettrace/{__version__}", "Content-Type": "application/json", **headers}
    connection.request("POST", path, body=body, headers=said)
    answer = connection.getresponse()
    wait = answer.getheader("Retry-After") or ""
    text = answer.read(_MOST_BYTES).decode(errors="replace")
    return Answer(answer.status, text, float(wait) if wait.isascii() and wait.isdigit() else None)


class _Pinned(HTTPConnection):
    def __init__(self, host: str, port: int, address: str, timeout_s: float) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._address = address

    def connect(self) -> None:
        """To the address that was checked, whatever the name says by now."""
        self.sock = socket.create_connection((self._address, self.port), self.timeout)


class _PinnedTls(HTTPSConnection):
    def __init__(self, host: str, port: int, address: str, timeout_s: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout_s, context=self._tls)
        self._address = address

    def connect(self) -> None:
        """To the address that was checked; the certificate must be the name's."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
