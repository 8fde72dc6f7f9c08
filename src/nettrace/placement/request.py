"""A placement request, read from TOML and checked: venues, candidate sites, latencies between them, limits."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from itertools import pairwise
from math import isfinite
from typing import Any, cast

import msgspec

from nettrace.errors import Invalid
from nettrace.placement.service import Differs, Machine, Service, check_machines, check_services

MOST = 1e9
"""No price, weight or latency is greater: beyond it somebody mistook the unit."""


class Evidence(StrEnum):
    """What a latency rests on."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    GIVEN = "given"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the whole plan must keep.

    Attributes:
        budget_usd_month: most that all chosen sites together may cost a month.
        max_sites: most sites that may be chosen.
        redundancy: 1 when every venue must have a backup at another chosen site.
        backup_differs: in what a backup must differ from the site it stands in for.
        usd_per_hour: what an hour of moving costs.
        months: over how many months what moving costs once is spread.
    """

    budget_usd_month: float | None = None
    max_sites: int | None = None
    redundancy: int = 0
    backup_differs: Differs = Differs.SITE
    usd_per_hour: float = 0.0
    months: float = 12.0


class Venue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where orders go or data comes from.

    Attributes:
        usd_per_ms_month: what one millisecond of median round trip costs a month.
        max_ms: most that the assigned site may be away.
        backup_max_ms: most that the backup may be away.
        forbid_countries: countries in which neither site nor backup may stand.
        lat, lon: where its engine stands, for the physics check.
    """

    name: str
    usd_per_ms_month: float
    max_ms: float | None = None
    backup_max_ms: float | None = None
    forbid_countries: tuple[str, ...] = ()
    lat: float | None = None
    lon: float | None = None


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place that can be rented.

    Attributes:
        usd_month: its price a month, paid when it is chosen for anything; the price of its machine comes on top.
        pinned: it must be chosen.
        plan: the sizes of machine for rent there.
        in_use: it is rented today: moving costs when it is not chosen; of other sites, when they are.
        move_usd, move_hours: what setting it up, or giving it up when it is in use, costs once.
    """

    name: str
    usd_month: float
    provider: str | None = None
    country: str | None = None
    pinned: bool = False
    lat: float | None = None
    lon: float | None = None
    plan: tuple[Machine, ...] = ()
    in_use: bool = False
    move_usd: float = 0.0
    move_hours: float = 0.0


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The round trip between a site and a venue; a pair without one cannot be assigned (estimates are rows too).

    Attributes:
        low_ms, high_ms: the interval that holds the true median; None when nobody said.
        p95_ms: 95th percentile of the round trips; it is told, not planned with.
        p95_low_ms, p95_high_ms: the interval that holds it; None when nobody said.
        by: how it is known, as `near pairs`, or what was timed; a request may say it of what it gives.
        basis: the evidence that weighs most, in words.
    """

    venue: str
    site: str
    p50_ms: float
    low_ms: float | None = None
    high_ms: float | None = None
    p95_ms: float | None = None
    p95_low_ms: float | None = None
    p95_high_ms: float | None = None
    evidence: Evidence = Evidence.GIVEN
    by: str | None = None
    basis: tuple[str, ...] = ()


class By(StrEnum):
    """What of its legs a pair waits for: the slower one (sent at once), or one after the other."""

    WORSE = "worse"
    SUM = "sum"


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Venues traded together from one site, such as the legs of an arbitrage.

    Attributes:
        venues: its legs, by name.
        usd_per_ms_month: what one millisecond of the pair's own latency costs a month, on top of what its legs cost.
        max_ms: most that the pair's latency may be.
    """

    name: str
    venues: tuple[str, ...]
    usd_per_ms_month: float
    by: By = By.WORSE
    max_ms: float | None = None
    backup_max_ms: float | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a plan is made from."""

    venue: tuple[Venue, ...]
    site: tuple[Site, ...]
    latency: tuple[Latency, ...] = ()
    limits: Limits = Limits()
    pair: tuple[Pair, ...] = ()
    service: tuple[Service, ...] = ()


