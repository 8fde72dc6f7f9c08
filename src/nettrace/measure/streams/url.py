"""Addresses of HTTP and WebSocket services, taken apart and checked before anything is sent."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from nettrace.errors import Invalid
from nettrace.measure.streams.resolve import ascii_host, literal

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_UNRESERVED = "%/:?#[]@!$&'()*+,;=-._~"


class Url(NamedTuple):
    """A service and what to ask it for.

    Attributes:
        text: as it was given.
        host: name in ASCII, or an address without brackets.
        authority: for the Host header: with brackets around IPv6, with the port when it is not the default.
        target: path and query for the request line, percent-encoded.
    """

    text: str
    scheme: str
    host: str
    port: int
    authority: str
    target: str

    @property
    def secure(self) -> bool:
        """TLS is spoken on this scheme."""
        return self.scheme in {"https", "wss"}


@lru_cache(maxsize=1024)
def parse_url(text: str, schemes: tuple[str, ...] = ("http", "https")) -> Url:
    """The parts of a URL.

    >>> parse_url("https://[::1]:8443/time?x=1").authority
    '[::1]:8443'

    Raises:
        Invalid: with what is wrong and how to write it.
    """
    if any(character.isspace() or ord(character) < 32 for character in text):
        raise Invalid(f"{text!r} is not a URL: it has spaces or control characters in it")
    example = f"Write it like {schemes[-1]}://api.example/path"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"{text!r} is not a URL: {error}", example) from None
    scheme = parts.scheme.lower()
    if scheme not in schemes or not text[len(scheme) :].startswith("://"):
        raise Invalid(
            f"{text!r} does not begin with {' or '.join(f'{name}://' for name in schemes)}", example
        )
    if parts.username is not None or parts.password is not None:
        raise Invalid(f"The URL for {parts.hostname} carries a user name or password", "Send it as a header")
    if not parts.hostname or port == 0:
        raise Invalid(f"{text!r} names no {'port' if parts.hostname else 'host'} to connect to", example)
    address = literal(parts.hostname)
    host = address or ascii_host(parts.hostname)
    shown = f"[{host}]" if address and ":" in address else host
    default = _PORTS[scheme]
    path = quote(parts.path or "/", safe=_UNRESERVED)
    query = f"?{quote(parts.query, safe=_UNRESERVED)}" if parts.query else ""
    return Url(
        text=text,
        scheme=scheme,
        host=host,
        port=default if port is None else port,
        authority=shown if port in {None, default} else f"{shown}:{port}",
        target=path + query,
    )
