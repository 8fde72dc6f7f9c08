"""Links between the same two places, judged as one: a cable has many addresses at each end.

Behind load balancing, and on either protocol, a cable is as many links as pairs of its ends' addresses were seen, and
each of them explains a few of the pairs it slowed. Where hops know their places, all of these are one trunk.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from nettrace.analysis.routes.forest import Link
from nettrace.analysis.routes.tomography import UNKNOWN, Observation
from nettrace.model.path import Hop, Trace

_LABELS = 4
"""Of an interface's name, at least: its own, the router's, and two of a domain."""


class Trunks:
    """Turns links between addresses into links between places, and back.

    Args:
        traces: their hops say which address stands where; one whose place nobody knows stands with the router its name is
            of, and without a name by itself.
        apart: two operators between the same two places have a trunk each, for they may have a cable each.
    """

    def __init__(self, traces: Iterable[Trace], *, apart: bool = False) -> None:
        self._places = {
            hop.address: f"{place} {_operator(hop)}" if apart else place
            for trace in traces
            for hop in trace.hops
            if hop.address is not None and (place := hop.place.name if hop.place else _router(hop.name))
        }
        self._links: dict[Link, Counter[Link]] = {}

    @property
    def known(self) -> bool:
        """Whether any hop's place is known."""
        return bool(self._places)

    def merged(self, seen: Sequence[Observation]) -> list[Observation]:
        """The observations over trunks. One within a place says nothing of a trunk's two ends."""
        return [self._over_trunks(each) for each in seen] if self._places else []

    def told(self, trunk: Link, *, both: bool = False) -> Link | None:
        """The link between addresses by which most observations crossed a trunk; None when its places are not two.

        With `both`, whichever way they crossed it.
        """
        known = set(self._places.values())
        if not {*trunk} <= known:
            return None
        links = Counter[Link](self._links.get(trunk, {}))
        if both:
            links.update(self._links.get((trunk[1], trunk[0]), {}))
        return min(links, key=lambda link: (-links[link], link), default=None)

    def _over_trunks(self, seen: Observation) -> Observation:
        trunks: dict[Link, None] = {}
        inside = True
        for link in seen.links:
            trunk = (self._at(link[0]), self._at(link[1]))
            inside = trunk[0] == trunk[1]
            if not inside:
                trunks[trunk] = None
                self._links.setdefault(trunk, Counter())[link] += 1
        return msgspec.structs.replace(seen, links=tuple(trunks), near=UNKNOWN if inside else seen.near)

    def _at(self, address: str) -> str:
        return self._places.get(address, address)


def _router(name: str | None) -> str:
    """The router an interface's name is of, as most operators name them: all but the first label.

    >>> _router("ae-3.cr1.fra.example.net"), _router("www.example.net"), _router(None)
    ('cr1.fra.example.net', '', '')
    """
    labels = (name or "").split(".")
    return ".".join(labels[1:]) if len(labels) >= _LABELS else ""


def _operator(hop: Hop) -> str:
    return str(hop.asn) if hop.asn is not None else ".".join((hop.name or "").split(".")[-2:])
