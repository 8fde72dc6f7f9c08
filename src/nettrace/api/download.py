"""Files in whole or in part (RFC 9110, 14): read piece by piece, never held in memory."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from litestar.response import Stream

from nettrace.api.given import Answer
from nettrace.errors import RangeOutside

PIECE_BYTES = 256 << 10
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class _Outside(RangeOutside):
    """With the header that says how long the file is."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes")
        self.headers = {"Content-Range": f"bytes */{size}"}


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end of the range asked for; None for the whole file, also when several are asked for.

    >>> wanted_range("bytes=0-4", 10), wanted_range("bytes=-3", 10), wanted_range("bytes=7-", 10)
    ((0, 5), (7, 10), (7, 10))

    Raises:
        RangeOutside: nothing of it lies within the file.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= end:
        raise _Outside(size)
    return start, end


def file_answer(answer: Answer, path: Path, request: Mapping[str, str], charged: Mapping[str, str]) -> Stream:
    """The file, its range, or 304."""
    size = path.stat().st_size
    etag = f'"{answer.tag}"'
    headers = {
        **charged, **answer.headers, "ETag": etag, "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
    }  # fmt: skip
    if request.get("if-none-match", "").strip() == etag:
        return Stream(_nothing(), status_code=304, headers=headers, media_type=answer.media_type)
    part = None
    if request.get("if-range", etag).strip() == etag:
        part = wanted_range(request.get("range"), size)
    start, end = part or (0, size)
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Stream(
        _pieces(path, start, end),
        status_code=206 if part else 200,
        headers=headers,
        media_type=answer.media_type,
    )


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield b""


async def _pieces(path: Path, start: int, end: int) -> AsyncGenerator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, end - start))
            if not piece:
                return
            start += len(piece)
            yield piece
