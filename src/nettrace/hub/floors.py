"""What light allows between a vantage and the place a target's engine stands, where both are known."""

from functools import lru_cache

from nettrace.analysis.geo.floor import Floor, floor_between
from nettrace.hub.facts import facts
from nettrace.model.path import Place
from nettrace.model.target import Target
from nettrace.model.vantage import Vantage
from nettrace.outside.places import find
from nettrace.placement.registry.places import engine_of_host

_TAG = "engine:"


def engine_place(target: Target) -> Place | None:
    """Where a target's engine stands: by its tag `engine:PLACE` (a city, a cloud region, LAT,LON), else by the registry.

    None is "not known".
    """
    named = next((tag.removeprefix(_TAG) for tag in target.tags if tag.startswith(_TAG)), None)
    return _registered(target.host) if named is None else _place(named)


def vantage_place(vantage: Vantage) -> Place | None:
    """Where a vantage says it stands, or None; a stranger's is called by its code, which says whose it is."""
    if vantage.latitude is None or vantage.longitude is None:
        return None
    lent = vantage.third_party
    return Place(
        name=vantage.code if lent else vantage.city or vantage.code, latitude=vantage.latitude,
        longitude=vantage.longitude, country=vantage.country, radius_km=20.0,
        evidence=f"given: {lent}, a third party" if lent else "given: vantage",
    )  # fmt: skip


def floor_to(vantage: Vantage | None, target: Target) -> Floor | None:
    """The least round trip between the two, or None when one of the places is not known."""
    origin, engine = vantage_place(vantage) if vantage else None, engine_place(target)
    return floor_between(origin, engine) if origin and engine else None


@lru_cache(maxsize=1024)
def _place(named: str) -> Place | None:
    return find(named)


@lru_cache(maxsize=1024)
def _registered(host: str) -> Place | None:
    return engine_of_host(facts(), host, find)
