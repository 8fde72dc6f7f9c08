#!/usr/bin/env python3
"""Makes src/nettrace/outside/data/*.tsv from GeoNames, airportsdata and the hand-compiled lists beside this file.

    scripts/make_gazetteer.py --geonames cities1000.csv.gz --airports airports.csv.gz

GeoNames: CSV `lat,lon,name,admin1,admin2,cc` of places above 1,000 inhabitants (CC BY 4.0). airportsdata: CSV with
`iata,name,city,country,lat,lon` (MIT). The result is committed; this runs only when a source or a list changes.
"""

import argparse
import csv
import gzip
import unicodedata
from collections import defaultdict
from math import acos, asin, atan2, cos, degrees, hypot, radians, sin, sqrt
from pathlib import Path
from typing import NamedTuple

LISTS = Path(__file__).with_name("gazetteer")
DATA = Path(__file__).parents[1] / "src/nettrace/outside/data"
CITY_BUDGET = 20_500
METRO_RADIUS_KM = 30.0

STATES = dict(
    pair.split("=")
    for pair in (
        "Alabama=AL Alaska=AK Arizona=AZ Arkansas=AR California=CA Colorado=CO Connecticut=CT Delaware=DE "
        "Florida=FL Georgia=GA Hawaii=HI Idaho=ID Illinois=IL Indiana=IN Iowa=IA Kansas=KS Kentucky=KY "
        "Louisiana=LA Maine=ME Maryland=MD Massachusetts=MA Michigan=MI Minnesota=MN Mississippi=MS "
        "Missouri=MO Montana=MT Nebraska=NE Nevada=NV New_Hampshire=NH New_Jersey=NJ New_Mexico=NM "
        "New_York=NY North_Carolina=NC North_Dakota=ND Ohio=OH Oklahoma=OK Oregon=OR Pennsylvania=PA "
        "Rhode_Island=RI South_Carolina=SC South_Dakota=SD Tennessee=TN Texas=TX Utah=UT Vermont=VT "
        "Virginia=VA Washington=WA West_Virginia=WV Wisconsin=WI Wyoming=WY"
    ).split()
)


class City(NamedTuple):
    """A place with its rank among places of the same name."""

    name: str
    country: str
    state: str
    lat: float
    lon: float
    display: str
    rank: float


class Metro(NamedTuple):
    """A city of metros.txt."""

    city: City
    codes: list[str]
    router_codes: list[str]
    names: list[str]


