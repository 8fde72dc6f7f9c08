"""How long a store keeps what: a setting of the operator, read by whatever engine does the forgetting."""

import msgspec

from nettrace.errors import ConfigError

SETTING = "retention"
"""Name of the setting that holds `Retention`, as JSON."""

LEAST_DAYS, MOST_DAYS = 3, 36_500
"""A day is closed, filed and sealed within two."""


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many days things are kept. Day rollups, events and routes stay for ever.

    Attributes:
        raw_days: rounds and traces.
        quarter_days: buckets of 15 minutes; no longer than rounds, from which those of quiet hours are counted.
        hour_days: buckets of an hour.
    """

    raw_days: int = 730
    quarter_days: int = 90
    hour_days: int = 730


FIELDS = {"raw": "raw_days", "15m": "quarter_days", "1h": "hour_days"}
"""What people call each: the resolution that goes."""


def checked(kept: Retention) -> Retention:
    """The same.

    Raises:
        ConfigError: it cannot be kept so.
    """
    for word, field in FIELDS.items():
        days: int = getattr(kept, field)
        if not LEAST_DAYS <= days <= MOST_DAYS:
            raise ConfigError(
                f"{word} cannot be kept for {days} days", f"From {LEAST_DAYS} days to a century"
            )
    if kept.quarter_days > kept.raw_days:
        raise ConfigError(
            f"15m would be kept for {kept.quarter_days} days and raw for {kept.raw_days}",
            "Keep raw at least as long: buckets of quiet hours are counted from it",
        )
    return kept


def retention_of(text: bytes | None) -> Retention:
    """What the setting says, or what is usual without one.

    >>> retention_of(b'{"raw_days": 365}')
    Retention(raw_days=365, quarter_days=90, hour_days=730)

    Raises:
        ConfigError: it is not what it should be; nothing is to be forgotten then.
    """
    if text is None:
        return Retention()
    try:
        return checked(msgspec.json.decode(text, type=Retention))
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"the setting '{SETTING}' does not say how long things are kept: {error}"
        ) from error


def changed(kept: Retention, words: tuple[str, ...]) -> Retention:
    """With what was given as `WHAT=DAYS`.

    >>> changed(Retention(), ("raw=365", "1h=1825"))
    Retention(raw_days=365, quarter_days=90, hour_days=1825)

    Raises:
        ConfigError: it is not of that form, or cannot be kept so.
    """
    days: dict[str, int] = {}
    for word in words:
        what, _, number = word.partition("=")
        if what not in FIELDS or not number.isdecimal():
            raise ConfigError(
                f"'{word}' does not say how long something is kept", "Write raw=365, 15m=90 or 1h=730"
            )
        days[FIELDS[what]] = int(number)
    return checked(msgspec.structs.replace(kept, **days))