_TABLES: dict[str, type[msgspec.Struct]] = {
    "venue": Venue,
    "site": Site,
    "latency": Latency,
    "limits": Limits,
    "pair": Pair,
    "service": Service,
}
_PLAIN = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false", "array": "a list", "object": "a table"}  # fmt: skip
"""msgspec's names of types in a reader's words."""

_NOT_IN_FILES = {"evidence"}
"""What a file says is given, never measured: it cannot claim otherwise."""


_FORM = "A request has [[venue]], [[site]] and [[latency]] tables: docs/guides/placement.md, examples/eight-brokers.toml"


def parse_request(text: str, complete: Callable[[Request], Request] | None = None) -> Request:
    """The request that a TOML text makes.

    `complete` may add what the text leaves out, such as coordinates of venues that a registry knows.

    Raises:
        Invalid: it is no TOML, has an unknown key, lacks one, or has a value that cannot be; with table, name and line.

    >>> made = parse_request('''
    ... venue = [{name = "v", usd_per_ms_month = 2.0}]
    ... site = [{name = "s", usd_month = 30}]
    ... latency = [{venue = "v", site = "s", p50_ms = 4}]
    ... ''')
    >>> made.site[0].usd_month, made.limits.redundancy
    (30.0, 0)
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"the request is no TOML: {error}", _FORM) from None
    return _made(raw, _Where(text, raw), complete)


def read_request(raw: Mapping[str, Any], complete: Callable[[Request], Request] | None = None) -> Request:
    """The request that the tables of a JSON document make; errors as `parse_request`, without lines."""
    return _made(raw, _Where("", raw), complete)


def _made(raw: Mapping[str, Any], where: "_Where", complete: Callable[[Request], Request] | None) -> Request:
    _check_keys(raw, where)
    try:
        request = msgspec.convert(raw, Request)
    except msgspec.ValidationError as error:
        raise Invalid(f"the request cannot be read: {where.retold(str(error))}", _FORM) from None
    if complete is not None:
        request = complete(request)
    check_request(request, where)
    return request


class _Where:
    """Where in the text an entry stands, for errors."""

    def __init__(self, text: str = "", raw: Mapping[str, Any] | None = None) -> None:
        self._lines = text.splitlines()
        self._raw = raw or {}

    def of(self, table: str, number: int, key: str | None = None) -> str:
        """`venue 'v1' (line 12)`: the entry in words; with a key, the key's own line."""
        entries: object = self._raw.get(table)
        listed = cast("list[object]", entries) if isinstance(entries, list) else [entries] * (number + 1)
        entry = listed[number] if number < len(listed) else None
        name: Any = cast("dict[str, Any]", entry).get("name") if isinstance(entry, dict) else None
        words = table if table == "limits" else f"{table} {name!r}" if name else f"{table} {number + 1}"
        line = self._line(table, number, key)
        return f"{words} (line {line})" if line else words

    def retold(self, error: str) -> str:
        """Msgspec's words with the entry's name and line instead of its path."""
        words, _, path = error.partition(" - at `$")
        if not path:
            return error.replace("Object missing", "missing").replace("field", "table")
        table, _, rest = path.strip("`.").partition("[")
        number, _, key = rest.partition("]")
        if not rest:
            table, _, key = table.partition(".")
        words = words[0].lower() + words[1:]
        for kind, meaning in _PLAIN.items():
            words = words.replace(f"`{kind} | null`", meaning).replace(f"`{kind}`", meaning)
        key = key.strip(".")
        if table not in self._raw:
            return f"{table or 'request'}: {words}"
        place = self.of(table, int(number) if number.isdigit() else 0, key.partition("[")[0] or None)
        return f"{place}: {key + ': ' if key else ''}{words.replace('object missing', 'missing')}"

    def _line(self, table: str, number: int, key: str | None) -> int | None:
        heads = [
            at
            for at, line in enumerate(self._lines, 1)
            if line.split("#")[0].replace(" ", "").strip() in {f"[[{table}]]", f"[{table}]"}
        ]
        if number >= len(heads):
            return None
        if key is not None:
            for at in range(heads[number], len(self._lines)):
                line = self._lines[at].strip()
                if line.startswith("["):
                    break
                if line.partition("=")[0].strip(" \"'") == key:
                    return at + 1
        return heads[number]


