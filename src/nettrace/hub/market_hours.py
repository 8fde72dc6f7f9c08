"""The registry's trading calendars as sessions that rules of alerts may name: `session = "us-equities"`."""

from datetime import date, time
from functools import cache

from nettrace.analysis.alerts.rule import DAYS, Hours, Session
from nettrace.hub.facts import facts
from nettrace.placement.registry.facts import Calendar

_MAIN = "main"


@cache
def market_sessions() -> dict[str, Session]:
    """Every calendar of the registry by its name: the hours of its main sessions, lunch breaks left out.

    Days for which the registry has no holidays on record count as days of trade: a rule is judged rather than silent.

    >>> [stretch.open.isoformat("minutes") for stretch in market_sessions()["tse"].stretches]
    ['09:00', '12:30']
    """
    return {calendar.name: session_of(calendar) for calendar in facts().calendars.values()}


def session_of(calendar: Calendar) -> Session:
    """A calendar's main sessions with its holidays and early closes, by the clock of its own place."""
    holidays = calendar.holidays
    hours = tuple(
        Hours(open=_time(each.opens), close=_time(each.closes), days=tuple(each.days.split()))
        for each in calendar.sessions
        if each.kind == _MAIN
    )
    around_the_clock = (Hours(open=time(0), close=time(0), days=DAYS),)
    return Session(
        zone=calendar.zone,
        hours=hours or around_the_clock,
        closed=tuple(date.fromisoformat(day) for day in holidays.days) if holidays else (),
        early={date.fromisoformat(each[:10]): _time(each[11:]) for each in holidays.early}
        if holidays
        else {},
    )


def _time(text: str) -> time:
    return time(0) if text == "24:00" else time.fromisoformat(text)
