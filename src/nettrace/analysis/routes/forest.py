"""Traces of many vantages as trees of hops, each node with what was measured to it before and after an instant.

A vantage's traces share their first hops: a node is one router as met on one way, and pools the round trips of
all traces that came through it. Comparing a node with itself compares like with like: a way that was only taken
on one side of the instant (balancing, a reroute) proves nothing about any link.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from math import log, sqrt
from statistics import median

import msgspec

from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.model.measurement import Outcome, SampleState
from nettrace.model.path import Hop, Trace

FEWEST = 3
"""Round trips needed on each side to compare them."""

_LEAST_ERROR_MS = 0.05
_MOST_LOSS = 0.98
_LONGEST = 64

Pair = tuple[str | None, str]
Link = tuple[str, str]
"""Near and far end as seen from a vantage."""


class Side(msgspec.Struct):
    """Round trips to a node on one side of the instant, in milliseconds, and probes lost."""

    rtts_ms: list[float] = []
    lost: int = 0

    @property
    def loss(self) -> float:
        """Share of probes lost."""
        total = len(self.rtts_ms) + self.lost
        return self.lost / total if total else 0.0


class Node(msgspec.Struct):
    """One router, or a target, on one way from one vantage.

    Attributes:
        parent: number of the node before it, -1 at the vantage.
        links: the links from the vantage to here.
        pairs: the pairs that end here; empty for a router on the way.
    """

    address: str
    vantage: str | None
    parent: int
    links: tuple[Link, ...]
    before: Side
    after: Side
    pairs: set[Pair] = set()

    def shift_ms(self) -> tuple[float, float] | None:
        """Median after less median before, and the standard error of that; None with too few round trips.

        The error of a median is 1.253 standard deviations by sqrt(n), the deviation 1.4826 MAD; it is widened
        for few round trips, whose MAD is often far too small.
        """
        sides = (self.before.rtts_ms, self.after.rtts_ms)
        if min(map(len, sides)) < FEWEST:
            return None
        levels = [median(side) for side in sides]
        spreads = [
            median([abs(rtt - level) for rtt in side]) for side, level in zip(sides, levels, strict=True)
        ]
        variance = sum(spread**2 / len(side) for spread, side in zip(spreads, sides, strict=True))
        few = 1 + 1.5 / (min(map(len, sides)) - 1)
        return levels[1] - levels[0], max(_LEAST_ERROR_MS, few * 1.253 * 1.4826 * sqrt(variance))

    def loss_shift(self) -> tuple[float, float] | None:
        """Rise of -ln(1 - loss), which adds up over links as delay does, and its standard error; None as above."""
        totals = [len(side.rtts_ms) + side.lost for side in (self.before, self.after)]
        if min(totals) < FEWEST or not self.before.rtts_ms:
            return None
        shares = [min(side.loss, _MOST_LOSS) for side in (self.before, self.after)]
        # Agresti and Coull: two of each added, so that few probes without a loss are not taken for certainty.
        variance = sum(
            (share * total + 1) / ((total + 2) * ((1 - share) * total + 1))
            for share, total in zip(shares, totals, strict=True)
        )
        return log(1 - shares[0]) - log(1 - shares[1]), sqrt(variance)


class Forest:
    """The trees of all vantages.

    Args:
        since: the instant that parts before from after.
    """

    def __init__(self, traces: Iterable[Trace], since: Instant) -> None:
        self._since = since
        self._nodes: dict[tuple[int, int, str], int] = {}
        self.nodes: list[Node] = []
        pairs: dict[tuple[Pair, str], list[Trace]] = {}
        for trace in traces:
            if trace.outcome is not Outcome.NOT_MEASURED and trace.hops:
                pairs.setdefault(((trace.vantage, trace.target), trace.method), []).append(trace)
        self.pairs = len(pairs)
        for (pair, _), same in pairs.items():
            arrivals = {trace.hops[-1].address for trace in same if trace.reached}
            for trace, row in _rows(same):
                ends = not arrivals or (row and row[-1][1] in arrivals)
                self._add(trace, row, pair if ends else None)

    def _add(self, trace: Trace, row: "list[Step]", pair: Pair | None) -> None:
        place, links = -1, ()
        near = trace.vantage or "here"
        early = trace.at < self._since
        for ttl, address, hop in row:
            links = (*links, (near, address)) if address != near else links
            place = self._node((place, ttl, address), trace.vantage, links)
            node = self.nodes[place]
            _measured(node.before if early else node.after, hop)
            near = address
        if place >= 0 and pair is not None:
            self.nodes[place].pairs.add(pair)

    def _node(self, key: tuple[int, int, str], vantage: str | None, links: tuple[Link, ...]) -> int:
        """The node behind a parent; at another TTL it is another one: silent hops between were others."""
        parent, ttl, address = key
        if parent < 0:
            key = (parent, ttl, f"{vantage}\n{address}")
        place = self._nodes.get(key)
        if place is None:
            place = self._nodes[key] = len(self.nodes)
            self.nodes.append(
                Node(
                    address=address, vantage=vantage, parent=parent, links=links, before=Side(), after=Side()
                )
            )
        return place


Step = tuple[int, str, Hop | None]
"""TTL, address, and the hop that answered; None when it was silent this time."""


Way = tuple[str | None, ...]
"""Addresses by TTL, the first at 0; None where nothing answered."""


def _rows(traces: list[Trace]) -> Iterable[tuple[Trace, list[Step]]]:
    """Each trace as steps; a hop silent this time takes the address it has in traces that agree everywhere else.

    So lost probes are counted where they were lost. A TTL that never answers is bridged: the link goes from the hop
    before it to the hop behind it.
    """
    ways: dict[int, Counter[tuple[Way, bool]]] = {}
    own = [(trace, _way(trace)) for trace in traces]
    for trace, way in own:
        ways.setdefault(trace.flow, Counter())[way, trace.reached] += 1
    whole: dict[tuple[int, Way, bool], Way] = {}
    for trace, way in own:
        key = (trace.flow, way, trace.reached)
        if key not in whole:
            known = [each for each, _ in ways[trace.flow].most_common()]
            whole[key] = _filled(way, trace.reached, known)
        hops = {hop.ttl: hop for hop in trace.hops if hop.address is not None and not hop.inferred_from}
        steps = enumerate(whole[key], 1)
        yield trace, [(ttl, address, hops.get(ttl)) for ttl, address in steps if address is not None]


def _way(trace: Trace) -> Way:
    made: list[str | None] = []
    for hop in trace.hops:
        if len(made) < hop.ttl <= _LONGEST and not hop.inferred_from:
            made += [None] * (hop.ttl - 1 - len(made))
            made.append(hop.address)
    return tuple(made)


def _filled(way: Way, reached: bool, known: Iterable[tuple[Way, bool]]) -> Way:  # noqa: FBT001
    """The way with its silence filled in from others, the commonest first, that contradict it nowhere."""
    made = list(way)
    for other, arrives in known:
        if reached and arrives and len(other) != len(made):
            continue
        if any(a is not None and b is not None and a != b for a, b in zip(made, other, strict=False)):
            continue
        made = [mine or theirs for mine, theirs in zip_longest(made, other)][: len(way) if reached else None]
        reached = reached or arrives
    return tuple(made)


def _measured(side: Side, hop: Hop | None) -> None:
    """Take in the least round trip of a hop, and its lost probes; a TTL that was silent as a whole counts as one.

    A router inside an MPLS tunnel sends its answer on to the tunnel's end first (RFC 3032), so that its round trip
    says nothing of where it stands: only its being there counts.
    """
    if hop is not None and hop.labels:
        return
    least, lost = None, 0
    for sample in hop.samples if hop is not None else ():
        if sample.state is SampleState.ANSWERED:
            if sample.rtt_ns is not None and (least is None or sample.rtt_ns < least):
                least = sample.rtt_ns
        elif sample.state is SampleState.LOST:
            lost += 1
    if least is not None:
        side.rtts_ms.append(least / NS_PER_MS)
    side.lost += lost if least is not None else 1
