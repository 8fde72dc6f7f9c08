"""The gazetteer that ships with NetTrace: cities, airport codes, cloud regions, countries.

Facts from GeoNames (CC BY 4.0), airportsdata (MIT) and lists compiled by hand; see data/LICENCES.md. Nothing is
read before the first question; a question is a search for a line, not a parse of the file.
"""

import re
import unicodedata
from functools import cache
from importlib.resources import files

from nettrace.analysis.geo.sphere import checked
from nettrace.errors import SourceError
from nettrace.model.path import Place

CITY_RADIUS_KM = 20.0
"""A city's name means its middle, give or take."""

_COORDINATES = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*[,; ]\s*([+-]?\d+(?:\.\d+)?)\s*")
_REGION = re.compile(r"[a-z]+:[a-z0-9-]+")


def find(text: str) -> Place | None:
    """The place a person means by `text`, or None.

    Forms, tried in this order: `LAT,LON`; a cloud region `aws:ap-northeast-1`; an IATA code of an airport or
    of a city, in either case; a city, alone or with country or US state: `Tokyo`, `Tokyo,JP`, `Portland, OR`,
    `Paris, United States`. Of several cities of one name the most populous counts; `homonyms` gives all.

    An IATA code means the city whose network sites carry it, not the runway: EWR is Secaucus, NRT is Tokyo.

    Raises:
        Invalid: coordinates that are not on the globe.

    >>> find("sao paulo").country
    'BR'
    >>> find("aws:ap-northeast-1").name
    'Tokyo'
    >>> find("Nowhere at all")
    """
    found = homonyms(text)
    return found[0] if found else None


def homonyms(text: str) -> tuple[Place, ...]:
    """Every place the text may mean, likeliest first.

    >>> [(place.name, place.country) for place in homonyms("London")][:2]
    [('London', 'GB'), ('London', 'CA')]
    """
    if coordinates := _COORDINATES.fullmatch(text):
        latitude, longitude = checked(float(coordinates[1]), float(coordinates[2]))
        name = f"{latitude:g},{longitude:g}"
        return (
            Place(name=name, latitude=latitude, longitude=longitude, radius_km=0, evidence=f"given: {name}"),
        )
    key = fold(text)
    if _REGION.fullmatch(key):
        return _rows("regions.tsv", key, f"given: cloud region {key}")
    if len(key) == 3 and key.isalpha() and (airport := _airport(key)):
        return (airport,)
    return _cities(key)


def city(name: str, country: str) -> Place | None:
    """The most populous city of that name in a country (ISO code), or None."""
    found = _cities(f"{fold(name)},{country.lower()}")
    return found[0] if found else None


def country_circle(code: str) -> Place | None:
    """A country as a circle that holds all its cities, or None for an unknown ISO code."""
    code = code.upper()
    for line in _lines_of("countries.tsv", code):
        names, latitude, longitude, radius = line[1:5]
        if radius:
            return Place(
                name=names.partition("|")[0],
                latitude=float(latitude),
                longitude=float(longitude),
                country=code,
                radius_km=float(radius),
                evidence="given: country",
            )
    return None


def regions(provider: str) -> dict[str, Place]:
    """All known regions of a cloud provider (`aws`, `gcp`, `azure`, `oci`, ...) by their code."""
    made: dict[str, Place] = {}
    for line in _text("regions.tsv").strip().splitlines():
        key, *rest = line.split("\t")
        if key.startswith(f"{provider}:"):
            made[key.partition(":")[2]] = _place(rest, f"given: cloud region {key}")
    return made


def fold(text: str) -> str:
    """Text as the gazetteer's keys are written: ASCII, lower case, single blanks.

    >>> fold("  São  Paulo ")
    'sao paulo'
    """
    plain = text.translate(_LETTERS)
    ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
    return " ".join(ascii_only.replace("\t", " ").split())


_LETTERS = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae", "Æ": "Ae", "đ": "d", "\u0131": "i"}
)


def _cities(key: str) -> tuple[Place, ...]:
    name, _, where = (part.strip() for part in key.partition(","))
    found = _named(name, where)
    if not found and not where:
        name, _, where = name.rpartition(" ")
        found = _named(name, where) if name and len(where) == 2 else ()
    return found


def _named(name: str, where: str) -> tuple[Place, ...]:
    """Cities of that folded name; `where` narrows by US state, country code or country name."""
    code = _country_code(where) if where else None
    return tuple(
        _place(
            [country, state, latitude, longitude, (*display, shown)[0], str(CITY_RADIUS_KM)], f"given: {name}"
        )
        for shown, country, state, latitude, longitude, *display in _lines_of("places.tsv", name)
        if not where or where.upper() == state or code == country
    )


def _country_code(where: str) -> str | None:
    if len(where) == 2 and where != "uk":
        return where.upper()
    for line in _text("countries.tsv").strip().splitlines():
        code, names, *_ = line.split("\t")
        if where in (fold(name) for name in names.split("|")):
            return code
    return None


def _airport(key: str) -> Place | None:
    found = _rows("airports.tsv", key, f"given: IATA {key.upper()}")
    return found[0] if found else None


def _rows(file: str, key: str, evidence: str) -> tuple[Place, ...]:
    return tuple(_place(line[1:], evidence) for line in _lines_of(file, key))


def _place(row: list[str], evidence: str) -> Place:
    country, _, latitude, longitude, name, radius = row[:6]
    return Place(
        name=name,
        latitude=float(latitude),
        longitude=float(longitude),
        country=country or None,
        radius_km=float(radius),
        evidence=evidence,
    )


def _lines_of(file: str, key: str) -> list[list[str]]:
    """The lines whose first field is `key`, whatever its case, split into fields."""
    text, folded = _text(file), _folded(file)
    made: list[list[str]] = []
    at = folded.find(f"\n{key.lower()}\t")
    while at >= 0:
        end = text.find("\n", at + 1)
        made.append(text[at + 1 : end].split("\t"))
        at = folded.find(f"\n{key.lower()}\t", end)
    return made


@cache
def _text(file: str) -> str:
    """A data file without its comment line, between line feeds so that every line can be searched for."""
    try:
        text = files("nettrace.outside").joinpath("data", file).read_text(encoding="utf-8")
    except OSError as problem:
        raise SourceError(
            f"the gazetteer file {file} cannot be read ({problem})", "Reinstall nettrace"
        ) from problem
    return "\n" + text.partition("\n")[2]


@cache
def _folded(file: str) -> str:
    lower = _text(file).lower()
    if len(lower) != len(_text(file)):
        raise SourceError(f"the gazetteer file {file} does not fold line by line", "Reinstall nettrace")
    return lower
