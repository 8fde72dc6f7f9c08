"""Links between the same two places, judged as one: a cable has many addresses at each end.

Behind load balancing, and on either protocol, a cable is as many links as pairs of its ends' addresses were seen, and
each of them explains a few of the pairs it slowed. Where hops know their places, all of these are one trunk.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from nettrace.analysis.routes.forest import Link
from nettrace.analysis.routes.tomography import UNKNOWN, Observation
from nettrace.model.path import Trace


class Trunks:
    """Turns links between addresses into links between places, and back.

    Args:
        traces: their hops say which address stands where; an address whose place nobody knows stays by itself.
    """

    def __init__(self, traces: Iterable[Trace]) -> None:
        self._places = {
            hop.address: hop.place.name
            for trace in traces
            for hop in trace.hops
            if hop.address is not None and hop.place is not None
        }
        self._links: dict[Link, Counter[Link]] = {}

    def merged(self, seen: Sequence[Observation]) -> list[Observation]:
        """The observations over trunks. One within a place says nothing of a trunk's two ends."""
        return [self._over_trunks(each) for each in seen] if self._places else []

    def told(self, trunk: Link) -> Link | None:
        """The link between addresses by which most observations crossed a trunk; None when its places are not two."""
        known = set(self._places.values())
        if not {*trunk} <= known:
            return None
        links = self._links.get(trunk, Counter[Link]())
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
