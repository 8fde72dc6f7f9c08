"""The table of router codes that ships with NetTrace, for `analysis.geo.hints`."""

from functools import cache
from importlib.resources import files

from nettrace.analysis.geo.hints import CODE_RADIUS_KM, RouterCodes
from nettrace.errors import SourceError
from nettrace.model.path import Place


@cache
def router_codes() -> RouterCodes:
    """The shipped codes: read once, at the first question (about 5 ms).

    >>> router_codes().clli["tokyjp"].name
    'Tokyo'
    """
    try:
        text = files("nettrace.outside").joinpath("data", "router_codes.tsv").read_text(encoding="utf-8")
    except OSError as problem:
        raise SourceError(f"router codes cannot be read ({problem})", "Reinstall nettrace") from problem
    own: dict[tuple[str, str], Place] = {}
    tables: dict[str, dict[str, Place]] = {"code": {}, "clli": {}, "name": {}}
    for line in text.splitlines()[1:]:
        domain, kind, token, country, _, latitude, longitude, city = line.split("\t")
        place = Place(
            name=city,
            latitude=float(latitude),
            longitude=float(longitude),
            country=country or None,
            radius_km=CODE_RADIUS_KM,
            evidence="rdns",
        )
        if domain == "*":
            tables[kind][token] = place
        else:
            own[domain, token] = place
    return RouterCodes(own=own, codes=tables["code"], clli=tables["clli"], names=tables["name"])
