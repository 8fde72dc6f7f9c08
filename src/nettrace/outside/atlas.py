"""Files of RIPE Atlas results, plain or gzip, or standard input."""

import gzip
import sys
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from nettrace.errors import SourceError
from nettrace.runtime.named_file import unreadable
from nettrace.wire.atlas import Imported, Malformed, read_atlas

_GZIP = b"\x1f\x8b"


def import_atlas(path: str | Path) -> Iterator[Imported | Malformed]:
    """The measurements of an Atlas result file, in its order, with what could not be read and why.

    Args:
        path: the file, whatever its name: gzip is known by its first bytes; `-` is standard input.

    Raises:
        SourceError: there is no such file, or it may not be read.
    """
    with opened(path) as file:
        lines = Lines(file)
        yield from read_atlas(lines)
        if lines.problem is not None:
            yield Malformed(lines.number + 1, f"the file ends here: {lines.problem}")


class Lines:
    """A file's lines up to its end or to where it cannot be read further.

    Attributes:
        number: lines read so far.
        problem: why the file could not be read to its end, or None.
    """

    def __init__(self, file: Iterable[bytes]) -> None:
        self._file = file
        self.number = 0
        self.problem: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for line in self._file:
                self.number += 1
                yield line
        except (OSError, EOFError, zlib.error) as problem:
            self.problem = problem


@contextmanager
def opened(path: str | Path) -> Generator[Iterable[bytes]]:
    """The lines of a file, plain or gzip; `-` is standard input.

    Raises:
        SourceError: there is no such file, or it may not be read.
    """
    if str(path) == "-":
        yield _plain(sys.stdin.buffer)
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
        except OSError as problem:
            raise unreadable(str(path), problem, error=SourceError) from problem
        yield _plain(file)


def _plain(file: IO[bytes]) -> Iterable[bytes]:
    """The file unpacked when its first bytes are gzip's, seen without taking them."""
    first = cast("BufferedReader", file).peek(2)[:2]
    return gzip.open(file) if first == _GZIP else file
