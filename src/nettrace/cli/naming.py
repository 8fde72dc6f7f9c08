"""What a hop is called: reverse names and databases around a trace, when they are wanted and there."""

import asyncio
import socket
from collections.abc import Iterable

import msgspec

from nettrace.analysis.geo.annotate import Lookups, annotate
from nettrace.analysis.geo.route import route_stretch
from nettrace.cli.output import Document
from nettrace.errors import Invalid
from nettrace.measure.streams.dns import lookup, system_servers
from nettrace.model.instant import ms
from nettrace.model.measurement import Outcome
from nettrace.model.path import Place, Trace
from nettrace.outside.databases import open_lookups
from nettrace.outside.places import find
from nettrace.wire.documents import document

NAME_TIMEOUT_S = 1.0
NAMES_AT_ONCE = 64


def place_named(text: str | None) -> Place | None:
    """The place of an option's text; `Invalid` when nobody knows it."""
    if text is None:
        return None
    found = find(text)
    if found is None:
        raise Invalid(
            f"the place '{text}' is not known", "Use a city, an IATA code, a cloud region or LAT,LON"
        )
    return found


class Annotator:
    """Turns traces into documents with name, AS, place and stretch of every hop.

    Args:
        names: also ask the system's resolver for the reverse names of the hops.
        origin: where this vantage stands, or None.
        destination: where the target stands, or None.
    """

    def __init__(self, *, names: bool, origin: Place | None, destination: Place | None) -> None:
        self._names: dict[str, str] | None = {} if names else None
        self._lookups: Lookups = open_lookups()
        self._origin = origin
        self._destination = destination

    def annotated(self, trace: Trace) -> Trace:
        """The trace with what is known about its hops."""
        lookups = self._lookups
        if self._names is not None:
            addresses = [hop.address for hop in trace.hops if hop.address]
            self._names.update(
                asyncio.run(
                    reverse_names(address for address in addresses if address not in (self._names or {}))
                )
            )
            lookups = msgspec.structs.replace(lookups, names={a: n for a, n in self._names.items() if n})
        return annotate(trace, lookups, self._origin, self._destination)

    def document(self, trace: Trace) -> Document:
        """`nettrace.trace/1` of the annotated trace, with floors and stretch where the places are known."""
        known = self.annotated(trace)
        made = document(known)
        route = route_stretch(known, self._origin, self._destination)
        made["floor_ms"] = ms(route.floor.vacuum_ns) if route.floor else None
        made["fibre_ms"] = ms(route.floor.fibre_ns) if route.floor else None
        made["stretch"] = round(route.stretch, 3) if route.stretch is not None else None
        for hop, figures in zip(made["hops"], route.hops, strict=True):
            hop["stretch"] = round(figures.stretch, 3) if figures.stretch is not None else None
        return made


async def reverse_names(addresses: Iterable[str]) -> dict[str, str]:
    """Reverse name of each address by the system's first resolver; an empty text where there is none."""
    slots = asyncio.Semaphore(NAMES_AT_ONCE)

    async def one(address: str) -> tuple[str, str]:
        async with slots:
            answer = await lookup(address, system_servers()[0], "PTR", timeout_s=NAME_TIMEOUT_S)
        names = [data for kind, data, _ in answer.answers if kind == "PTR"]
        return address, names[0].removesuffix(".") if answer.outcome is Outcome.MEASURED and names else ""

    try:
        return dict(await asyncio.gather(*(one(address) for address in dict.fromkeys(addresses))))
    except (OSError, socket.gaierror):
        return {}
