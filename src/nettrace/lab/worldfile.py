"""Reading world files: TOML to facts, with every impossible one refused in words that name its entry."""

import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec

from nettrace.errors import LabError
from nettrace.lab.world import Cable, Crowd, Event, Network, Target, World
from nettrace.runtime.named_file import unreadable

BUILT_IN = Path(__file__).with_name("worlds")


def load(name_or_path: str) -> World:
    """The world of a file, or a built-in one by name (`world`, `small`).

    Raises:
        LabError: no such file, not TOML, or a fact that cannot be; the message names the entry.
    """
    return parse(read(name_or_path), name_or_path)


def read(name_or_path: str) -> str:
    """The text of a world's file, or of a built-in one by name.

    Raises:
        LabError: no such file.
    """
    path = BUILT_IN / f"{name_or_path}.toml"
    if "/" in name_or_path or name_or_path.endswith(".toml") or not path.exists():
        path = Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        known = ", ".join(sorted(entry.stem for entry in BUILT_IN.glob("*.toml")))
        raise LabError(
            f"cannot read the world '{name_or_path}': {error.strerror}", f"Built-in worlds: {known}"
        ) from error
    except UnicodeDecodeError as error:
        raise unreadable(name_or_path, error, error=LabError) from error


def parse(text: str, name: str = "world") -> World:
    """The world a TOML text describes.

    Raises:
        LabError: with the entry and what is wrong with it.
    """
    try:
        world = msgspec.convert(tomllib.loads(text), World)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"world '{name}' is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise LabError(f"world '{name}': {error}", f"{BUILT_IN / 'small.toml'} shows every field") from error
    complaints = _complaints(world)
    if complaints:
        raise LabError(f"world '{name}': {complaints[0]}", _more(complaints))
    return world


def _more(complaints: list[str]) -> str:
    return "" if len(complaints) == 1 else f"Also: {'; '.join(complaints[1:4])}"


def _complaints(world: World) -> list[str]:
    sites = {site.code for site in world.site}
    networks = {network.asn: network for network in world.network}
    found = [
        *_doubles("site", [site.code for site in world.site]),
        *_doubles("network", [str(network.asn) for network in world.network]),
        *_doubles("cable", [cable.code for cable in world.cable]),
        *_doubles("vantage", [vantage.code for vantage in world.vantage]),
        *_doubles("target", [target.name for target in world.target]),
    ]
    for site in world.site:
        if not (-90 <= site.latitude <= 90 and -180 <= site.longitude <= 180):
            found.append(f"site '{site.code}': latitude or longitude out of range")
    for network in world.network:
        found += _unknown_sites(f"network {network.asn}", network.sites, sites)
        if not 1 <= network.levels <= 4 or not 1 <= network.width <= 16:
            found.append(f"network {network.asn}: levels must be 1..4 and width 1..16")
    for cable in world.cable:
        found += _unknown_sites(f"cable '{cable.code}'", (cable.a, cable.b), sites)
        found += _cable_complaints(cable, networks)
    for exchange in world.exchange:
        for asn in exchange.members:
            found += _presence(f"exchange '{exchange.code}'", asn, exchange.site, networks)
    for peering in world.peering:
        found += [f"peering: no network {asn}" for asn in peering.networks if asn not in networks]
    for vantage in world.vantage:
        found += _presence(f"vantage '{vantage.code}'", vantage.network, vantage.site, networks)
    for target in world.target:
        found += _target_complaints(target, networks)
    for crowd in world.crowd:
        found += _crowd_complaints(crowd, networks)
    if world.resolver and world.resolver not in {target.name for target in world.target}:
        found.append(f"resolver: no target '{world.resolver}'")
    for event in world.event:
        found += event_complaints(world, event)
    return found


def _doubles(kind: str, names: list[str]) -> list[str]:
    seen: set[str] = set()
    return [f"two {kind}s are called '{name}'" for name in names if name in seen or seen.add(name)]


def _unknown_sites(who: str, codes: tuple[str, ...], sites: set[str]) -> list[str]:
    return [f"{who}: no site '{code}'" for code in codes if code not in sites and code != "*"]


def _presence(who: str, asn: int, site: str, networks: dict[int, Network]) -> list[str]:
    if asn not in networks:
        return [f"{who}: no network {asn}"]
    if site not in networks[asn].sites:
        return [f"{who}: network {asn} is not at '{site}'"]
    return []


def _cable_complaints(cable: Cable, networks: dict[int, Network]) -> list[str]:
    who = f"cable '{cable.code}'"
    found = [
        line
        for asn in cable.networks
        for end in (cable.a, cable.b)
        for line in _presence(who, asn, end, networks)
    ]
    if cable.detour < 1.0:
        found.append(f"{who}: detour {cable.detour} is shorter than the great circle")
    if not 0 <= cable.loss < 1 or cable.jitter_ms < 0:
        found.append(f"{who}: loss must be in [0, 1) and jitter_ms not negative")
    if cable.mtu < 576:
        found.append(f"{who}: mtu {cable.mtu} is below 576")
    return found


def _target_complaints(target: Target, networks: dict[int, Network]) -> list[str]:
    who = f"target '{target.name}'"
    found: list[str] = []
    if (target.site is None) == (not target.edges):
        found.append(f"{who}: needs either site or edges")
    for site in (target.site, *target.edges):
        if site not in (None, "*"):
            found += _presence(who, target.network, site, networks)
    if target.network not in networks:
        found.append(f"{who}: no network {target.network}")
    if target.origin:
        found += _presence(f"{who} origin", target.origin.network, target.origin.site, networks)
    for text, version in ((target.address, 4), (target.address6, 6)):
        try:
            if text is not None and ip_address(text).version != version:
                found.append(f"{who}: {text} is not an IPv{version} address")
        except ValueError:
            found.append(f"{who}: '{text}' is not an address")
    return found


def _crowd_complaints(crowd: Crowd, networks: dict[int, Network]) -> list[str]:
    found: list[str] = []
    try:
        ip_network(crowd.prefix)
    except ValueError:
        found.append(f"crowd '{crowd.prefix}': not a prefix")
    if crowd.network not in networks:
        found.append(f"crowd '{crowd.prefix}': no network {crowd.network}")
    else:
        known = set(networks[crowd.network].sites)
        found += _unknown_sites(f"crowd '{crowd.prefix}'", crowd.sites, known)
    return found


def event_complaints(world: World, event: Event) -> list[str]:
    """What is wrong with an event in this world; empty when it can happen."""
    if event.kind in {"cut", "restore", "congest", "clear"}:
        known = {cable.code for cable in world.cable}
        what = "cable"
    elif event.kind == "reroute":
        known = {str(network.asn) for network in world.network}
        what = "network"
    else:
        known = {site.code for site in world.site}
        what = "site"
    if event.subject not in known:
        return [f"event {event.kind}: no {what} '{event.subject}'"]
    if not 0 <= event.loss <= 1 or min(event.delay_ms, event.jitter_ms, event.preference_ms) < 0:
        return [f"event {event.kind} {event.subject}: loss must be in [0, 1] and nothing negative"]
    return []
