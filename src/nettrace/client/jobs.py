"""What takes several calls: measurements that are waited for, exports that are fetched and checked."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

import msgspec

from nettrace.client import calls
from nettrace.client.call import Call, Names, When
from nettrace.client.exchange import (
    Broken,
    Link,
    Pause,
    Program,
    Reply,
    Request,
    answered,
    backoff,
    decoded,
    exchange,
    may_pass,
    raised,
)
from nettrace.client.judgements import Cost, Export, ExportFile, Measurement
from nettrace.errors import NetTraceError, SourceError

T = TypeVar("T")
_FIRST_LOOK_S, _LONGEST_LOOK_S, _GROWTH = 0.25, 3.0, 1.4
_OPEN = frozenset({"queued", "running"})
_UNCHANGED = 304
_OUTSIDE = 416


class NotDone(NetTraceError):
    """The export was not done in the time given; it goes on, and `export_state` knows it."""

    slug = "unreachable"


def measure(
    link: Link, host: str, *, region: Names | None = None, endpoint: str | None = None, method: str | None = None,
    probes: int | None = None, wait_s: float = 30.0,
) -> Program[Measurement]:  # fmt: skip
    """A measurement made now, with what came of it within `wait_s`.

    Comes back as soon as every region has answered; otherwise with partial results, `state` saying so. Looking again
    costs nothing of the quota while nothing is new.
    """
    ask = calls.create_measurement(host, region=region, endpoint=endpoint, method=method, probes=probes)
    made = yield from answered(link, ask)
    found = yield from _followed(link, calls.measurement(made.id), wait_s)
    return found or made


def measure_cost(
    link: Link, host: str, *, region: Names | None = None, endpoint: str | None = None, method: str | None = None,
    probes: int | None = None,
) -> Program[Cost]:  # fmt: skip
    """What `measure` with the same words would cost; nothing is done."""
    ask = calls.create_measurement(host, region=region, endpoint=endpoint, method=method, probes=probes)
    return (yield from answered(link, _dry(ask)))


def export(  # noqa: PLR0913 - the API's parameters
    link: Link, start: When, end: When, folder: str | os.PathLike[str], *, host: Names | None = None,
    region: Names | None = None, method: Names | None = None, format: str = "parquet", resolution: str = "raw",  # noqa: A002
    wait_s: float = 600.0,
) -> Program[list[Path]]:  # fmt: skip
    """An export as files in `folder`, one for each UTC day, each checked against its SHA-256.

    Raises:
        NotDone: it was not done within `wait_s`; `download` fetches it later.
        SourceError: it failed, or a file is not what the manifest says.
    """
    ask = calls.create_export(
        start, end, host=host, region=region, method=method, format=format, resolution=resolution
    )
    made = yield from answered(link, ask)
    return (yield from download(link, made.id, folder, wait_s=wait_s))


def export_cost(
    link: Link, start: When, end: When, *, host: Names | None = None, region: Names | None = None,
    method: Names | None = None, format: str = "parquet", resolution: str = "raw",  # noqa: A002
) -> Program[Cost]:  # fmt: skip
    """What `export` with the same words would bring, by estimate; nothing is done."""
    ask = calls.create_export(
        start, end, host=host, region=region, method=method, format=format, resolution=resolution
    )
    return (yield from answered(link, _dry(ask)))


def download(
    link: Link, id: str, folder: str | os.PathLike[str], *, wait_s: float = 600.0  # noqa: A002
) -> Program[list[Path]]:  # fmt: skip
    """The files of an export in `folder`, waiting for it if need be.

    What is there already is not fetched again, what was begun is gone on with. A file has its name only when it is
    whole and its SHA-256 is right; until then it ends in `.part`.
    """
    found = yield from _followed(link, calls.export_state(id), wait_s)
    if found is None or found.state in _OPEN:
        raise NotDone(f"export {id} is not done after {wait_s:g} s", f"Fetch it later: download('{id}', ...)")
    if found.state != "done":
        raise SourceError(f"export {id} is {found.state}: {found.problem}", "Ask for a smaller one")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for file in found.files:
        paths.append((yield from _fetched(link, found, file, place)))
    return paths


def _dry(ask: Call[Any]) -> Call[Cost]:
    return Call(path=ask.path, query="dry_run=1", method="POST", body=ask.body, shape=Cost)


def _followed(link: Link, call: Call[T], wait_s: float) -> Program[T | None]:
    """What is asked for, looked at until its state is final or time is over; None when it was never looked at."""
    found, request, waited, pause = None, link.request(call), 0.0, _FIRST_LOOK_S
    while waited < wait_s:
        reply = yield from exchange(link, request)
        if reply.status != _UNCHANGED:
            found = decoded(reply.body, call.shape)
            if getattr(found, "state", "") not in _OPEN:
                return found
            tag = reply.headers.get("etag")
            if tag is not None:
                headers = {**request.headers, "If-None-Match": tag}
                request = msgspec.structs.replace(request, headers=headers)
        yield Pause(min(pause, wait_s - waited))
        waited += pause
        pause = min(_LONGEST_LOOK_S, pause * _GROWTH)
    return found


class Part:
    """A file that grows under its `.part` name while its SHA-256 is counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("ab+")
        self._file.seek(0)
        self._digest = hashlib.file_digest(self._file, "sha256")
        self.bytes = self._file.seek(0, os.SEEK_END)

    def begin(self, *, partial: bool) -> None:
        """Go on at the end, or start anew when the hub sends the whole file."""
        if not partial:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._file.truncate(0)
        self._digest, self.bytes = hashlib.sha256(), 0

    def write(self, piece: bytes) -> None:
        """The next piece."""
        self._file.write(piece)
        self._digest.update(piece)
        self.bytes += len(piece)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def sha256(self) -> str:
        """Of all there is."""
        return self._digest.hexdigest()


