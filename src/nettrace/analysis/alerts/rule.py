"""The language of rules: `alerts.toml` decoded, checked word by word, with everything it leaves out filled in."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from nettrace.analysis.alerts.preset import PRESETS
from nettrace.errors import ConfigError
from nettrace.model.instant import NS_PER_S
from nettrace.model.signal import Kind, Severity

T = TypeVar("T", bound=msgspec.Struct)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CHANNEL_KINDS = ("webhook", "email", "slack", "discord", "telegram", "pagerduty", "alertmanager", "apprise")


class Metric(StrEnum):
    """What a rule looks at, with the unit of its threshold.

    `p50`, `p95`: round trips, ms. `loss`: probes, %. `errors`: failed rounds, %. `failed`: failed rounds in a row.
    `age`: since the last round of any kind, in intervals of its schedule. `signal`, `route`: events. `silence`: a
    vantage that was not heard of, s. `blind`: a vantage that reaches almost nothing, % of its series. `cpu`, `memory`,
    `disk`: of a node's machine, %. `replication`: the largest lag a node's gauge files tell of, s.
    """

    P50 = "p50"
    P95 = "p95"
    LOSS = "loss"
    ERRORS = "errors"
    FAILED = "failed"
    AGE = "age"
    SIGNAL = "signal"
    ROUTE = "route"
    SILENCE = "silence"
    BLIND = "blind"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    REPLICATION = "replication"


NUMERIC = frozenset({Metric.P50, Metric.P95, Metric.LOSS, Metric.ERRORS, Metric.FAILED, Metric.AGE})
OF_MACHINES = frozenset({Metric.CPU, Metric.MEMORY, Metric.DISK, Metric.REPLICATION})
OF_VANTAGES = frozenset({Metric.SILENCE, Metric.BLIND}) | OF_MACHINES


class Escalation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who else is told when nobody has acknowledged for so long."""

    after: str
    channels: tuple[str, ...]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule as written; durations are texts like `90s`, `5m`, `4h`.

    Attributes:
        above: the threshold in the metric's unit; `recover` is where it is over (nine tenths of `above` unless said).
        mads: instead of `above`: the series' own p95 and so many median absolute deviations.
        targets, categories, vantages, methods: names or patterns with `*`; empty is "any".
        kinds, classes: which signals, or which classes of route changes; empty is "any".
        k: how many vantages must see it; `n` how many must be able to judge at all.
        hold: how long the condition lasts before an incident opens (`for` in the file).
        lasts: how long a signal that nobody takes back counts.
        window: how far back rounds count; `least` of them are needed before anything is said.
        session: judged only while this session is open.
        group: what is one cause: `target`, `as` or `rule`.
    """

    name: str
    metric: Metric
    above: float | None = None
    recover: float | None = None
    mads: float | None = None
    targets: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    classes: tuple[str, ...] = ()
    least_severity: Severity = Severity.WARNING
    confidence: float = 0.0
    k: int = 1
    n: int = 1
    hold: str = msgspec.field(default="2m", name="for")
    lasts: str = "1h"
    window: str = "5m"
    least: int = 3
    severity: Severity = Severity.WARNING
    session: str | None = None
    quiet: str | None = None
    repeat: str | None = None
    escalate: tuple[Escalation, ...] = ()
    channels: tuple[str, ...] = ()
    group: str = "target"
    preset: str | None = None


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of some days. `close` at or before `open` is on the next day."""

    open: time
    close: time
    days: tuple[str, ...] = DAYS[:5]


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When something is open in some place: one stretch of its days, or several (before and after a lunch break).

    Attributes:
        zone: an IANA time zone, such as `America/New_York`.
        open, close, days: of the one stretch; or `hours` says several.
        closed: dates on which it does not open.
        early: dates on which it ends before its time: from then on it is closed until midnight.
    """

    zone: str
    open: time | None = None
    close: time | None = None
    days: tuple[str, ...] = DAYS[:5]
    hours: tuple[Hours, ...] = ()
    closed: tuple[date, ...] = ()
    early: dict[date, time] = {}

    @property
    def stretches(self) -> tuple[Hours, ...]:
        """Every stretch in which it is open on an ordinary day."""
        if self.open is None or self.close is None:
            return self.hours
        return (Hours(open=self.open, close=self.close, days=self.days), *self.hours)


class Maintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch in which what it names is not judged."""

    start: datetime
    end: datetime
    targets: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    note: str = ""


class ChannelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where notices go. What is secret is never written here: `env:NAME` or `file:PATH` says where it stands.

    Attributes:
        url: where to post to: an address, or a reference to one where the address itself is the secret.
        secrets: signing secrets of a webhook, newest first; every one of them signs.
        token: of Telegram's bot, of PagerDuty's integration, the password of a mail account.
        to: addresses of e-mails, or a Telegram chat.
        allow: private networks this channel may post into.
        least_severity: less severe incidents are not told here.
    """

    kind: str
    url: str = ""
    secrets: tuple[str, ...] = ()
    token: str = ""
    to: tuple[str, ...] = ()
    sender: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    tls: str = "starttls"
    allow: tuple[str, ...] = ()
    least_severity: Severity = Severity.INFO


RETRY = ("5s", "30s", "2m", "5m", "15m", "30m", *("1h",) * 72)
"""After each failed attempt: three days in all, and never more than about an hour behind an endpoint that is back."""


class RuleBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a file of rules says.

    Attributes:
        trace: measure the path when an incident opens.
        retry: how long after each failed attempt a delivery is tried again; behind the last it has failed.
    """

    rule: tuple[Rule, ...] = ()
    session: dict[str, Session] = {}
    maintenance: tuple[Maintenance, ...] = ()
    channel: dict[str, ChannelSpec] = {}
    trace: bool = True
    retry: tuple[str, ...] = RETRY


def seconds(text: str) -> float:
    """A duration in seconds.

    >>> seconds("1h30m"), seconds("90s")
    (5400.0, 90.0)

    Raises:
        ConfigError: it is none.
    """
    found = _DURATION.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ConfigError(f"'{text}' is no duration", "Write 90s, 5m, 1h30m or 2d")
    return float(sum(float(number) * _SECONDS[unit] for number, unit in found))


@cache
def duration_ns(text: str) -> int:
    """A duration in ns."""
    return round(seconds(text) * NS_PER_S)


def read_book(raw: Mapping[str, Any], sessions: Mapping[str, Session] | None = None) -> RuleBook:
    """The rules of a decoded TOML file; presets are filled in and every word is checked.

    `sessions` are those a rule may name without writing them down: the hours of markets. The file's own go before.

    >>> read_book({"rule": [{"name": "slow", "preset": "latency-warning"}]}).rule[0].above
    100.0

    Raises:
        ConfigError: the first thing that is wrong, where it stands, and what was probably meant.
    """
    _known(raw, RuleBook, "the file")
    for name, channel in _table(raw, "channel").items():
        _known(channel, ChannelSpec, f"channel '{name}'")
    for name, session in _table(raw, "session").items():
        _known(session, Session, f"session '{name}'")
    rules: list[dict[str, Any]] = []
    for number, written in enumerate(_list(raw, "rule"), start=1):
        where = f"rule '{written.get('name', f'number {number}')}'"
        _known(written, Rule, where)
        rules.append({**_preset(written, where), **written})
        if (metric := str(rules[-1].get("metric"))) not in set(Metric):
            raise ConfigError(f"{where}: there is no metric '{metric}'", _meant(metric, list(Metric)))
        _convert(rules[-1], Rule, where)
    for number, window in enumerate(_list(raw, "maintenance"), start=1):
        _known(window, Maintenance, f"maintenance {number}")
    book = _convert({**raw, "rule": rules}, RuleBook, "the file")
    named = {name for rule in book.rule for name in (rule.session, rule.quiet) if name is not None}
    given = {name: each for name, each in (sessions or {}).items() if name in named}
    _check(book, [*book.session, *(sessions or {})])
    return msgspec.structs.replace(book, session=given | book.session)


