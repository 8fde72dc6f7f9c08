"""Files of traces, NetTrace's own or RIPE Atlas', plain or gzip, or standard input."""

from collections.abc import Iterator
from pathlib import Path

from nettrace.model.path import Trace
from nettrace.outside.atlas import Lines, opened
from nettrace.wire.atlas import Malformed
from nettrace.wire.traces import read_traces


def import_traces(path: str | Path) -> Iterator[Trace | Malformed]:
    """The traces of a file, in its order, with what could not be read and why.

    Args:
        path: the file, whatever its name: gzip is known by its first bytes; `-` is standard input.

    Raises:
        SourceError: there is no such file, or it may not be read.
    """
    with opened(path) as file:
        lines = Lines(file)
        yield from read_traces(lines)
        if lines.problem is not None:
            yield Malformed(lines.number + 1, f"the file ends here: {lines.problem}")