def _fetched(link: Link, export: Export, file: ExportFile, folder: Path) -> Program[Path]:
    if PurePosixPath(file.name).name != file.name or file.name in {"", ".", ".."} or "\\" in file.name:
        raise SourceError(
            f"the export has a file '{file.name}', which is no plain name", "Tell the hub's operator"
        )
    path = folder / file.name
    if path.is_file() and _sha256(path) == file.sha256:
        return path
    part = Part(folder / f"{file.name}.part")
    try:
        yield from _filled(link, export, file, part)
        if (part.bytes, part.sha256) != (file.bytes, file.sha256):
            found = part.bytes
            part.clear()
            raise SourceError(
                f"{file.name} of {export.id} is not what its manifest says ({found} of {file.bytes} bytes)",
                "Fetch it again; if it stays so, tell the hub's operator",
            )
    finally:
        part.close()
    part.path.replace(path)
    return path


def _filled(link: Link, export: Export, file: ExportFile, part: Part) -> Program[None]:
    """Fetch what is missing; `retries` counts tries that brought nothing, so a long file on a bad line gets through."""
    call = Call(
        path=f"{calls.API}/exports/{calls.segment(export.id)}/files/{calls.segment(file.name)}", shape=bytes
    )
    if part.bytes > file.bytes:
        part.clear()
    tried, waited = 0, 0.0
    while part.bytes < file.bytes or tried == 0 == file.bytes:
        before = part.bytes
        heard = yield _ranged(link.request(call), file, part)
        if isinstance(heard, Reply) and heard.status < 400:
            if part.bytes >= file.bytes:
                return
            heard = Broken("the answer ended early")
        if isinstance(heard, Reply) and heard.status == _OUTSIDE:
            part.clear()
        elif isinstance(heard, Reply) and heard.status == 429:
            pause = max(1.0, float(heard.headers.get("retry-after", "1")))
            waited += pause
            if waited > link.wait_s:
                raise raised(heard)
            yield Pause(pause)
            continue
        elif not may_pass(heard):
            raise raised(heard)
        tried = 1 if part.bytes > before else tried + 1
        if tried > link.retries:
            raise raised(heard)
        yield Pause(backoff(tried))


def _ranged(request: Request, file: ExportFile, part: Part) -> Request:
    headers = {**request.headers, "Accept": "*/*", "Accept-Encoding": "identity"}
    if part.bytes:
        headers |= {"Range": f"bytes={part.bytes}-", "If-Range": f'"{file.sha256}"'}
    return msgspec.structs.replace(request, headers=headers, into=part)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
