"""MaxMind-format database files, read with the optional package `maxminddb`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from nettrace.errors import MissingExtra, SourceError
from nettrace.runtime.named_file import unreadable

_MARK = b"\xab\xcd\xefMaxMind.com"
_TAIL_BYTES = 128 * 1024


class _Reader(Protocol):
    def get(self, ip_address: str) -> object: ...


def is_mmdb(path: Path) -> bool:
    """Whether the file ends with MMDB metadata.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            return _MARK in file.read()
    except OSError as problem:
        raise unreadable(str(path), problem, error=SourceError) from problem


def open_mmdb(path: Path) -> Callable[[str], Mapping[str, Any]]:
    """A function from address to the database's record, empty when it has none.

    Raises:
        MissingExtra: `maxminddb` is not installed.
        SourceError: the file is damaged.
    """
    try:
        import maxminddb  # noqa: PLC0415 - optional: most hosts have no MMDB file
    except ImportError as problem:
        raise MissingExtra("geo", f"reading {path.name}") from problem
    try:
        reader = cast("_Reader", cast("Any", maxminddb).open_database(path))
    except (maxminddb.InvalidDatabaseError, OSError, ValueError) as problem:
        raise SourceError(f"{path} is no readable MMDB file ({problem})", "Fetch it again") from problem

    def record(address: str) -> Mapping[str, Any]:
        try:
            found = reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):  # an IPv6 question to an IPv4 file, or damage
            return {}
        return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}

    return record


def text_of(record: Mapping[str, Any], *keys: str) -> str | None:
    """The text at a path of keys, or None."""
    value = _at(record, keys)
    return value if isinstance(value, str) and value else None


def number_of(record: Mapping[str, Any], *keys: str) -> float | None:
    """The number at a path of keys, or None."""
    value = _at(record, keys)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _at(record: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = record
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str, Any]", value).get(key)
    return value
