"""Parameters that many operations share: times, windows, regions, pages."""

from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec

from nettrace.api.call import Call
from nettrace.api.cursor import seal, unseal
from nettrace.api.given import Answer, Format
from nettrace.api.problems import BadRequest, Fault
from nettrace.hub import query
from nettrace.hub.latest import Snapshot
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import Target
from nettrace.store.rows import Latest, Window

T = TypeVar("T")
MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
FINAL_AFTER_NS = 3 * DAY_NS
"""Rounds of spools that were cut off may arrive late; windows that ended so long ago are taken as closed."""
_LAST = 1 << 62

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000, description="Rows on a page.")]
Cursor = Annotated[str, msgspec.Meta(description="`next_cursor` of the page before.")]
Region = Annotated[tuple[str, ...], msgspec.Meta(description="Vantage codes, `a,b`; all when left out.")]
OneRegion = Annotated[str, msgspec.Meta(description="A vantage code.")]
Start = Annotated[str, msgspec.Meta(description="Inclusive; RFC 3339 with an offset, or unix nanoseconds.")]
End = Annotated[str, msgspec.Meta(description="Exclusive; RFC 3339 with an offset, or unix nanoseconds.")]
AsOf = Annotated[str, msgspec.Meta(description="Answer from what was stored by then: no look-ahead.")]


class Tabled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers that can be had as tables."""

    format: Annotated[Format, msgspec.Meta(description="Stronger than `Accept`.")] | None = None


class Paged(Tabled, frozen=True, kw_only=True):
    """Answers that come in pages."""

    limit: Limit = 100
    cursor: Cursor | None = None


class Windowed(Paged, frozen=True, kw_only=True):
    """Answers about a stretch of time."""

    start: Start | None = None
    end: End | None = None


def instant(text: str, name: str, where: str = "query") -> Instant:
    """A time as it stands in a query, or in a body.

    >>> instant("2026-01-01T00:00:00Z", "start") == instant("1767225600000000000", "start")
    True

    Raises:
        BadRequest: it is neither RFC 3339 with an offset nor unix nanoseconds.
    """
    at: int | None = None
    if text.isascii() and text.isdigit() and len(text) < 20:
        at = int(text)
        if at < 10**15:
            raise _bad(name, f"'{text}' is too small for unix nanoseconds", where)
    else:
        try:
            moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
            if moment.tzinfo is None:
                raise _bad(name, f"'{text[:40]}' has no offset; write {text[:40]}Z", where)
            moment = moment.astimezone(UTC)
            at = int(moment.replace(microsecond=0).timestamp()) * NS_PER_S + moment.microsecond * 1000
        except (ValueError, OverflowError):
            raise _bad(name, f"'{text[:40]}' is no time; write 2026-01-01T00:00:00Z", where) from None
    if not 0 <= at < _LAST:
        raise _bad(name, f"'{text[:40]}' lies outside of what can be stored", where)
    return at


def _bad(name: str, detail: str, where: str = "query") -> BadRequest:
    return BadRequest((Fault(pointer=f"#/{where}/{name}", detail=detail),))


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A window as it is answered: what was asked for, cut to what the tier reaches."""

    window: Window
    clamped: bool


def window_of(
    call: Call, start: str | None, end: str | None, default_ns: int, step_ns: int = MINUTE_NS
) -> Asked:
    """The window of a question. Open ends are aligned, so that the answer changes with news and not with the clock.

    Raises:
        BadRequest: it ends before it begins.
    """
    until = instant(end, "end") if end is not None else (call.now // step_ns + 1) * step_ns
    since = instant(start, "start") if start is not None else max(0, until - default_ns)
    if since > until:
        raise _bad("start", "the window ends before it begins")
    asked = Window(since, until)
    held = call.service.access.window(call.caller, asked, call.now)
    if held.start == asked.start:
        return Asked(window=asked, clamped=False)
    begin = -(-held.start // MINUTE_NS) * MINUTE_NS
    return Asked(window=Window(begin, max(begin, held.end)), clamped=True)


def as_of(call: Call, text: str | None) -> Instant | None:
    """The `as_of` of a question.

    Raises:
        BadRequest: it lies in the future, where the answer could still change.
    """
    if text is None:
        return None
    at = instant(text, "as_of")
    if at > call.now:
        raise _bad("as_of", "as_of lies in the future")
    return at


def closed(call: Call, window: Window, known_by: Instant | None) -> bool:
    """Whether the answer can never change any more."""
    return known_by is not None or window.end <= call.now - FINAL_AFTER_NS


def until_next(rows: list[Latest], now: Instant) -> int:
    """Seconds until the first of these series expects its next round; 1 when one is overdue."""
    nexts = [row.round.due + int(row.interval_s * NS_PER_S) - now for row in rows]
    return max(1, min(nexts, default=0) // NS_PER_S)


def target_in(call: Call) -> Target:
    """The target a path names."""
    return query.target_of(call.snapshot, call.path["host"], call.caller.account)


def regions_in(snapshot: Snapshot, regions: tuple[str, ...]) -> tuple[str, ...]:
    """Regions that exist, sorted, each once."""
    query.check_regions(snapshot, regions)
    return tuple(sorted(set(regions)))


def question(call: Call) -> str:
    """What a cursor is good for: this operation with these parameters, whoever asks."""
    kept = sorted(
        part
        for part in call.raw_query.split("&")
        if part and not part.startswith(("cursor=", "limit=", "format="))
    )
    return f"{call.operation_id} {call.url} {'&'.join(kept)} {call.caller.account}"


def position(call: Call, shape: type[T]) -> T | None:
    """Where this page begins, None for the first.

    Raises:
        BadRequest: the cursor is not one of this question's.
    """
    cursor = call.query.cursor
    return None if cursor is None else unseal(call.service.secret, question(call), cursor, shape)


def sealed(call: Call, place: Any) -> str:
    """A cursor for the next page."""
    return seal(call.service.secret, question(call), place)


async def remembered(call: Call, valid: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to this call, kept while `valid` is the same. Tables are made anew: few ask for them twice.

    The key holds everything an answer may depend on: who asks and how far back their tier reaches.
    """
    if call.form is not Format.JSON:
        return await make()
    caller = call.caller
    key = (
        call.operation_id,
        call.url,
        call.raw_query,
        caller.account,
        caller.tier.name,
        caller.tier.history_days,
    )
    return await call.service.answers.get(key, valid, make)
