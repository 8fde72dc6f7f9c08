"""What happened as a calendar that programs can subscribe to (RFC 5545)."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from nettrace.model.instant import NS_PER_S, Instant

_MOST_BYTES = 75
"""Octets of a line before it is folded (RFC 5545, 3.1)."""


class Entry(msgspec.Struct, frozen=True):
    """Something with a beginning and an end."""

    id: str
    start: Instant
    end: Instant
    words: str


def calendar(name: str, entries: Iterable[Entry], url: str) -> str:
    """The calendar as text; entries without length last a second."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//NetTrace//status//EN",
        f"X-WR-CALNAME:{_escaped(name)}",
    ]
    for entry in entries:
        end = max(entry.end, entry.start + NS_PER_S)
        lines += [
            "BEGIN:VEVENT", f"UID:{_escaped(entry.id)}@nettrace", f"DTSTAMP:{_time(entry.end)}", f"DTSTART:{_time(entry.start)}",
            f"DTEND:{_time(end)}", f"SUMMARY:{_escaped(entry.words)}", f"URL:{url}", "TRANSP:TRANSPARENT", "END:VEVENT",
        ]  # fmt: skip
    return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def _time(at: Instant) -> str:
    return datetime.fromtimestamp(at // NS_PER_S, UTC).strftime("%Y%m%dT%H%M%SZ")


def _escaped(words: str) -> str:
    r"""Text as a value; a line break in a name must not begin a property.

    >>> _escaped("a;b,c" + chr(10) + "END:VCALENDAR")
    'a\\;b\\,c END:VCALENDAR'
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in words)
    return plain.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")


def _folded(line: str) -> str:
    """A line of at most 75 octets, continued where it is longer; letters of several octets stay whole."""
    parts, part = list[str](), ""
    for sign in line:
        if len((part + sign).encode()) > _MOST_BYTES - (1 if parts else 0):
            parts.append(part)
            part = ""
        part += sign
    return "\r\n ".join([*parts, part])
