"""JSON over HTTP with other people's services: bounded, never redirected, a token never in the clear."""

import time
from collections.abc import Callable, Mapping
from email.message import Message
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from typing import IO, Any, NoReturn, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from nettrace import __version__
from nettrace.errors import Invalid, SourceError, Unreachable

LIMIT_BYTES = 8 << 20
TIMEOUT_S = 20.0
_CHUNK_BYTES = 1 << 16
_WORDS = 300


class Reply(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        headers: by lower-case name.
        body: as it came, at most `LIMIT_BYTES`.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body decoded. Raises SourceError when it is not JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise SourceError(
                f"an answer ({self.status}) is not JSON: {problem}", "Try again later; the service may be ill"
            ) from None

    def number(self, header: str) -> int | None:
        """A header that is a whole number, or None: absent, or something else."""
        text = self.headers.get(header.lower(), "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None

    def words(self) -> str:
        """What the service says of a refusal, safe to print: one line, no control characters."""
        try:
            told: object = self.json()
        except SourceError:
            return f"HTTP {self.status}"
        error = (
            cast("dict[str, object]", told).get("error", cast("object", told))
            if isinstance(told, dict)
            else told
        )
        said = _said(cast("dict[str, object]", error)) if isinstance(error, dict) else [str(error)]
        text = " ".join("".join(char if char.isprintable() else " " for char in "; ".join(said)).split())
        return text[:_WORDS] or f"HTTP {self.status}"


class Rest:
    """One service's address and the header that says who asks."""

    def __init__(
        self, base: str, headers: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`base` is the address without a slash at its end; `headers` go with every request.

        Raises:
            Invalid: no http address, or a token that would travel in the clear.
        """
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"{base!r} is no http or https address")
        if parts.scheme == "http" and "Authorization" in headers and not _here(parts.hostname):
            raise Invalid(f"a token is not sent to {base} in the clear", "Use https")
        self.base = base.rstrip("/")
        self._headers = {"User-Agent": f"nettrace/{__version__}", "Accept": "application/json", **headers}
        self._opener = build_opener(_Straight())
        self._clock = clock

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """One GET."""
        return self._send(Request(self.base + path, headers={**self._headers, **(headers or {})}))  # noqa: S310 - checked above

    def post(self, path: str, body: object) -> Reply:
        """One POST of JSON; never repeated by itself."""
        headers = {**self._headers, "Content-Type": "application/json"}
        data = msgspec.json.encode(body)
        return self._send(Request(self.base + path, data=data, headers=headers, method="POST"))  # noqa: S310 - checked above

    def _send(self, request: Request) -> Reply:
        try:
            return self._asked(request)
        except (URLError, HTTPException, OSError, ValueError) as problem:
            reason = getattr(problem, "reason", problem)
            raise Unreachable(
                f"{self.base} does not answer ({reason})", "Check the network and try again"
            ) from problem

    def _asked(self, request: Request) -> Reply:
        """The reply, a refusal as well as any other."""
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return Reply(answer.status, _lower(answer.headers), self._read(answer))
        except HTTPError as refusal:
            with refusal:
                return Reply(refusal.code, _lower(refusal.headers), self._read(cast("HTTPResponse", refusal)))

    def _read(self, answer: HTTPResponse) -> bytes:
        until = self._clock() + TIMEOUT_S
        made = bytearray()
        while chunk := answer.read1(_CHUNK_BYTES):  # whatever has come: one that drips is noticed
            made += chunk
            if len(made) > LIMIT_BYTES:
                raise SourceError(
                    f"{self.base} answers with more than {LIMIT_BYTES >> 20} MiB", "Ask for fewer probes"
                )
            if self._clock() > until:
                raise Unreachable(f"{self.base} answers too slowly", "Try again later")
        return bytes(made)


class _Straight(HTTPRedirectHandler):
    """No redirect is followed: it would carry the token elsewhere."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> NoReturn:
        raise HTTPError(req.full_url, code, msg, headers, fp)


def _said(error: dict[str, object]) -> list[str]:
    """The words of an error object: Globalping's `message` and `params`, Atlas' `detail` and `errors`."""
    said = [str(error[name]) for name in ("message", "detail", "title") if error.get(name)][:1]
    params, errors = error.get("params"), error.get("errors")
    if isinstance(params, dict):
        said += [f"{name}: {why}" for name, why in cast("dict[str, object]", params).items()]
    if isinstance(errors, list):
        rows = [
            cast("dict[str, object]", row) for row in cast("list[object]", errors) if isinstance(row, dict)
        ]
        said += [str(row.get("detail")) for row in rows]
    return said


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in headers.items()}


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
