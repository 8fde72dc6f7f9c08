"""A placement request's venues and sites as rows of a form, and what is changed in them written into its text.

The text stays the request: a row that nobody touched leaves it alone, comments and all. A row says what it was when the
page was made, so what was typed into the text meanwhile is not undone.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

import msgspec

from nettrace.errors import Invalid
from nettrace.hub.facts import facts
from nettrace.outside.places import find
from nettrace.placement.registry.places import HOURS_A_MONTH, engine_of, plans_at, sites_of

FIELDS = {
    "venue": {"usd_per_ms_month": "$ a ms, a month", "max_ms": "at most, ms"},
    "site": {"usd_month": "$ a month", "pinned": "must be chosen"},
}
"""What a row of each table holds beside its name."""
EMPTY = 2
"""Rows to add something with."""
MOST = 60
"""Rows of a table; a longer request is changed in its text."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One venue or site in the form.

    Attributes:
        name: empty in a row to add one with.
        values: as they stand in the fields, by key.
        was: the same with the name, as one text.
    """

    name: str = ""
    values: dict[str, str] = {}
    was: str = ""


def rows_of(text: str) -> dict[str, list[Row]]:
    """The rows of a request's tables, with some to add to; none where the text is no TOML or too long."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
    made: dict[str, list[Row]] = {}
    for table, keys in FIELDS.items():
        entries = raw.get(table, [])
        if not isinstance(entries, list) or len(entries) > MOST:  # pyright: ignore[reportUnknownArgumentType]
            return {}
        tables = cast("list[dict[str, Any]]", [each for each in entries if isinstance(each, dict)])  # pyright: ignore[reportUnknownVariableType]
        rows = [_row(each, keys) for each in tables]
        made[table] = [*rows, *(Row(values=dict.fromkeys(keys, "")) for _ in range(EMPTY))]
    return made


def limits_of(text: str) -> dict[str, str]:
    """The limits a request's text has, for a field's hint; none where it is no TOML."""
    try:
        raw: Any = tomllib.loads(text).get("limits", {})
    except tomllib.TOMLDecodeError:
        return {}
    known = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
    return {key: _said(value) for key, value in known.items()}


def _row(entry: Mapping[str, Any], keys: Iterable[str]) -> Row:
    name, values = str(entry.get("name", "")), {key: _said(entry.get(key)) for key in keys}
    return Row(name=name, values=values, was=json.dumps([name, *values.values()]))


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    return f"{value:.10g}" if isinstance(value, int | float) else ""


def with_rows(text: str, form: Mapping[str, str]) -> str:
    """The text with what a form's rows change: another name, weight or price, a cleared name (gone), a new row.

    Raises:
        Invalid: a number is none, a new site has no price anywhere, or the row's entry is no `[[table]]` of its own.
    """
    for table, keys in FIELDS.items():
        for number in range(MOST + EMPTY):
            name = form.get(f"{table}-{number}-name")
            if name is None:
                break
            values = {key: form.get(f"{table}-{number}-{key}", "").strip() for key in keys}
            was = form.get(f"{table}-{number}-was", "")
            said = json.dumps([name.strip(), *values.values()])
            if not was and name.strip():
                text = _added(text, table, name.strip(), values)
            elif was and said != was:
                text = _changed(text, table, was, name.strip(), values)
    return text


