"""The language of rules: every mistake is named where it stands, with what was probably meant."""

from datetime import datetime
from typing import Any

import pytest

from nettrace.analysis.alerts.calendar import is_open
from nettrace.analysis.alerts.preset import PRESETS
from nettrace.analysis.alerts.rule import read_book
from nettrace.errors import ConfigError
from nettrace.model.instant import NS_PER_S

RULE = {"name": "slow", "metric": "p95", "above": 100}
HOOK = {"kind": "webhook", "url": "https://x.example/"}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"rules": []}, "Did you mean 'rule'?"),
        ({"rule": [{**RULE, "vantage": ["nyc"]}]}, "rule 'slow' has no field 'vantage'. Did you mean 'vantages'?"),
        ({"rule": [{**RULE, "metric": "p59"}]}, "Did you mean 'p95'?"),
        ({"rule": [{**RULE, "preset": "derivd"}]}, "Did you mean 'derived'?"),
        ({"rule": [{**RULE, "channels": ["dsek"]}], "channel": {"desk": HOOK}}, "Did you mean 'desk'?"),
        ({"rule": [{**RULE, "session": "nyse"}], "session": {"nyze": {"zone": "UTC", "open": "09:00:00", "close": "17:00:00"}}},
         "Did you mean 'nyze'?"),
        ({"rule": [{"name": "x", "metric": "p95"}]}, "needs a threshold"),
        ({"rule": [{**RULE, "mads": 5}]}, "needs a threshold: either above or mads"),
        ({"rule": [{**RULE, "recover": 200}]}, "over before it began"),
        ({"rule": [{**RULE, "for": "2 minutes"}]}, "'2 minutes' is no duration"),
        ({"rule": [RULE, RULE]}, "empty or taken"),
        ({"rule": [{**RULE, "group": "asn"}]}, "There are: target, as, rule"),
        ({"channel": {"desk": {**HOOK, "kind": "webhok"}}}, "Did you mean 'webhook'?"),
        ({"channel": {"desk": {**HOOK, "secret": "x"}}}, "Did you mean 'secrets'?"),
        ({"session": {"nyse": {"zone": "America/New_Yrok", "open": "09:00:00", "close": "17:00:00"}}}, "no time zone"),
        ({"maintenance": [{"start": datetime(2026, 1, 1), "end": datetime(2026, 1, 2)}]}, "with a zone"),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_a_mistake_is_named(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as met:
        read_book(raw)
    assert words in str(met.value)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_rule_and_gives_way_to_what_is_said(name: str) -> None:
    (rule,) = read_book({"rule": [{"name": "mine", "preset": name, "for": "7m", "severity": "info"}]}).rule
    assert (rule.hold, rule.severity) == ("7m", "info")


def test_a_session_follows_its_own_clock_through_summer_time() -> None:
    session = {"zone": "America/New_York", "open": "09:30:00", "close": "16:00:00", "closed": ["2026-11-26"]}
    nyse = read_book({"session": {"nyse": session}}).session["nyse"]

    def at(text: str) -> bool:
        return is_open(nyse, round(datetime.fromisoformat(text).timestamp()) * NS_PER_S)

    assert at("2026-07-01T13:30:00Z")
    assert not at("2026-12-01T13:30:00Z")
    assert at("2026-12-01T14:30:00Z")
    assert not at("2026-11-26T15:00:00Z")
    assert not at("2026-11-28T15:00:00Z")
    assert not at("2026-12-01T21:00:00Z")


def test_a_session_over_midnight_belongs_to_the_day_it_opened() -> None:
    session = {"zone": "UTC", "open": "22:00:00", "close": "06:00:00", "days": ["fri"]}
    night = read_book({"session": {"night": session}}).session["night"]
    friday = round(datetime.fromisoformat("2026-11-20T00:00:00Z").timestamp())
    assert [is_open(night, (friday + hour * 3600) * NS_PER_S) for hour in (5, 21, 23, 29, 31, 47)] == [
        False, False, True, True, False, False]  # fmt: skip


def test_a_market_with_a_lunch_break_and_an_early_close_is_open_when_it_is() -> None:
    session = {
        "zone": "Asia/Hong_Kong",
        "hours": [{"open": "09:30:00", "close": "12:00:00"}, {"open": "13:00:00", "close": "16:00:00"}],
        "closed": ["2026-12-25"], "early": {"2026-12-24": "12:00:00"},
    }  # fmt: skip
    hongkong = read_book({"session": {"hk": session}}).session["hk"]

    def at(text: str) -> bool:
        return is_open(hongkong, round(datetime.fromisoformat(f"{text}:00+08:00").timestamp()) * NS_PER_S)

    assert [at(f"2026-12-23T{hour}") for hour in ("09:29", "09:30", "12:00", "13:00", "16:00")] == [
        False, True, False, True, False]  # fmt: skip
    assert [at(f"2026-12-24T{hour}") for hour in ("11:59", "13:30")] == [True, False]
    assert not at("2026-12-25T10:00")


def test_a_session_needs_both_ends() -> None:
    with pytest.raises(ConfigError, match="needs open and close, or hours"):
        read_book({"session": {"half": {"zone": "UTC", "open": "09:00:00"}}})
