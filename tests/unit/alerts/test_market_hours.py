"""Rules may name the registry's trading calendars; their hours are those of the place, holidays and breaks included."""

from datetime import datetime

import pytest

from nettrace.analysis.alerts.calendar import is_open
from nettrace.analysis.alerts.rule import read_book
from nettrace.errors import ConfigError
from nettrace.hub.market_hours import market_sessions
from nettrace.model.instant import NS_PER_S


def is_trading(calendar: str, text: str) -> bool:
    return is_open(market_sessions()[calendar], round(datetime.fromisoformat(text).timestamp()) * NS_PER_S)


@pytest.mark.parametrize(
    ("calendar", "at", "expected"),
    [
        ("us-equities", "2026-11-20T10:00:00-05:00", True),
        ("us-equities", "2026-11-20T08:00:00-05:00", False),  # before the opening: no main session
        ("us-equities", "2026-11-26T11:00:00-05:00", False),  # Thanksgiving
        ("us-equities", "2026-11-27T12:59:00-05:00", True),
        ("us-equities", "2026-11-27T13:00:00-05:00", False),  # ends early the day after
        ("us-equities", "2026-03-06T14:45:00+00:00", True),  # winter: opens 14:30 UTC
        ("us-equities", "2026-03-09T13:45:00+00:00", True),  # summer from the 8th: opens 13:30 UTC
        ("us-equities", "2026-03-06T13:45:00+00:00", False),
        ("tse", "2026-11-20T12:00:00+09:00", False),  # lunch
        ("tse", "2026-11-20T13:00:00+09:00", True),
        ("always", "2026-12-25T03:00:00+00:00", True),
    ],
)
def test_a_calendar_is_open_when_its_market_trades(calendar: str, at: str, expected: bool) -> None:
    assert is_trading(calendar, at) is expected


def test_a_rule_names_a_market_without_writing_its_hours_down() -> None:
    rule = {"name": "slow", "preset": "latency-warning", "session": "us-equities"}
    book = read_book({"rule": [rule]}, market_sessions())
    assert list(book.session) == ["us-equities"]


def test_an_unknown_market_is_refused_with_what_was_meant() -> None:
    rule = {"name": "slow", "preset": "latency-warning", "session": "us-equity"}
    with pytest.raises(ConfigError) as refused:
        read_book({"rule": [rule]}, market_sessions())
    assert "us-equities" in refused.value.hint


def test_the_files_own_session_of_that_name_goes_before() -> None:
    own = {"zone": "UTC", "open": "00:00:00", "close": "01:00:00"}
    rule = {"name": "slow", "preset": "latency-warning", "session": "tse"}
    book = read_book({"rule": [rule], "session": {"tse": own}}, market_sessions())
    assert book.session["tse"].zone == "UTC"
