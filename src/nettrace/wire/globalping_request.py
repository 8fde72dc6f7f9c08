"""What is asked of Globalping (API v1): the body of `POST /v1/measurements`, and what it does not take.

Source: as of `wire.globalping`.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from nettrace.errors import Invalid
from nettrace.model.measurement import Method
from nettrace.model.remote import Errand

MOST_PROBES = 500
MOST_AT_A_PLACE = 200
MOST_PACKETS = 16
CLOUD = re.compile(r"(aws|gcp)[:-]([a-z0-9-]+)")
"""A cloud's region, as NetTrace writes it or as a probe's tag."""

_TYPES = {"ping": "ping", "trace": "traceroute", "http": "http"}


def request_body(errand: Errand) -> dict[str, Any]:
    """The body of `POST /v1/measurements`.

    >>> request_body(Errand(kind="ping", target="api.example", places=("Tokyo",)))["locations"]
    [{'magic': 'Tokyo', 'limit': 1}]

    Raises:
        Invalid: more than the service takes, or a method it does not have.
    """
    if errand.most_results > MOST_PROBES or errand.probes > MOST_AT_A_PLACE:
        raise Invalid(
            f"Globalping takes at most {MOST_PROBES} probes a measurement and {MOST_AT_A_PLACE} a place",
            "Ask for fewer",
        )
    return {
        "type": _TYPES[errand.kind],
        "target": errand.target,
        "locations": [{"magic": _magic(place), "limit": errand.probes} for place in errand.places],
        "measurementOptions": _options(errand),
    }


def _magic(place: str) -> str:
    """A place as Globalping's fuzzy search knows it: a cloud region is one of its tags."""
    cloud = CLOUD.fullmatch(place.lower())
    return f"{cloud[1]}-{cloud[2]}" if cloud else place


def _options(errand: Errand) -> dict[str, Any]:
    made: dict[str, Any] = {} if errand.family is None else {"ipVersion": errand.family}
    match errand.kind:
        case "ping":
            if errand.method is Method.UDP or not 1 <= errand.packets <= MOST_PACKETS:
                raise Invalid(
                    f"Globalping pings with icmp or tcp, 1 to {MOST_PACKETS} packets", "See --method and -n"
                )
            made["packets"] = errand.packets
            if errand.method is Method.TCP:
                made |= {"protocol": "TCP", "port": errand.port or 443}
        case "trace":
            made["protocol"] = errand.method.upper()
            if errand.method is Method.TCP:
                made["port"] = errand.port or 443
        case "http":
            made |= _request(errand.url or "")
    return made


def _request(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise Invalid(f"{url!r} is no public http or https URL", "Write https://HOST/PATH without a password")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise Invalid(f"{url!r} has no such port") from None
    request = {"method": "GET", "path": parts.path or "/"}
    if parts.query:
        request["query"] = parts.query
    return {"protocol": parts.scheme.upper(), "port": port, "request": request}
