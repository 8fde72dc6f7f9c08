"""Fetching a file over HTTP once, politely: only what is new, unpacked, bounded, never half."""

import gzip
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from nettrace import __version__
from nettrace.errors import Invalid, SourceError

LIMIT_BYTES = 2 << 30
"""Nothing larger is fetched or unpacked."""

_CHUNK_BYTES = 1 << 20


class Answer(NamedTuple):
    """What the server said of the file, to ask later whether it changed."""

    etag: str | None
    last_modified: str | None


def fetch(
    url: str, target: Path, *, etag: str | None = None, since: str | None = None, timeout_s: float = 60.0
) -> Answer | None:
    """Fetch `url` into `target`, unpacked when it is gzip; None when the server says it is what we have.

    Raises:
        Invalid: not an http or https address.
        SourceError: no answer, a refusal, a file cut short or too large.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise Invalid(f"{url!r} is no http or https address", "Name a file with: nettrace databases add")
    request = Request(url, headers={"User-Agent": f"nettrace/{__version__}", "Accept-Encoding": "identity"})  # noqa: S310
    if etag:
        request.add_header("If-None-Match", etag)
    if since:
        request.add_header("If-Modified-Since", since)
    packed = target.with_suffix(".packed")
    try:
        with urlopen(request, timeout=timeout_s) as answer, packed.open("wb") as file:  # noqa: S310
            announced = int(answer.headers.get("Content-Length") or 0)
            written = 0
            while chunk := answer.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > LIMIT_BYTES:
                    raise SourceError(f"{url} is larger than {LIMIT_BYTES >> 30} GiB", "Check the address")
                file.write(chunk)
            if announced and written != announced:
                raise SourceError(f"{url} ended after {written} of {announced} bytes", "Try again")
            said = Answer(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
    except HTTPError as problem:
        problem.close()
        if problem.code == 304:
            return None
        raise SourceError(
            f"{url} answered {problem.code} {problem.reason}",
            "Check the address, or name another with --from",
        ) from problem
    except (URLError, HTTPException, OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        raise SourceError(
            f"{url} cannot be fetched ({reason})", "Check the network, or add a file: nettrace databases add"
        ) from problem
    _unpack(packed, target, url)
    return said


def _unpack(packed: Path, target: Path, url: str) -> None:
    with packed.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    if not gzipped:
        packed.replace(target)
        return
    try:
        with gzip.open(packed) as source, target.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                file.write(chunk)
                if file.tell() > LIMIT_BYTES:
                    raise SourceError(
                        f"{url} unpacks to more than {LIMIT_BYTES >> 30} GiB", "Check the address"
                    )
    except (OSError, EOFError, zlib.error) as problem:
        raise SourceError(f"{url} is a damaged gzip file ({problem})", "Try again") from problem
    finally:
        packed.unlink(missing_ok=True)
