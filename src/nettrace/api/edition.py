"""The dated edition of the API: `/v1` is the major version, `NetTrace-Version` the day a client was written against.

What is to go says so long before, in every answer: `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a `Link` to what to do. Within `/v1` fields are only added. Should an answer ever have to change, the change gets a new edition, and who sends an older
one keeps the old answer. So far there is one.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import format_datetime

import msgspec

from nettrace.api.problems import BadRequest, Fault

EDITION = "2026-11-21"
EDITIONS = (EDITION,)
HEADER = "NetTrace-Version"


class Retiring(msgspec.Struct, frozen=True, kw_only=True):
    """That an operation is not to be used any more: part of its declaration.

    Attributes:
        since: the day it was deprecated; one to come may be told too.
        ends: the first day it may be gone, or None while that is open. Never before `since`.
        guide: where it says what to do instead.
        successor: the path that takes its place, if one does.
    """

    since: date
    guide: str
    ends: date | None = None
    successor: str | None = None

    def __post_init__(self) -> None:
        """Refuse an end before the beginning (RFC 9745, 4)."""
        if self.ends is not None and self.ends < self.since:
            raise ValueError("it ends before it is deprecated")

    def headers(self) -> dict[str, str]:
        """What every answer of the operation carries.

        >>> told = Retiring(since=date(2027, 1, 1), ends=date(2027, 7, 1), guide="/docs/api#moved").headers()
        >>> told["Deprecation"], told["Sunset"]
        ('@1798761600', 'Thu, 01 Jul 2027 00:00:00 GMT')
        >>> told["Link"]
        '</docs/api#moved>; rel="deprecation"; type="text/html", </docs/api#moved>; rel="sunset"; type="text/html"'
        """
        links = [f'<{self.guide}>; rel="deprecation"; type="text/html"']
        told = {"Deprecation": f"@{_midnight(self.since).timestamp():.0f}"}
        if self.ends is not None:
            told["Sunset"] = format_datetime(_midnight(self.ends), usegmt=True)
            links.append(f'<{self.guide}>; rel="sunset"; type="text/html"')
        if self.successor is not None:
            links.append(f'<{self.successor}>; rel="successor-version"')
        return {**told, "Link": ", ".join(links)}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def edition_of(headers: Mapping[str, str]) -> str:
    """The edition that a request is answered in: the newest that was there on the day it names, else the newest.

    >>> edition_of({}), edition_of({"nettrace-version": "2027-03-01"})
    ('2026-11-21', '2026-11-21')

    Raises:
        BadRequest: the header is no date, or one before the first edition.
    """
    asked = headers.get("nettrace-version")
    if asked is None:
        return EDITION
    known = [each for each in EDITIONS if each <= asked]
    if not _is_date(asked) or not known:
        detail = f"'{asked[:40]}' is no day of an edition; the first is {EDITIONS[0]}"
        raise BadRequest((Fault(pointer=f"#/header/{HEADER}", detail=detail),))
    return known[-1]


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