def _check_keys(raw: Mapping[str, Any], where: _Where) -> None:
    for key in raw:
        if key not in _TABLES:
            raise Invalid(f"the request has an unknown table '{key}'{_meant(key, _TABLES)}")
    for table, kind in _TABLES.items():
        entries = raw.get(table, [])
        known = [name for name in kind.__struct_fields__ if name not in _NOT_IN_FILES]
        for number, entry in enumerate(
            cast("list[Any]", entries) if isinstance(entries, list) else [entries]
        ):
            for key in cast("dict[str, Any]", entry) if isinstance(entry, dict) else ():
                if key not in known:
                    place = where.of(table, number, key)
                    raise Invalid(f"{place}: unknown key '{key}'{_meant(key, known)}")


def _meant(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(word, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(names)}" if names else ""


def check_request(request: Request, where: _Where | None = None) -> None:
    """Return when every value can be and every name is known.

    Raises:
        Invalid: with the first that is not.
    """
    where = where or _Where()
    if not request.venue:
        raise Invalid("the request has no venue", "Add a [[venue]] table")
    if not request.site:
        raise Invalid("the request has no site to choose from", "Add a [[site]] table")
    _check_limits(request.limits, where)
    for table in ("venue", "site"):
        _check_names(table, getattr(request, table), where)
    for number, venue in enumerate(request.venue):
        _check_venue(venue, number, where)
    for number, site in enumerate(request.site):
        for key in ("usd_month", "move_usd", "move_hours"):
            _check_number(getattr(site, key), key, ("site", number), where)
        _check_coordinates(site, ("site", number), where)
    _check_latencies(request, where)
    _check_pairs(request, where)
    check_machines(request.site, where)
    check_services(request, where)
    _check_differences(request, where)


def _check_limits(limits: Limits, where: _Where) -> None:
    for key in ("budget_usd_month", "usd_per_hour", "months"):
        _check_number(getattr(limits, key), key, ("limits", 0), where)
    if limits.months < 1:
        raise Invalid(f"{where.of('limits', 0, 'months')}: months is {limits.months:g}; 1 is the least")
    if limits.max_sites is not None and limits.max_sites < 0:
        raise Invalid(
            f"{where.of('limits', 0, 'max_sites')}: max_sites is {limits.max_sites}; 0 is the least"
        )
    if limits.redundancy not in {0, 1}:
        raise Invalid(
            f"{where.of('limits', 0, 'redundancy')}: redundancy is {limits.redundancy}; 0 (none) and 1 (a backup each) are known"
        )


def _check_names(table: str, entries: Sequence[Venue | Site], where: _Where) -> None:
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        if not entry.name.strip():
            raise Invalid(f"{where.of(table, number)}: its name is empty")
        if entry.name in seen:
            raise Invalid(f"{where.of(table, number)}: another {table} has this name", "Names must be unique")
        seen.add(entry.name)


def _check_venue(venue: Venue, number: int, where: _Where) -> None:
    place = ("venue", number)
    _check_number(venue.usd_per_ms_month, "usd_per_ms_month", place, where)
    _check_number(venue.max_ms, "max_ms", place, where)
    _check_number(venue.backup_max_ms, "backup_max_ms", place, where)
    _check_coordinates(venue, place, where)
    for code in venue.forbid_countries:
        if not (len(code) == 2 and code.isascii() and code.isalpha()):
            raise Invalid(
                f"{where.of(*place, 'forbid_countries')}: {code!r} is no ISO 3166 code of two letters such as 'US'"
            )


def _check_number(value: float | None, key: str, place: tuple[str, int], where: _Where) -> None:
    if value is None or (isfinite(value) and 0 <= value <= MOST):
        return
    reason = "below zero" if value < 0 else "no finite number" if not isfinite(value) else f"above {MOST:g}"
    raise Invalid(f"{where.of(*place, key)}: {key} is {value:g}, which is {reason}")


def _check_coordinates(entry: Venue | Site, place: tuple[str, int], where: _Where) -> None:
    if (entry.lat is None) != (entry.lon is None):
        raise Invalid(f"{where.of(*place)}: lat and lon go together; one is missing")
    for key, value, most in (("lat", entry.lat, 90.0), ("lon", entry.lon, 180.0)):
        if value is not None and not -most <= value <= most:
            raise Invalid(f"{where.of(*place, key)}: {key} is {value:g}; it goes from {-most:g} to {most:g}")


def _check_pairs(request: Request, where: _Where) -> None:
    known = {venue.name for venue in request.venue}
    seen = set(known)
    for number, pair in enumerate(request.pair):
        place = where.of("pair", number)
        if not pair.name.strip() or pair.name in seen:
            raise Invalid(
                f"{place}: its name is empty, or another venue or pair has it", "Names must be unique"
            )
        seen.add(pair.name)
        if len(set(pair.venues)) < 2:
            raise Invalid(f"{place}: a pair has two legs or more, not {len(set(pair.venues))}")
        for name in pair.venues:
            if name not in known:
                raise Invalid(f"{place}: there is no venue '{name}'{_meant(name, sorted(known))}")
        for key in ("usd_per_ms_month", "max_ms", "backup_max_ms"):
            _check_number(getattr(pair, key), key, ("pair", number), where)


def _check_latencies(request: Request, where: _Where) -> None:
    known = {
        "venue": {venue.name for venue in request.venue},
        "site": {site.name for site in request.site},
    }
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(request.latency):
        for key, name in (("venue", row.venue), ("site", row.site)):
            if name not in known[key]:
                place = where.of("latency", number, key)
                raise Invalid(f"{place}: there is no {key} '{name}'{_meant(name, sorted(known[key]))}")
        if (row.venue, row.site) in seen:
            raise Invalid(f"{where.of('latency', number)}: {row.venue} and {row.site} have two latencies")
        seen.add((row.venue, row.site))
        for key, value in (
            ("p50_ms", row.p50_ms),
            ("low_ms", row.low_ms),
            ("high_ms", row.high_ms),
            ("p95_ms", row.p95_ms),
            ("p95_low_ms", row.p95_low_ms),
            ("p95_high_ms", row.p95_high_ms),
        ):
            _check_number(value, key, ("latency", number), where)
        for low, middle, high in (("low_ms", "p50_ms", "high_ms"), ("p95_low_ms", "p95_ms", "p95_high_ms")):
            given = [getattr(row, key) for key in (low, middle, high)]
            if any(one > other for one, other in pairwise(value for value in given if value is not None)):
                raise Invalid(f"{where.of('latency', number)}: {low} <= {middle} <= {high} does not hold")


def _check_differences(request: Request, where: _Where) -> None:
    """What a rule compares must be known: an unknown country is neither forbidden nor allowed."""
    key = request.limits.backup_differs
    strict = request.limits.redundancy == 1 and key is not Differs.SITE
    forbidding = next((venue.name for venue in request.venue if venue.forbid_countries), None)
    for number, site in enumerate(request.site):
        if strict and not getattr(site, key):
            raise Invalid(
                f'{where.of("site", number)}: its {key} is not given, but backup_differs = "{key}" compares it'
            )
        if forbidding and not site.country:
            raise Invalid(
                f"{where.of('site', number)}: its country is not given, but venue '{forbidding}' forbids countries"
            )