def _preset(written: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    name = written.get("preset")
    if name is None:
        return {}
    if name not in PRESETS:
        raise ConfigError(f"{where}: there is no preset '{name}'", _meant(str(name), list(PRESETS)))
    return PRESETS[name]


def _known(written: Any, kind: type[msgspec.Struct], where: str) -> None:
    if not isinstance(written, dict):
        raise ConfigError(f"{where} is no table", "See docs/guides/alerts.md for the form")
    names = list(kind.__struct_encode_fields__)
    for word in cast("dict[str, Any]", written):
        if word not in names:
            raise ConfigError(f"{where} has no field '{word}'", _meant(word, names))


def _table(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name, {})
    if not isinstance(found, dict):
        raise ConfigError(f"'{name}' is no table", f"Write [{name}.NAME]")
    return cast("dict[str, Any]", found)


def _list(raw: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = raw.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in cast("list[Any]", found)):
        raise ConfigError(f"'{name}' is no list of tables", f"Write [[{name}]]")
    return cast("list[dict[str, Any]]", found)


def _convert(raw: Mapping[str, Any], kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(raw, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}", "See docs/guides/alerts.md for the form") from error


def _meant(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"Did you mean '{close[0]}'?" if close else f"There are: {', '.join(known)}"


def _named(name: str | None, known: Collection[str], what: str, where: str) -> None:
    if name is not None and name not in known:
        raise ConfigError(f"{where}: there is no {what} '{name}'", _meant(name, list(known)) if known else "")


def _check(book: RuleBook, sessions: Sequence[str]) -> None:
    seen: set[str] = set()
    for text in book.retry:
        seconds(text)
    for rule in book.rule:
        where = f"rule '{rule.name}'"
        if rule.name in seen or not rule.name.strip():
            raise ConfigError(f"{where}: the name is empty or taken", "Every rule has a name of its own")
        seen.add(rule.name)
        _check_rule(rule, where)
        _named(rule.session, sessions, "session", where)
        _named(rule.quiet, sessions, "session", where)
        for channel in (*rule.channels, *(name for step in rule.escalate for name in step.channels)):
            _named(channel, book.channel, "channel", where)
    for name, session in book.session.items():
        _check_session(session, f"session '{name}'")
    for name, channel in book.channel.items():
        if channel.kind not in CHANNEL_KINDS:
            raise ConfigError(
                f"channel '{name}': there is no kind '{channel.kind}'", _meant(channel.kind, CHANNEL_KINDS)
            )
    for window in book.maintenance:
        if window.start.tzinfo is None or window.end.tzinfo is None or window.end <= window.start:
            raise ConfigError(
                "maintenance needs start and end with a zone, in that order", "2026-01-02T03:00:00Z"
            )


def _check_rule(rule: Rule, where: str) -> None:
    for text in (rule.hold, rule.lasts, rule.window, *(step.after for step in rule.escalate)):
        seconds(text)
    if rule.repeat is not None and seconds(rule.repeat) < 60:
        raise ConfigError(f"{where}: repeat below one minute", "Write 30m or more")
    if rule.metric in NUMERIC | OF_VANTAGES and (rule.above is None) == (rule.mads is None):
        raise ConfigError(f"{where} needs a threshold: either above or mads", "Write above = 100")
    if rule.mads is not None and rule.metric not in {Metric.P50, Metric.P95}:
        raise ConfigError(f"{where}: mads goes with p50 and p95 only", "Write above = ... instead")
    if rule.recover is not None and rule.above is not None and rule.recover > rule.above:
        raise ConfigError(f"{where}: it would be over before it began", "recover is at most above")
    if rule.k < 1 or rule.n < 1 or rule.least < 1 or not 0 <= rule.confidence <= 1:
        raise ConfigError(f"{where}: k, n and least are 1 or more, confidence is 0 to 1", "Change them")
    if rule.group not in {"target", "as", "rule"}:
        raise ConfigError(f"{where}: there is no group '{rule.group}'", "There are: target, as, rule")


def _check_session(session: Session, where: str) -> None:
    try:
        ZoneInfo(session.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"{where}: there is no time zone '{session.zone}'", "Write America/New_York"
        ) from error
    if (session.open is None) != (session.close is None) or not session.stretches:
        raise ConfigError(
            f"{where} needs open and close, or hours", "Write open = 09:30:00 and close = 16:00:00"
        )
    for day in (day for stretch in session.stretches for day in stretch.days):
        if day not in DAYS:
            raise ConfigError(f"{where}: there is no day '{day}'", _meant(day, DAYS))
