"""A call of the API before it travels: path, query, body, and the shape of its answer."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from nettrace.client.answers import Page
from nettrace.errors import Invalid

T = TypeVar("T")
Row = TypeVar("Row", bound=msgspec.Struct)

When = datetime | int | str
"""A time in a call: an aware `datetime`, RFC 3339 text with an offset, or UTC nanoseconds since 1970."""

Names = str | Sequence[str]
"""One name, or several."""

Value = str | int | bool | datetime | Sequence[str] | None


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request and the shape of its answer.

    Attributes:
        repeatable: sending it twice does what sending it once does.
        once: it makes something, so it travels with an Idempotency-Key.
    """

    path: str
    shape: type[T]
    query: str = ""
    method: str = "GET"
    body: bytes | None = None
    repeatable: bool = True
    once: bool = False


class Rows(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """A list that comes in pages: where it is, the shape of a row, and the cursor to begin at."""

    path: str
    row: type[Row]
    query: str = ""
    cursor: str | None = None

    def page(self, cursor: str | None) -> "Call[Page[Row]]":
        """The call of one page."""
        query = (
            self.query if cursor is None else f"{self.query}{'&' if self.query else ''}cursor={quote(cursor)}"
        )
        return Call(path=self.path, query=query, shape=Page[self.row])


def rfc3339(at: When) -> str:
    """A time as the API takes it.

    >>> rfc3339(datetime(2026, 1, 1, tzinfo=UTC)), rfc3339(1_767_225_600_000_000_000)
    ('2026-01-01T00:00:00Z', '1767225600000000000')

    Raises:
        Invalid: a `datetime` without a time zone, which could be anybody's.
    """
    if not isinstance(at, datetime):
        return str(at)
    if at.tzinfo is None:
        raise Invalid(f"the time {at.isoformat()} has no time zone", "Give it one: at.replace(tzinfo=UTC)")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def names(given: Names | None) -> tuple[str, ...]:
    """One name or several as a tuple.

    >>> names("nyc"), names(["nyc", "fra"]), names(None)
    (('nyc',), ('nyc', 'fra'), ())
    """
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def query_of(given: Mapping[str, Value]) -> str:
    """The query string; what is None or empty is left out.

    >>> query_of({"region": ["nyc", "fra"], "limit": 10, "start": None, "columnar": True})
    'region=nyc,fra&limit=10&columnar=true'
    """
    said = {name: _text(value) for name, value in given.items() if value is not None and value != ()}
    return urlencode(said, safe=",:")


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | datetime):
        return rfc3339(value)
    return ",".join(value or ())


def segment(name: str) -> str:
    """A name as one part of a path.

    >>> segment("api.example.com"), segment("a/b")
    ('api.example.com', 'a%2Fb')
    """
    return quote(name, safe="")
