"""Exchange points and the peering LANs their members' routers answer from.

Read: PeeringDB's JSON as its API gives it, which the user fetches under PeeringDB's terms (they forbid passing
the data on, so none ships with NetTrace): the objects `ix`, `ixlan` and `ixpfx`, in one file keyed by these names
or in three; or CSV with the header `prefix,name,city,country`.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from nettrace.errors import Invalid, SourceError
from nettrace.model.path import Place
from nettrace.outside.asn import Skipped, read_lines
from nettrace.outside.geoip import place_of, place_value
from nettrace.outside.places import city as find_city
from nettrace.outside.places import find
from nettrace.outside.ranges import MAGIC, Range, RangeTable, compiled, prefix_range

EXCHANGE_RADIUS_KM = 60.0
"""A peering LAN spans a metro; remote peers beyond it are what the check against light is for."""

_Rows = Sequence[Mapping[str, Any]]


def exchange_lookup(path: Path) -> Callable[[str], Place | None]:
    """A function from address to the place of the exchange whose peering LAN it belongs to.

    Raises:
        SourceError: the file cannot be read, or holds no peering LANs.
    """
    with path.open("rb") as file:
        is_compiled = file.read(len(MAGIC)) == MAGIC
    table = RangeTable.open(path) if is_compiled else RangeTable(compile_exchanges([path])[0], str(path))

    def place(address: str) -> Place | None:
        value = table.value(address)
        return None if value is None else place_of(value, "ixp")

    return place


def compile_exchanges(paths: Sequence[Path]) -> tuple[bytes, list[Skipped]]:
    """One or more files as a compiled table, with what was skipped: LANs whose city nobody knows.

    Raises:
        SourceError: a file cannot be read, or no peering LAN is in them.
    """
    skipped: list[Skipped] = []
    image = compiled(_ranges(paths, skipped))
    if RangeTable(image).entries == 0:
        names = ", ".join(map(str, paths))
        raise SourceError(f"{names} hold no peering LANs", "Expected PeeringDB's ix, ixlan and ixpfx as JSON")
    return image, skipped


def _ranges(paths: Sequence[Path], skipped: list[Skipped]) -> Iterator[Range]:
    objects: dict[str, _Rows] = {}
    for path in paths:
        text = "".join(read_lines(path))
        if text.lstrip().startswith("{"):
            objects.update(_objects(path, text))
        else:
            for number, row in enumerate(csv.DictReader(text.splitlines()), 2):
                yield from _placed(row.get("prefix") or "", row, number, skipped)
    exchanges = {row.get("id"): row for row in objects.get("ix", ())}
    lans = {row.get("id"): exchanges.get(row.get("ix_id")) for row in objects.get("ixlan", ())}
    for number, row in enumerate(objects.get("ixpfx", ()), 1):
        # PeeringDB gives a LAN the number of its exchange, so the ixlan object may be left out.
        exchange = lans.get(row.get("ixlan_id")) or exchanges.get(row.get("ixlan_id"))
        if exchange is not None:
            yield from _placed(str(row.get("prefix") or ""), exchange, number, skipped)


def _objects(path: Path, text: str) -> dict[str, _Rows]:
    """The lists of one file by object name; a file of one object is told by its rows' fields."""
    try:
        found: Any = json.loads(text)
    except ValueError as problem:
        raise SourceError(f"{path} is no JSON ({problem})", "Fetch it again") from problem
    made: dict[str, _Rows] = {}
    for name, part in cast("dict[str, Any]", found).items():
        if name in {"ix", "ixlan", "ixpfx"} and isinstance(part, dict):
            made[name] = _dicts(cast("dict[str, Any]", part).get("data"))
    rows = _dicts(cast("dict[str, Any]", found).get("data"))
    if rows:
        fields = rows[0].keys()
        made["ixpfx" if "prefix" in fields else "ixlan" if "ix_id" in fields else "ix"] = rows
    return made


def _dicts(rows: Any) -> _Rows:
    if not isinstance(rows, list):
        return ()
    return [cast("dict[str, Any]", row) for row in cast("list[Any]", rows) if isinstance(row, dict)]


def _placed(prefix: str, exchange: Mapping[str, Any], number: int, skipped: list[Skipped]) -> Iterator[Range]:
    name, country = str(exchange.get("name") or ""), str(exchange.get("country") or "").upper()
    place = _city(str(exchange.get("city") or ""), country)
    if place is None:
        skipped.append(Skipped(number, f"no known city {exchange.get('city')!r} of {name}"))
        return
    value = place_value(
        place.name,
        place.country or country,
        place.latitude,
        place.longitude,
        EXCHANGE_RADIUS_KM,
        " ".join(name.split()),
    )
    try:
        yield prefix_range(prefix, value)
    except Invalid as problem:
        skipped.append(Skipped(number, problem.detail))


def _city(text: str, country: str) -> Place | None:
    """The city, tried whole and by its parts: exchanges write `Slough, London` and `Frankfurt/Main`."""
    for part in (text, *text.replace("/", ",").replace("(", ",").replace(" and ", ",").split(",")):
        name = part.strip(" )")
        if name and (found := find_city(name, country) if country else find(name)):
            return found
    return None
