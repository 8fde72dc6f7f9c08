"""What a node's budgets held back, in numbers and in words: who gets less than was asked for is told, and what to do. Pure."""

from collections.abc import Mapping

import msgspec

from nettrace.measure.tracing.politeness import BUDGETS, Limits

_WHOSE = {
    "node": "the node itself",
    "target": "their target",
    "network": "their network (one IPv4 /24 or IPv6 /48)",
    "router": "the router that answers",
}
_REMEDY = {
    "node": "raise the rate of its assignment, or give it fewer targets or a longer cadence",
    "target": "give the target a longer cadence or fewer probes a round",
    "network": "give targets that share a network a longer cadence or fewer probes a round, or measure fewer of them",
    "router": "give the targets behind it a longer cadence",
}


class Held(msgspec.Struct, frozen=True):
    """What was held back since the start, by the budget that was spent.

    Attributes:
        waited: packets that went later than they were wanted.
        unsent: rounds that were not made, or cut short, because others or they themselves waited for it.
    """

    waited: Mapping[str, int] = {}
    unsent: Mapping[str, int] = {}

    def since(self, before: "Held") -> "Held":
        """What came since then."""
        return Held(
            {name: self.waited.get(name, 0) - before.waited.get(name, 0) for name in BUDGETS},
            {name: self.unsent.get(name, 0) - before.unsent.get(name, 0) for name in BUDGETS},
        )


def in_words(held: Held, limits: Limits, span: str) -> tuple[str, ...]:
    """A sentence for each budget that was spent within `span`, with what to do.

    >>> in_words(Held({"network": 1200}, {"network": 40}), Limits(), "the last minute")[0].split(": ")[0]
    'in the last minute 1200 packets waited for the budget of their network (one IPv4 /24 or IPv6 /48), 60/s, 40 rounds were not made or not finished'
    """
    said: list[str] = []
    for name in BUDGETS:
        waited, unsent = held.waited.get(name, 0), held.unsent.get(name, 0)
        if not waited and not unsent:
            continue
        rate = getattr(limits, name).per_second
        rounds = f", {unsent} rounds were not made or not finished" if unsent else ""
        said.append(
            f"in {span} {waited} packets waited for the budget of {_WHOSE[name]}, {rate:g}/s{rounds}: {_REMEDY[name]}"
        )
    return tuple(said)
