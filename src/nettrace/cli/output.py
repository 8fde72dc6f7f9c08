"""Results on stdout and nothing else there: a table for people, one JSON object a line for programs."""

import os
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO, cast

import click
import msgspec

from nettrace.errors import NetTraceError

Document = dict[str, Any]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LEAST_CELL = 24
"""A folded line's last cell goes on below itself only where it has at least so many columns."""

FORMATS = ("table", "ndjson", "json", "csv")


class Unwritable(NetTraceError):
    """Results cannot be written where stdout leads: a full disk, for example."""

    slug = "unwritable"


class ReaderGone(click.exceptions.Exit):
    """Whoever read our pipe has had enough (`| head`): that is their right, not an error."""

    def __init__(self) -> None:
        super().__init__(0)


class View(Protocol):
    """How one kind of document looks to a person, and which of its fields make a CSV row."""

    @property
    def fields(self) -> Sequence[str]:
        """Fields of the document for CSV, in order."""
        ...

    def heading(self) -> str | None:
        """The line above everything, or None."""
        ...

    def lines(self, document: Document) -> Sequence[str]:
        """The document as lines of text."""
        ...


class Emitter:
    """Writes documents in one format as they come; `close` ends what needs an end."""

    def __init__(self, form: str | None, view: View) -> None:
        """`form` is one of `FORMATS`, or None: a table on a terminal, NDJSON in a pipe."""
        self.form = form or ("table" if sys.stdout.isatty() else "ndjson")
        self._view = view
        self._count = 0

    def emit(self, document: Document) -> None:
        """Write one document at once: a reader of the pipe sees it before the next one is measured."""
        first = self._count == 0
        self._count += 1
        match self.form:
            case "ndjson":
                write_line(msgspec.json.encode(document))
            case "json":
                write_line((b"[" if first else b",") + msgspec.json.encode(document))
            case "csv":
                self._csv(document, first=first)
            case _:
                heading = self._view.heading() if first else None
                for line in (*([heading] if heading else []), *self._view.lines(document)):
                    say(fold(line, page_width(sys.stdout)))

    def close(self) -> None:
        """End the document stream (JSON's bracket)."""
        if self.form == "json":
            write_line(b"[]" if self._count == 0 else b"]")

    def _csv(self, document: Document, *, first: bool) -> None:
        import csv
        import io

        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if first:
            rows.writerow(self._view.fields)
        rows.writerow([_cell(document.get(field)) for field in self._view.fields])
        write_line(text.getvalue().rstrip("\n").encode())


def _cell(value: object) -> object:
    """A CSV cell: null is empty, a list is joined by spaces (`-` for null, a hop by its address): never JSON."""
    return " ".join(_word(item) for item in cast("list[object]", value)) if isinstance(value, list) else value


def _word(item: object) -> str:
    if isinstance(item, dict):
        return _word(cast("dict[str, object]", item).get("address"))
    return "-" if item is None else str(item)


@contextmanager
def _written() -> Generator[None]:
    try:
        yield
    except BrokenPipeError:
        _drop_stdout()
        raise ReaderGone from None
    except OSError as error:
        _drop_stdout()
        raise Unwritable(f"cannot write to stdout: {error.strerror}") from None


def _drop_stdout() -> None:
    """Lead stdout into nothing, or Python would complain again when it flushes what is left at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def write_line(line: bytes) -> None:
    """One line of data on stdout, flushed."""
    write_lines(line + b"\n")


def write_lines(lines: bytes) -> None:
    """Whole lines of data on stdout, flushed."""
    out = sys.stdout.buffer
    with _written():
        out.write(lines)
        out.flush()


def say(text: str) -> None:
    """A line for a person, without colour where colour is unwanted (no terminal, NO_COLOR, TERM=dumb)."""
    with _written():
        click.echo(text, color=colourful())


def note(text: str) -> None:
    """Progress or a remark, on stderr: never between the data."""
    click.echo(fold(text, page_width(sys.stderr)), err=True)


def page_width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal that stdout (or this stream) leads to; None when it leads to none: then nothing is cut."""
    asked = sys.stdout if stream is None else stream
    if not asked.isatty():
        return None
    with suppress(OSError):
        return os.get_terminal_size(asked.fileno()).columns or None
    return None


def fold(line: str, width: int | None) -> str:
    """The line broken between words where it is longer than the page; what follows hangs below the line's last cell.

    Colour codes take no room.

    >>> print(fold("api.example   failed: timeout (no answer)", 40))
    api.example   failed: timeout (no
                  answer)
    """
    if width is None or len(_COLOUR.sub("", line)) <= width:
        return line
    cells = [
        found.end() for found in re.finditer(r"\S {2,}(?=\S)", _COLOUR.sub("", line)[: width - _LEAST_CELL])
    ]
    indent = cells[-1] if cells else min(4, len(line) - len(line.lstrip()) + 2)
    made: list[str] = []
    while len(_COLOUR.sub("", line)) > width:
        cut = max((at for at in _spaces(line, width) if at > indent), default=-1)
        if cut < 0:
            break
        made.append(line[:cut].rstrip())
        line = " " * indent + line[cut:].lstrip()
    return "\n".join([*made, line])


def _spaces(line: str, width: int) -> Iterator[int]:
    """Where the line may be broken so that what stands before has room."""
    for found in re.finditer(r" +", line):
        if len(_COLOUR.sub("", line[: found.start()])) <= width:
            yield found.start()


def colourful() -> bool:
    """Whether stdout wants colour (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def milliseconds(value: float | None, width: int = 9) -> str:
    """A time for a table: three digits behind the point below 10 ms, two below 100, one above; `-` is "not measured".

    >>> milliseconds(1.23456, 0), milliseconds(150.04, 0), milliseconds(None, 0)
    ('1.235', '150.0', '-')
    """
    if value is None:
        return "-".rjust(width)
    digits = 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1
    return f"{value:.{digits}f}".rjust(width)


def verdict(document: Document) -> str:
    """The outcome in a word or two: empty when measured, else why not."""
    if document["outcome"] == "measured":
        return document.get("detail") or ""
    words = f"{document['outcome'].replace('_', ' ')}: {document['reason']}"
    return f"{words} ({document['detail']})" if document.get("detail") else words


Option = Callable[[Callable[..., object]], Callable[..., object]]


def output_options(command: Callable[..., object]) -> Callable[..., object]:
    """`-o` and `--fail-if`, the same on every command that measures."""
    command = click.option(
        "--fail-if", metavar="CONDITION", help="Exit 3 when a result meets it, e.g. 'p95>50ms or loss>1%'."
    )(command)
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
    )(command)
