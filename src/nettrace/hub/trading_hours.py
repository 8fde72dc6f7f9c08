"""Latency at the hours that count: what a hub's rounds say while a venue is open, and when nobody trades."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache

import msgspec

from nettrace.analysis.alerts.calendar import is_open
from nettrace.analysis.alerts.rule import Session
from nettrace.analysis.sketches.quantile import median_ranks, rank
from nettrace.errors import Invalid
from nettrace.hub.market_hours import session_of
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.placement.document.seen import Sessions
from nettrace.placement.registry.facts import Registry
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Window

_HOUR_NS = 3600 * NS_PER_S
_WEEK_H = 168
_STEP_NS = 60 * NS_PER_S


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Round trips of some hours; None without any.

    Attributes:
        low_ns, high_ns: 95 % interval of the median by order statistics; None with fewer than six.
    """

    n: int
    lost: int
    p50_ns: int
    p95_ns: int
    low_ns: int | None
    high_ns: int | None


def trading_session(venue: str, facts: Registry) -> Session | None:
    """When a venue of the registry is open; None for one that never closes, or that the registry does not know."""
    known = facts.venues.get(venue)
    calendar = facts.calendars.get(known.calendar) if known else None
    return None if calendar is None or calendar.always else session_of(calendar)


def sessions(facts: Registry) -> Callable[[str], Sessions | None]:
    """For results that say when they were taken: when each venue of the registry trades."""

    def trades(venue: str) -> Sessions | None:
        session = trading_session(venue, facts)
        if session is None:
            return None

        def open_at(at: str) -> bool:
            seconds = int(_moment(at).timestamp())
            return is_open(session, (seconds - seconds % 60) * NS_PER_S)

        return Sessions(facts.venues[venue].calendar, cache(open_at))

    return trades


def _moment(at: str) -> datetime:
    try:
        read = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        read = None
    if read is None or read.tzinfo is None:
        raise Invalid(
            f"a result's time {at!r} is no instant", "Results say it as 2026-06-08T01:00:00Z"
        ) from None
    return read


def by_session(
    reader: StoreReader, choice: Choice, window: Window, session: Session
) -> tuple[Hours | None, Hours | None]:
    """Every answered probe of the chosen series while the session is open, and while it is closed."""
    found: dict[bool, list[int]] = {True: [], False: []}
    lost = {True: 0, False: 0}
    kept: dict[Instant, bool] = {}
    for page in reader.raw_scan(choice, window, fields=("at", "sent", "received", "rtt_ns", "samples_ns")):
        rows = zip(page.at, page.sent, page.received, page.rtt_ns, page.samples_ns, strict=True)
        for at, sent, received, rtt, samples in rows:
            minute = at - at % _STEP_NS
            if minute not in kept:
                kept[minute] = is_open(session, minute)
            mine = kept[minute]
            found[mine] += [each for each in (samples or (rtt,)) if each is not None]
            lost[mine] += sent - received
    inside, outside = (_hours(found[mine], lost[mine]) for mine in (True, False))
    return inside, outside


def _hours(values: list[int], lost: int) -> Hours | None:
    if not values:
        return None
    values.sort()
    ends = median_ranks(len(values))
    return Hours(
        n=len(values), lost=lost, p50_ns=values[rank(0.5, len(values)) - 1], p95_ns=values[rank(0.95, len(values)) - 1],
        low_ns=values[ends[0] - 1] if ends else None, high_ns=values[ends[1] - 1] if ends else None,
    )  # fmt: skip


def longest_quiet(sessions: Sequence[Session], now: Instant) -> tuple[Instant, Instant] | None:
    """The longest stretch of the coming week, in whole hours of UTC, in which none of the sessions is open.

    >>> from datetime import time
    >>> nyse = Session(zone="America/New_York", open=time(9, 30), close=time(16))
    >>> start, end = longest_quiet([nyse], 1_782_000_000 * 10**9)
    >>> datetime.fromtimestamp(start / 1e9, UTC).strftime("%a %H:%M"), (end - start) // 3_600_000_000_000
    ('Fri 20:00', 65)
    """
    first = now - now % _HOUR_NS
    best: tuple[Instant, Instant] | None = None
    start: Instant | None = None
    for hour in range(2 * _WEEK_H + 1):  # a stretch may begin in this week and end in the next
        at = first + hour * _HOUR_NS
        shut = hour < 2 * _WEEK_H and not any(_opens(each, at) for each in sessions)
        if shut and start is None and hour < _WEEK_H:
            start = at
        elif not shut and start is not None:
            if best is None or at - start > best[1] - best[0]:
                best = start, at
            start = None
    return best


def _opens(session: Session, hour: Instant) -> bool:
    """Whether it is open at any quarter of an hour."""
    return any(is_open(session, hour + quarter * _HOUR_NS // 4) for quarter in range(4))


def quiet_words(venues: Iterable[str], facts: Registry, now: Instant) -> str | None:
    """When nothing of these venues trades, in words; None where all of it may be moved at any hour as well as at any other."""
    sessions = [trading_session(venue, facts) for venue in venues]
    closing = [each for each in sessions if each is not None]
    if not closing:
        return None
    found = longest_quiet(closing, now)
    rest = ", those that never close aside" if len(closing) < len(sessions) else ""
    if found is None:
        return f"no whole hour of the coming week is outside all of their sessions{rest}"
    start, end = (datetime.fromtimestamp(each / NS_PER_S, UTC).strftime("%a %d %b %H:%M") for each in found)
    return f"{start} to {end} UTC is the longest stretch outside all of their sessions{rest}"
