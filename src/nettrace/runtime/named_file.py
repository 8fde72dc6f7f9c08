"""A file that a user named: its text, or what is wrong with it and what to do, in the same words everywhere."""

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

from nettrace.errors import ConfigError, NetTraceError


def read_text(file: Path, *, by: str = "", error: type[NetTraceError] = ConfigError) -> str:
    """The whole text of a file.

    Args:
        file: as the user wrote it.
        by: option or variable that named it, for the hint.
        error: what is raised when it cannot be read: a setting is a ConfigError, data of others a SourceError.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise unreadable(str(file), problem, by=by, error=error) from problem


def lines_of(lines: Iterable[str], file: str, *, error: type[NetTraceError] = ConfigError) -> Iterator[str]:
    """The lines of an open text file or stdin as they come; `error` where they are no text."""
    try:
        yield from lines
    except UnicodeDecodeError as problem:
        raise unreadable(file, problem, error=error) from problem


def unreadable(
    file: str,
    problem: OSError | UnicodeDecodeError,
    *,
    by: str = "",
    error: type[NetTraceError] = ConfigError,
) -> NetTraceError:
    r"""The error that says why a file cannot be read, and what to do.

    >>> print(unreadable("own.toml", FileNotFoundError(2, "No such file or directory"), by="--registry"))
    cannot read own.toml: No such file or directory. Check the path given with --registry
    >>> print(unreadable("own.toml", UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "unexpected end of data")))
    cannot read own.toml: byte 0xe9 is not UTF-8. Save it as text in UTF-8
    """
    named = f"the path given with {by}" if by else "the path"
    if isinstance(problem, UnicodeDecodeError):
        wrong = problem.object[problem.start]
        return error(f"cannot read {file}: byte {wrong:#04x} is not UTF-8", "Save it as text in UTF-8")
    hint = {
        errno.EACCES: "Give the user that runs this the right to read it",
        errno.EISDIR: f"Check {named}: it is to be a file",
    }.get(problem.errno or 0, f"Check {named}")
    return error(f"cannot read {file}: {problem.strerror or problem}", hint)