def fold(text: str) -> str:
    """As the reader folds: ASCII, lower case."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().strip()


def near_km(a_lat: float, a_lon: float, b_lat: float, b_lon: float) -> float:
    """Distance on a flat map, good enough to tell neighbours."""
    east = abs(a_lon - b_lon)
    east = min(east, 360 - east) * max(0.02, cos(radians((a_lat + b_lat) / 2)))
    return hypot(a_lat - b_lat, east) * 111.2


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, plain or gzipped."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    return list(csv.DictReader(text.splitlines()))


def lines(name: str) -> list[str]:
    """The lines of a hand-compiled list."""
    text = (LISTS / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def read_cities(path: Path) -> list[City]:
    """GeoNames places ranked by how many others lie near and whether a district carries their name."""
    raw = rows(path)
    cell: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for row in raw:
        lat, lon = float(row["lat"]), float(row["lon"])
        cell[int(lat * 4), int(lon * 4)].append((lat, lon))
    made: list[City] = []
    for row in raw:
        lat, lon = float(row["lat"]), float(row["lon"])
        around = sum(
            near_km(lat, lon, *other) < 20
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            for other in cell.get((int(lat * 4) + i, int(lon * 4) + j), ())
        )
        name = row["name"]
        named = name and (name in row["admin1"] or name in row["admin2"])
        state = STATES.get(row["admin1"].replace(" ", "_"), "") if row["cc"] == "US" else ""
        state = "DC" if row["admin1"].startswith("Washington, D") else state
        made.append(City(name, row["cc"], state, lat, lon, "", around + (10_000 if named else 0)))
    return made


def read_metros(cities: list[City]) -> list[Metro]:
    """metros.txt with coordinates from GeoNames."""
    index: dict[tuple[str, str, str], list[City]] = defaultdict(list)
    for city in cities:
        index[city.name, city.country, city.state].append(city)
    made: list[Metro] = []
    missing: list[str] = []
    for line in lines("metros.txt"):
        name, country, state, inhabitants, codes, router_codes, names = line.split("|")
        name, _, where = name.partition(" @")
        name, _, display = name.partition("=")
        if where:
            lat, lon = map(float, where.split(","))
        else:
            found = index[name, country, state]
            if not found:
                missing.append(f"{name},{country},{state}")
                continue
            best = max(found, key=lambda city: city.rank)
            lat, lon = best.lat, best.lon
        display = display or name
        city = City(fold(display), country, state, lat, lon, display, 1e9 + float(inhabitants))
        also = [part for part in (*names.split(","), fold(name)) if part and part != fold(display)]
        made.append(
            Metro(city, codes.split(",") if codes else [], [c for c in router_codes.split(",") if c], also)
        )
    if missing:
        raise SystemExit(f"metros.txt: GeoNames does not have {'; '.join(missing)}: give @lat,lon")
    return made


def read_more(cities: list[City], metros: list[Metro]) -> list[City]:
    """more.txt with coordinates: the best GeoNames place of the name; known metros are left out."""
    index: dict[tuple[str, str, str], list[City]] = defaultdict(list)
    for city in cities:
        index[city.name, city.country, city.state].append(city)
    taken = {
        (name, metro.city.country, metro.city.state)
        for metro in metros
        for name in (metro.city.name, *metro.names)
    }
    made: list[City] = []
    missing: list[str] = []
    for line in lines("more.txt"):
        where, _, names = line.partition(": ")
        country, _, state = where.partition("-")
        for entry in names.split(", "):
            name, _, at = entry.strip().partition(" @")
            name, _, display = name.partition("=")
            found = index[name, country, state] or index[f"{name}-shi", country, state]
            if at:
                lat, lon = map(float, at.split())
                found = [City(name, country, state, lat, lon, "", 0)]
            if not found and (fold(name), country, state) not in taken:
                missing.append(f"{name},{where}")
            if found and (fold(display or name), country, state) not in taken:
                best = max(found, key=lambda city: city.rank)
                made.append(
                    best._replace(name=fold(display or name), display=display or name, rank=1e8 + best.rank)
                )
    print("more.txt: not in GeoNames:", "; ".join(missing) or "none")
    return made


def read_airports(path: Path, cities: list[City], metros: list[Metro]) -> dict[str, tuple[City, float]]:
    """IATA code -> the city it serves and a radius; an airport without a known city stands for itself."""
    of_code = {code: metro.city for metro in metros for code in metro.codes}
    named: dict[tuple[str, str], list[City]] = defaultdict(list)
    for metro in metros:
        for name in (fold(metro.city.display), *metro.names):
            named[name, metro.city.country].append(metro.city)
    for city in cities:
        named[city.name.lower(), city.country].append(city)
    made: dict[str, tuple[City, float]] = {code: (city, METRO_RADIUS_KM) for code, city in of_code.items()}
    for row in rows(path):
        code, lat, lon = row["iata"], float(row["lat"]), float(row["lon"])
        if code in made or not row["city"] + row["name"]:
            continue
        text = fold(row["city"]) or fold(row["name"])
        found = [
            (near_km(lat, lon, city.lat, city.lon), -city.rank, city)
            for city in named.get((text, row["country"]), ())
        ]
        close = [entry for entry in found if entry[0] < 80]
        if close:
            distance, _, city = min(close, key=lambda entry: entry[1])
            made[code] = (city, max(METRO_RADIUS_KM, round(distance)))
        else:
            name = row["city"] or row["name"].removesuffix(" Airport")
            made[code] = (City(text, row["country"], "", lat, lon, name, 0), METRO_RADIUS_KM)
    return made


def write(name: str, comment: str, table: list[str]) -> None:
    """One data file."""
    (DATA / name).write_text(f"# {comment}\n" + "\n".join(table) + "\n", encoding="utf-8")


def place(city: City, digits: int) -> str:
    """The columns every table shares."""
    return f"{city.country}\t{city.state}\t{city.lat:.{digits}f}\t{city.lon:.{digits}f}"


def write_places(cities: list[City], metros: list[Metro], more: list[City], served: set[City]) -> None:
    """Sorted by name, the most important first among equals; metros carry five digits, the others two."""
    known: dict[tuple[str, str], list[City]] = defaultdict(list)
    for metro in metros:
        for name in (metro.city.name, *metro.names):
            known[name, metro.city.country].append(metro.city)
    for city in more:
        known[city.name, city.country].append(city)
    plain = [
        city._replace(rank=city.rank + (1e6 if city in served else 0))
        for city in cities
        if city.name
        and city.name.isascii()
        and not any(
            near_km(city.lat, city.lon, metro.lat, metro.lon) < 30
            for metro in known[city.name.lower(), city.country]
        )
    ]
    kept = sorted(plain, key=lambda city: -city.rank)[:CITY_BUDGET]
    entries = [(city.name, -city.rank, city, 2) for city in (*kept, *more)]
    for metro in metros:
        for name in (metro.city.name, *metro.names):
            entries.append((name, -metro.city.rank, metro.city, 5))
    entries.sort(key=lambda entry: (entry[0].lower(), entry[1], entry[2].country))
    table = []
    for name, _, city, digits in entries:
        display = "" if not city.display or name == city.display else f"\t{city.display}"
        table.append(f"{name}\t{place(city, digits)}{display}")
    write(
        "places.tsv", "name, country, US state, latitude, longitude[, shown as]. GeoNames, CC BY 4.0", table
    )


def write_airports(airports: dict[str, tuple[City, float]]) -> None:
    """IATA codes by the city they serve."""
    table = []
    for code, (city, radius) in sorted(airports.items()):
        digits = 5 if city.rank >= 1e9 else 2
        table.append(f"{code}\t{place(city, digits)}\t{city.display or city.name}\t{radius:.0f}")
    write(
        "airports.tsv",
        "IATA code, country, US state, latitude, longitude, city, radius km. airportsdata (MIT), GeoNames",
        table,
    )


def city_of(text: str, metros: list[Metro], cities: list[City]) -> City:
    """The city `Name,CC[,State]` of a hand-compiled list."""
    name, country, *rest = text.replace("_", " ").split(",")
    state = rest[0] if rest else ""
    for metro in metros:
        names = (metro.city.name, *metro.names)
        if fold(name) in names and metro.city.country == country and state in ("", metro.city.state):
            return metro.city
    found = [
        c for c in cities if fold(c.name) == fold(name) and c.country == country and state in ("", c.state)
    ]
    if not found:
        raise SystemExit(f"no city {text}: add it to metros.txt")
    return max(found, key=lambda city: city.rank)._replace(display=name)


def write_regions(metros: list[Metro], cities: list[City]) -> None:
    """Cloud regions by the city their provider names."""
    table = []
    for line in lines("regions.txt"):
        provider, _, rest = line.partition(": ")
        for pair in rest.split():
            code, _, where = pair.partition("=")
            city = city_of(where, metros, cities)
            table.append(
                f"{provider}:{code}\t{place(city, 5)}\t{city.display or city.name}\t{METRO_RADIUS_KM:.0f}"
            )
    write(
        "regions.tsv",
        "provider:region, country, US state, latitude, longitude, city, radius km",
        sorted(table),
    )


def write_router_codes(metros: list[Metro], cities: list[City]) -> None:
    """Domain or *, kind (code, clli, name), token, place: what router names say."""
    made: dict[tuple[str, str, str], City] = {}
    for line in lines("router_codes.txt"):
        domain, _, rest = line.partition(": ")
        for pair in rest.split():
            code, _, where = pair.partition("=")
            made[domain, "code", code] = city_of(where, metros, cities)
    for metro in sorted(metros, key=lambda metro: -metro.city.rank):
        for code in metro.codes:
            made.setdefault(("*", "code", code.lower()), metro.city)
        for code in metro.router_codes:
            made.setdefault(("*", "clli" if len(code) == 6 else "code", code), metro.city)
        for name in (metro.city.name, *metro.names):
            token = "".join(letter for letter in name if letter.isalpha())
            if len(token) >= 4:
                made.setdefault(("*", "name", token), metro.city)
    table = [
        f"{domain}\t{kind}\t{token}\t{place(city, 5)}\t{city.display or city.name}"
        for (domain, kind, token), city in sorted(made.items())
    ]
    write("router_codes.tsv", "domain, kind, token, country, US state, latitude, longitude, city", table)


def write_countries(cities: list[City], metros: list[Metro]) -> None:
    """Code, names, and a circle that holds every place GeoNames knows there."""
    spots: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for city in (*cities, *(metro.city for metro in metros)):
        spots[city.country].append((city.lat, city.lon))
    table = []
    for pair in " ".join(lines("countries.txt")).split():
        code, _, names = pair.partition("=")
        circle = "\t\t"
        if spots[code]:
            vectors = [
                (cos(radians(a)) * cos(radians(o)), cos(radians(a)) * sin(radians(o)), sin(radians(a)))
                for a, o in spots[code]
            ]
            circle = enclosing(vectors)
        table.append(f"{code}\t{names.replace('_', ' ')}\t{circle}")
    write(
        "countries.tsv",
        "code, names, and a circle holding the country's places: latitude, longitude, radius km",
        table,
    )


def enclosing(vectors: list[tuple[float, float, float]]) -> str:
    """A small circle holding all points: start at the middle, step towards the farthest (Badoiu and Clarkson)."""
    x, y, z = (sum(v[i] for v in vectors) / len(vectors) for i in range(3))
    for step in range(1, 400):
        far = min(vectors, key=lambda v: v[0] * x + v[1] * y + v[2] * z)
        x, y, z = (a + (b - a) / (step + 1) for a, b in zip((x, y, z), far, strict=True))
        size = sqrt(x * x + y * y + z * z)
        x, y, z = x / size, y / size, z / size
    worst = min(v[0] * x + v[1] * y + v[2] * z for v in vectors)
    radius = acos(max(-1.0, min(1.0, worst))) * 6371 + 30
    return f"{degrees(asin(z)):.2f}\t{degrees(atan2(y, x)):.2f}\t{radius:.0f}"


def main() -> None:
    """Read the sources, write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--geonames", type=Path, required=True)
    parser.add_argument("--airports", type=Path, required=True)
    options = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    cities = read_cities(options.geonames)
    metros = read_metros(cities)
    more = read_more(cities, metros)
    airports = read_airports(options.airports, [*cities, *more], metros)
    write_places(cities, metros, more, {city for city, _ in airports.values()})
    write_airports(airports)
    write_regions(metros, cities)
    write_router_codes(metros, cities)
    write_countries(cities, metros)


if __name__ == "__main__":
    main()
