"""Whether a session is open and whether something is under maintenance: by the clock of the place it belongs to."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from nettrace.analysis.alerts.rule import DAYS, Hours, Maintenance, Session
from nettrace.model.instant import NS_PER_S, Instant


def is_open(session: Session, at: Instant) -> bool:
    """True while the session is open; daylight saving follows its zone.

    >>> from datetime import time
    >>> nyse = Session(zone="America/New_York", open=time(9, 30), close=time(16))
    >>> [is_open(nyse, 1_782_000_000 * 10**9 + hour * 3600 * 10**9) for hour in (60, 64, 72)]
    [False, True, False]
    """
    local = datetime.fromtimestamp(at / NS_PER_S, UTC).astimezone(ZoneInfo(session.zone))
    day, now = local.date(), local.time().replace(tzinfo=None)
    early = session.early.get(day)
    if early is not None and now >= early:
        return False
    return any(_opened(session, stretch, day, now) for stretch in session.stretches)


def _opened(session: Session, stretch: Hours, day: date, now: time) -> bool:
    if stretch.open < stretch.close:
        return stretch.open <= now < stretch.close and _trades(session, stretch, day)
    if now >= stretch.open:
        return _trades(session, stretch, day)
    return now < stretch.close and _trades(session, stretch, day - timedelta(days=1))


def under_maintenance(
    windows: Iterable[Maintenance], at: Instant, target: str | None, vantage: str | None
) -> bool:
    """True while a window is open that names the target or the vantage; one that names nothing holds for all."""
    for window in windows:
        if not _ns(window.start) <= at < _ns(window.end):
            continue
        if not window.targets and not window.vantages:
            return True
        if fits(window.targets, target, empty=not window.targets) and fits(
            window.vantages, vantage, empty=not window.vantages
        ):
            return True
    return False


def fits(patterns: Sequence[str], name: str | None, *, empty: bool = True) -> bool:
    """True when a name is meant by one of the patterns; without patterns, `empty`.

    >>> fits(("*.nyse.example", "api.*"), "api.cboe.example"), fits((), "x")
    (True, True)
    """
    if not patterns:
        return empty
    return name is not None and any(fnmatchcase(name, pattern) for pattern in patterns)


def _trades(session: Session, stretch: Hours, day: date) -> bool:
    return DAYS[day.weekday()] in stretch.days and day not in session.closed


def _ns(when: datetime) -> Instant:
    return round(when.timestamp() * 1000) * 1_000_000
