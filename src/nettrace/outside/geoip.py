"""Where an address probably stands, from geolocation databases other people publish.

Read: MMDB city files (MaxMind GeoLite2, DB-IP Lite; need the extra `geo`); CSV of DB-IP's shape `first,last,
continent,country,region,city,latitude,longitude`, of IP2Location DB5's `first,last,country,name,region,city,
latitude,longitude`, with a header naming the columns `prefix,country,city,latitude,longitude[,radius_km]`, and
RFC 8805 geofeeds `prefix,country,region,city`, whose cities the gazetteer places. Plain or gzipped.

Such databases are made for homes, not routers (Gharaibeh et al., "A look at router geolocation in public and
commercial databases", IMC 2017), so no answer counts as more precise than `LEAST_RADIUS_KM`.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from nettrace.errors import Invalid, SourceError
from nettrace.model.path import Place
from nettrace.outside.asn import Skipped, read_lines
from nettrace.outside.mmdb import is_mmdb, number_of, open_mmdb, text_of
from nettrace.outside.places import city as find_city
from nettrace.outside.places import country_circle
from nettrace.outside.ranges import MAGIC, Range, RangeTable, compiled, prefix_range, span_range

LEAST_RADIUS_KM = 50.0
"""No database's answer counts as more precise than this."""

UNKNOWN_RADIUS_KM = 100.0
"""Radius of a city-level answer whose database names none."""

_DB_IP = ("first", "last", "continent", "country", "region", "city", "latitude", "longitude")
_IP2LOCATION = ("first", "last", "country", "country_name", "region", "city", "latitude", "longitude")
_GEOFEED = ("prefix", "country", "region", "city", "postal")
_NAMES = {
    "network": "prefix", "ip_range_start": "first", "ip_range_end": "last", "start": "first", "end": "last",
    "ip_from": "first", "ip_to": "last", "lat": "latitude", "lon": "longitude", "lng": "longitude",
    "country_code": "country", "accuracy_radius": "radius_km", "radius": "radius_km",
}  # fmt: skip


def place_lookup(path: Path) -> Callable[[str], Place | None]:
    """A function from address to place, over a database of any form named above.

    Raises:
        SourceError: the file cannot be read, or not one line of it is understood.
        MissingExtra: an MMDB file without the package to read it.
    """
    if is_mmdb(path):
        return _mmdb_lookup(path)
    with path.open("rb") as file:
        is_compiled = file.read(len(MAGIC)) == MAGIC
    table = RangeTable.open(path) if is_compiled else RangeTable(compile_places(path)[0], str(path))

    def place(address: str) -> Place | None:
        value = table.value(address)
        return None if value is None else place_of(value, "database")

    return place


def compile_places(path: Path) -> tuple[bytes, list[Skipped]]:
    """A CSV database as a compiled table, with the lines that were skipped.

    Raises:
        SourceError: the file cannot be read, or not one line of it is understood.
    """
    skipped: list[Skipped] = []
    image = compiled(place_ranges(read_lines(path), skipped))
    if RangeTable(image).entries == 0:
        first = f"; line {skipped[0].line}: {skipped[0].why}" if skipped else ""
        raise SourceError(
            f"{path} places no address{first}", "Expected a header prefix,country,city,latitude,longitude"
        )
    return image, skipped


def place_ranges(lines: Iterable[str], skipped: list[Skipped] | None = None) -> Iterator[Range]:
    r"""The ranges of a CSV database, line by line; lines not understood are added to `skipped`.

    >>> [r.value for r in place_ranges(["192.0.2.0/24,JP,,Tokyo,"])]
    ['Tokyo\tJP\t35.6895\t139.6917\t100\tTokyo, JP']
    """
    rows = iter(csv.reader(line for line in lines if not line.startswith("#")))
    head = next(rows, None)
    if head is None:
        return
    columns = _header(head)
    if columns is None:
        columns, rows = _headless(head), chain([head], rows)
    for number, row in enumerate(rows, 1):
        try:
            found = _range(dict(zip(columns, (field.strip() for field in row), strict=False)))
        except (Invalid, ValueError) as problem:
            if skipped is not None and row:
                skipped.append(Skipped(number, str(problem)))
            continue
        if found is not None:
            yield found


def place_value(
    name: str, country: str, latitude: float, longitude: float, radius_km: float, source: str
) -> str:
    """A place as the text a table keeps."""
    return f"{name}\t{country}\t{latitude:.4f}\t{longitude:.4f}\t{radius_km:g}\t{source}"


def place_of(value: str, kind: str) -> Place:
    """The place a table's text says, with `kind` of evidence."""
    name, country, latitude, longitude, radius, source = value.split("\t")
    return Place(
        name=name,
        latitude=float(latitude),
        longitude=float(longitude),
        country=country or None,
        radius_km=float(radius),
        evidence=f"{kind}: {source}",
    )


def _header(row: list[str]) -> tuple[str, ...] | None:
    names = tuple(_NAMES.get(field.strip().lower(), field.strip().lower()) for field in row)
    return names if {"prefix", "first"} & set(names) else None


def _headless(row: list[str]) -> tuple[str, ...]:
    if row and "/" in row[0]:
        return _GEOFEED
    is_country = len(row) > 3 and len(row[2]) == 2 and len(row[3]) > 2
    return _IP2LOCATION if is_country or (row and row[0].isdigit()) else _DB_IP


def _range(fields: Mapping[str, str]) -> Range | None:
    if "prefix" in fields:
        found = prefix_range(fields["prefix"], "")
    else:
        found = span_range(fields.get("first", ""), fields.get("last", ""), "")
    value = _value(fields)
    return None if value is None else found._replace(value=value)


def _value(fields: Mapping[str, str]) -> str | None:
    city, country = fields.get("city", ""), fields.get("country", "").upper()
    city, country = city.strip("- "), country if len(country) == 2 and country.isalpha() else ""
    source = ", ".join(part for part in (city, country) if part)
    latitude, longitude = fields.get("latitude", ""), fields.get("longitude", "")
    if city and latitude and longitude:
        radius = max(LEAST_RADIUS_KM, float(fields.get("radius_km") or UNKNOWN_RADIUS_KM))
        return place_value(city, country, float(latitude), float(longitude), radius, source)
    if city and country and (known := find_city(city, country)):
        return place_value(known.name, country, known.latitude, known.longitude, UNKNOWN_RADIUS_KM, source)
    if country and (circle := country_circle(country)):
        return place_value(circle.name, country, circle.latitude, circle.longitude, circle.radius_km, source)
    return None


def _mmdb_lookup(path: Path) -> Callable[[str], Place | None]:
    read = open_mmdb(path)

    def place(address: str) -> Place | None:
        record = read(address)
        city = text_of(record, "city", "names", "en") or text_of(record, "city") or ""
        country = text_of(record, "country", "iso_code") or text_of(record, "country_code") or ""
        latitude = number_of(record, "location", "latitude")
        longitude = number_of(record, "location", "longitude")
        radius = number_of(record, "location", "accuracy_radius")
        fields = {
            "city": city,
            "country": country,
            "latitude": "" if latitude is None else str(latitude),
            "longitude": "" if longitude is None else str(longitude),
            "radius_km": "" if radius is None else str(radius),
        }
        value = _value(fields)
        return None if value is None else place_of(value, "database")

    return place
