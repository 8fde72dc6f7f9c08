"""JSON over HTTPS to a provider's API: a bearer token, patience with 429 and 5xx, an answer bounded in size and time."""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from nettrace import __version__
from nettrace.errors import ConfigError, Unreachable
from nettrace.outside.providers.port import Secret

_MOST_BYTES = 32 << 20
_TRIES = 5
_LONGEST_WAIT_S = 60.0


class Answer(NamedTuple):
    """Status and body; `data` is the body when it is JSON, else None."""

    status: int
    data: Any
    text: str

    @property
    def error(self) -> str:
        """What the service says went wrong."""
        if isinstance(self.data, dict):
            found: object = self.data.get("error")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if isinstance(found, str):
                return found[:300]
        return self.text[:300]


class Rest:
    """One API.

    Args:
        base: its address; https, or http on this machine itself.
        token: goes into the Authorization header and nowhere else.
        wait: sleeps; what a test replaces.

    Raises:
        ConfigError: the address is none, or would carry the token in the clear.
    """

    def __init__(
        self,
        base: str,
        token: Secret,
        *,
        timeout_s: float = 30.0,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        parts = urlsplit(base)
        host = parts.hostname
        if not host or parts.scheme not in {"http", "https"} or parts.username:
            raise ConfigError(f"{base!r} is no address of an API", "Write https://HOST/v1")
        if parts.scheme == "http" and not _here(host):
            raise ConfigError(f"{base!r} would carry the token in the clear", "Write https://")
        self._host, self._port, self._path = host, parts.port, parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._token, self._timeout_s, self._wait = token, timeout_s, wait

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> Answer:
        """One request; 429 waits as long as it says, 5xx and silence are tried again when `again`.

        Args:
            method: GET, POST or DELETE.
            path: behind the base.
            body: sent as JSON.
            query: behind the question mark.
            again: the request may be repeated although nobody knows whether it was done.

        Raises:
            Unreachable: no answer, or none but 429 and 5xx, in five tries.
        """
        target = f"{self._path}{path}{'?' + urlencode(query) if query else ''}"
        problem = ""
        for number in range(_TRIES):
            pause = min(2.0**number * 0.5, _LONGEST_WAIT_S)
            try:
                answer, asked = self._talk(method, target, body)
            except (OSError, HTTPException) as error:
                problem = type(error).__name__ if isinstance(error, TimeoutError) else str(error)
                if not again:
                    break
            else:
                if answer.status != 429 and (answer.status < 500 or not again):
                    return answer
                problem = f"{answer.status} {answer.error}"
                pause = pause if asked is None else min(asked, _LONGEST_WAIT_S)
            if number < _TRIES - 1:
                self._wait(pause)
        raise Unreachable(
            f"{self._host} does not do {method} {path} ({problem})", "Run the command again: it resumes"
        )

    def _talk(self, method: str, target: str, body: object) -> tuple[Answer, float | None]:
        connection = (
            HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            if self._tls is None
            else HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
        )
        try:
            headers = {
                "Authorization": f"Bearer {self._token.reveal()}",
                "User-Agent": f"nettrace/{__version__}",
                "Content-Type": "application/json",
            }
            connection.request(method, target, None if body is None else json.dumps(body).encode(), headers)
            got = connection.getresponse()
            text = got.read(_MOST_BYTES).decode(errors="replace")
            after = got.getheader("Retry-After") or ""
            try:
                data = json.loads(text)
            except ValueError:
                data = None
            return Answer(got.status, data, text), float(
                after
            ) if after.isdigit() and after.isascii() else None
        finally:
            connection.close()


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
