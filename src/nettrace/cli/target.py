"""Targets as the user names them: HOST arguments, `-f FILE`, `-4`/`-6`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import click

from nettrace.cli.output import note
from nettrace.errors import Invalid

MAX_HOST_CHARACTERS = 253
_MARK = "\ufeff"
"""What some editors put before the first line of a UTF-8 file."""


def hosts_of(arguments: Sequence[str], file: str | None) -> Iterator[str]:
    """Every host asked for, in order, lazily; `Invalid` when there is none or an argument cannot be a host.

    A file has one host a line; empty lines and `#` comments are skipped; `-` is stdin. A line that cannot be a host
    is handed out all the same, and named on stderr: of thousands of lines one may be wrong, and it fails alone.
    """
    if not arguments and file is None:
        raise Invalid("no target", "Name a HOST, or a file of them with -f FILE (- is stdin)")
    for argument in arguments:
        yield checked(argument, "argument")
    if file is not None:
        yield from _lines(file)


def _lines(file: str) -> Iterator[str]:
    stdin = file == "-"
    if stdin and sys.stdin is None:  # as after `<&-`
        raise Invalid("cannot read targets from stdin: it is closed")
    count = 0
    try:
        with nullcontext(sys.stdin.buffer) if stdin else open(file, "rb") as stream:  # noqa: PTH123 - pathlib costs 5 ms
            for number, raw in enumerate(stream, 1):
                line = raw.decode("utf-8", "backslashreplace").removeprefix(_MARK)
                host = line.partition("#")[0].strip()
                if host:
                    count += 1
                    yield _told(host, f"{'stdin' if stdin else file}:{number}")
    except OSError as error:
        raise Invalid(f"cannot read targets from {file}: {error.strerror}") from error
    if not count:
        note(f"nettrace: no target in {'stdin' if stdin else file}")


def _told(host: str, where: str) -> str:
    if host.replace(".", "").replace(":", "").isalnum():  # an address or a plain name, as most lines are
        return host
    try:
        return checked(host, where)
    except Invalid as problem:
        note(f"nettrace: {problem.detail}")
        return host


def checked(host: str, where: str) -> str:
    """The host if it can be a name or an address at all; `Invalid` with the place it was read from if not."""
    bare = host.removeprefix("[").removesuffix("]")
    if "://" in host or "/" in host:
        raise Invalid(f"{where}: '{host}' is not a host", "Name only the host (`nettrace http` takes URLs)")
    if not bare or len(bare) > MAX_HOST_CHARACTERS or any(c.isspace() or not c.isprintable() for c in bare):
        raise Invalid(f"{where}: {host!r} cannot be a host name or an address")
    return bare


def target_options(command: Callable[..., object]) -> Callable[..., object]:
    """HOST arguments, `-f`, `-4`, `-6`: the same on every command that takes targets."""
    command = click.option("-6", "family", flag_value=6, type=int, help="IPv6 only.")(command)
    command = click.option("-4", "family", flag_value=4, type=int, help="IPv4 only.")(command)
    command = click.option("-f", "--file", metavar="FILE", help="Read one HOST a line; - is stdin.")(command)
    return click.argument("hosts", nargs=-1, metavar="HOST...")(command)
