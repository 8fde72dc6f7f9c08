"""What a handler gives back, and the forms it can travel in."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import msgspec

ROWS_AT_ONCE = 250
_encode = msgspec.json.Encoder().encode
THREAD_FROM = 100_000
"""Work on more bytes than this is given to a thread: the event loop serves others meanwhile."""


class Format(StrEnum):
    """What an answer can be had as; `Accept` or `?format=` choose it."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class Answer(msgspec.Struct, kw_only=True):
    """What a handler gives back.

    Attributes:
        content: a struct that becomes JSON, or bytes that are it already.
        fresh_s: how long caches may keep it; None is "not at all".
        immutable: it will never change.
        next_cursor: where the next page begins.
        tag: the strong validator when it is known without hashing.
        squeeze: gives the bytes gzipped, where they are kept.
        media_type: when it is not the operation's.
        row_type: shape of the rows in `content.data`, when it is not the documented one.
        file: is sent instead of content, in ranges if asked for.
    """

    content: Any
    status: int = 200
    fresh_s: int | None = 0
    immutable: bool = False
    next_cursor: str | None = None
    tag: str | None = None
    squeeze: Callable[[], bytes] | None = None
    headers: dict[str, str] = {}
    media_type: str | None = None
    row_type: type[msgspec.Struct] | None = None
    file: Path | None = None


def squeezed(body: bytes) -> bytes:
    """The bytes, gzipped fast and the same every time."""
    return gzip.compress(body, 1, mtime=0)


def tag_of(body: bytes) -> str:
    """The strong validator of these bytes."""
    return hashlib.blake2b(body, digest_size=12).hexdigest()


async def json_bytes(content: Any) -> bytes:
    """The content as JSON; long lists are encoded in a thread."""
    if isinstance(content, bytes):
        return content
    return await asyncio.to_thread(encoded, content) if _long(content) else _encode(content)


def encoded(content: Any) -> bytes:
    """The content as JSON, for whoever is in a thread already.

    Long lists go a few hundred rows at a time: one long encoding would hold the interpreter, and with it the event
    loop, for as long as it takes.
    """
    return _in_pieces(content, content.data) if _long(content) else _encode(content)


def _long(content: Any) -> bool:
    rows: object = getattr(content, "data", None)
    return isinstance(rows, list) and len(cast("list[object]", rows)) > ROWS_AT_ONCE


def _in_pieces(page: msgspec.Struct, rows: list[object]) -> bytes:
    pieces = [_encode(rows[at : at + ROWS_AT_ONCE])[1:-1] for at in range(0, len(rows), ROWS_AT_ONCE)]
    head = _encode(msgspec.structs.replace(page, data=[]))
    return head.replace(b'"data":[]', b'"data":[' + b",".join(pieces) + b"]", 1)
