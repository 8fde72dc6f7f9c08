"""What both clients need of the HTTP library; without it `nettrace.client` says which part of NetTrace is missing."""

from collections.abc import Mapping

from nettrace.client.exchange import Broken, Reply, Request, Sink
from nettrace.client.stream import SILENCE_S
from nettrace.errors import MissingExtra

try:
    import httpx2
except ModuleNotFoundError as missing:
    raise MissingExtra("client", "nettrace.client") from missing

__all__ = ["broken", "headers", "httpx2", "reply", "sink_of", "stream_timeouts"]

GOOD = frozenset({200, 206})
"""Answers whose body is what was asked for, and may go into a sink."""


def reply(answer: httpx2.Response) -> Reply:
    """An answer that was read."""
    return Reply(answer.status_code, headers(answer), answer.content)


def headers(answer: httpx2.Response) -> Mapping[str, str]:
    """Its headers, names in lower case."""
    return {name.lower(): value for name, value in answer.headers.items()}


def broken(error: httpx2.HTTPError) -> Broken:
    """A connection that did not open, or did not last."""
    return Broken(str(error) or type(error).__name__)


def sink_of(request: Request, status: int) -> Sink | None:
    """Where the body of this answer goes; None is "into memory"."""
    return request.into if status in GOOD else None


def stream_timeouts(timeout_s: float) -> httpx2.Timeout:
    """For streams: silence for longer than three heartbeats is the end of a connection."""
    return httpx2.Timeout(timeout_s, read=max(timeout_s, SILENCE_S))
