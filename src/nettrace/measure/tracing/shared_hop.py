"""What hop other targets' paths prove for a target whose own probes a rate-limited router did not answer.

Near us paths form a tree (Donnet et al., "Efficient algorithms for large-scale topology discovery", SIGMETRICS
2005): targets that agree before and behind a hop nearly always agree at it. A router that answers once a second
cannot be asked once for each of thousands of targets, but a random sample of them can. If all of n sampled
flows met one address, then with 95 % confidence at least 95 % of the group do once n = 59 (the rule of Wilks,
Ann. Math. Stat. 12, 1941: 1 - 0.95**n >= 0.95). Eleven rule out, at 99.9 %, that the hop is balanced between two
equal branches (2 * 0.5**11; compare the stopping rule of MDA: Veitch et al., INFOCOM 2009).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

ENOUGH = 59
"""Sampled flows, all of one mind, from which a hop is inferred at once."""
LEAST = 11
"""Sampled flows from which a hop is inferred when there is no more time."""

Context = tuple[object, ...]


class Witness(NamedTuple):
    """A path as far as it was observed.

    Attributes:
        prefixes: of the target's address, longest first.
        length: hops to the destination, 0 when unknown.
        path: token of the address observed at each TTL, 0 where none was.
    """

    prefixes: tuple[bytes, ...]
    length: int
    path: Sequence[int]


def contexts(witness: Witness, ttl: int) -> Iterator[Context]:
    """What a flow has in common with others at a TTL, the most telling first."""
    path = witness.path
    behind = path[ttl] if ttl < len(path) else 0
    before = path[ttl - 2] if ttl > 1 else 0
    if behind and before:
        yield ("between", before, behind)
    if behind:
        yield ("before", behind)
    for prefix in witness.prefixes:
        yield ("network", prefix, witness.length)
    if before:
        yield ("behind", before, witness.length)
    yield ("length", witness.length)


class Sampled:
    """All flows observed at one TTL."""

    def __init__(self, ttl: int, witnesses: Iterable[Witness]) -> None:
        self.ttl = ttl
        self.flows = 0
        self._met: dict[Context, dict[int, int]] = {}
        for witness in witnesses:
            met = witness.path[ttl - 1] if ttl <= len(witness.path) else 0
            if met:
                self.flows += 1
                for context in contexts(witness, ttl):
                    counts = self._met.setdefault(context, {})
                    counts[met] = counts.get(met, 0) + 1

    def infer(self, witness: Witness, need: int) -> tuple[int, int] | None:
        """The address this flow must meet here and the number of flows that say so, or None.

        The narrowest group with `need` sampled flows decides; any group on the way there in which flows met
        different addresses forbids to conclude anything.
        """
        for context in contexts(witness, self.ttl):
            counts = self._met.get(context)
            if counts is None:
                continue
            if len(counts) > 1:
                return None
            ((met, flows),) = counts.items()
            if flows >= need:
                return met, flows
        return None