def _changed(text: str, table: str, was: str, name: str, values: Mapping[str, str]) -> str:
    try:
        before: list[str] = msgspec.json.decode(was, type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Invalid("a row of the form says not what it was", "Load /plan again") from None
    if name and name != before[0]:
        raise Invalid(
            f"{table} '{before[0]}' cannot become '{name}'",
            "Clear its name to leave it out, and add the other in an empty row",
        )
    blocks = _blocks(text)
    own = next((at for at, block in enumerate(blocks) if _is(block, table, before[0])), None)
    if own is None:
        raise Invalid(
            f"{table} '{before[0]}' is no [[{table}]] table of its own", "Change it in the request's text"
        )
    if not name:
        kept = (
            block for at, block in enumerate(blocks) if at != own and not _is_latency(block, table, before[0])
        )
        return "".join(kept)
    for (key, value), old in zip(values.items(), before[1:], strict=False):
        if value != old:
            blocks[own] = _set(blocks[own], key, value)
    return "".join(blocks)


def _added(text: str, table: str, name: str, values: Mapping[str, str]) -> str:
    known = dict(values)
    if table == "venue" and not known["usd_per_ms_month"]:
        raise Invalid(f"venue '{name}': what is a millisecond to it worth a month?", "Fill its field")
    if table == "site" and not known["usd_month"]:
        known["usd_month"] = _cheapest(name)
    block = f"[[{table}]]\nname = {json.dumps(name)}\n"
    for key, value in known.items():
        block = _set(block, key, value)
    blocks = _blocks(text)
    last = max(
        (at for at, each in enumerate(blocks) if each.lstrip().startswith(f"[[{table}]]")),
        default=len(blocks) - 1,
    )
    if blocks:
        blocks[last] = blocks[last].rstrip("\n") + "\n\n"
    return "".join([*blocks[: last + 1], block, "\n" if last + 1 < len(blocks) else "", *blocks[last + 1 :]])


def _cheapest(site: str) -> str:
    """The registry's least price of a machine at a site, dollars a month."""
    provider, _, code = site.partition(":")
    prices = [
        price * HOURS_A_MONTH[plan.per]
        for plan, price in plans_at(facts(), provider, code)
        if price is not None and plan.currency == "USD"
    ]
    if not prices:
        raise Invalid(
            f"site '{site}': the registry knows no price of a machine there", "Fill its price a month"
        )
    return f"{min(prices):.10g}"


def _blocks(text: str) -> list[str]:
    """The text cut before every line that begins a table."""
    made = [""]
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            made.append("")
        made[-1] += line
    return [block for block in made if block]


def _entry(block: str, table: str) -> Mapping[str, Any] | None:
    if not block.lstrip().startswith(f"[[{table}]]"):
        return None
    try:
        return tomllib.loads(block)[table][0]
    except (tomllib.TOMLDecodeError, KeyError, IndexError):
        return None


def _is(block: str, table: str, name: str) -> bool:
    entry = _entry(block, table)
    return entry is not None and entry.get("name") == name


def _is_latency(block: str, table: str, name: str) -> bool:
    entry = _entry(block, "latency")
    return entry is not None and entry.get(table) == name


def _set(block: str, key: str, value: str) -> str:
    """The block with a key set as its field says; an empty field takes it away."""
    lines = block.rstrip("\n").split("\n")
    trail = block[len(block.rstrip("\n")) :] or "\n"
    at = next((at for at, line in enumerate(lines) if line.partition("=")[0].strip() == key), None)
    if not value:
        return "\n".join([*lines[:at], *lines[at + 1 :]]) + trail if at is not None else block
    line = f"{key} = {'true' if value == 'on' else _number(value, key)}"
    if at is None:
        return "\n".join([*lines, line]) + trail
    comment = lines[at].partition("#")[2]
    return "\n".join([*lines[:at], line + (f"  #{comment}" if comment else ""), *lines[at + 1 :]]) + trail


def _number(words: str, key: str) -> str:
    try:
        return f"{float(words):.10g}"
    except ValueError:
        raise Invalid(f"{key} '{words[:40]}' is no number", "Write digits") from None


@cache
def choices() -> dict[str, list[tuple[str, str]]]:
    """(name, words) of all venues and sites of the registry, for a field that searches them."""
    known = facts()
    return {
        "venue": sorted(
            (venue.name, venue.title + ("" if engine_of(venue, find) else ", place unknown: measure it"))
            for venue in known.venues.values()
        ),
        "site": sorted(
            (site.name, site.place.name if site.place else known.providers[site.provider].title)
            for site in sites_of(known, find)
        ),
    }
