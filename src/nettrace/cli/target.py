"""Targets as the user names them: HOST arguments, `-f FILE`, `-4`/`-6`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from nettrace.errors import Invalid

MAX_HOST_CHARACTERS = 253


def hosts_of(arguments: Sequence[str], file: str | None) -> Iterator[str]:
    """Every host asked for, in order, lazily; `Invalid` when there is none or one cannot be a host.

    A file has one host a line; empty lines and `#` comments are skipped; `-` is stdin.
    """
    if not arguments and file is None:
        raise Invalid("no target", "Name a HOST, or a file of them with -f FILE (- is stdin)")
    for argument in arguments:
        yield checked(argument, "argument")
    if file is not None:
        yield from _lines(file)


def _lines(file: str) -> Iterator[str]:
    try:
        stream = sys.stdin if file == "-" else Path(file).open(encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Invalid(f"cannot read targets from {file}: {error.strerror}") from error
    with stream:
        for number, line in enumerate(stream, 1):
            host = line.partition("#")[0].strip()
            if host:
                yield checked(host, f"{file}:{number}")


def checked(host: str, where: str) -> str:
    """The host if it can be a name or an address at all; `Invalid` with the place it was read from if not."""
    bare = host.removeprefix("[").removesuffix("]")
    if "://" in host or "/" in host:
        raise Invalid(f"{where}: '{host}' is not a host", "Name only the host (`nettrace http` takes URLs)")
    if not bare or len(bare) > MAX_HOST_CHARACTERS or any(c.isspace() or not c.isprintable() for c in bare):
        raise Invalid(f"{where}: {host!r} cannot be a host name or an address")
    return bare


def target_options(command: Callable[..., object]) -> Callable[..., object]:
    """HOST arguments, `-f`, `-4`, `-6`, `--timeout`: the same on every command that takes targets."""
    command = click.option("-6", "family", flag_value=6, type=int, help="IPv6 only.")(command)
    command = click.option("-4", "family", flag_value=4, type=int, help="IPv4 only.")(command)
    command = click.option("-f", "--file", metavar="FILE", help="Read one HOST a line; - is stdin.")(command)
    return click.argument("hosts", nargs=-1, metavar="HOST...")(command)
