"""Which leg explains a cause, asked afterwards: what the hub concluded then, else what traces and rounds say now."""

from collections.abc import Iterable

import msgspec

from nettrace.hub.cause import Cause, stored_blame, where
from nettrace.hub.leg_watch import judged
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.path import Trace
from nettrace.model.route import Blame
from nettrace.store.port import StoreReader

_LEAST_NS, _MOST_NS = 30 * NS_PER_S, 3600 * NS_PER_S
"""What is looked at after a cause began, however soon it was over, and at most."""


class Hindsight(msgspec.Struct, frozen=True):
    """A judgement on legs.

    Attributes:
        where: of the legs' ends, by address, in which place they stand and whose they are; not all are known.
        concluded: the hub itself said so when it happened; else it was asked now.
    """

    blame: Blame
    where: dict[str, str]
    concluded: bool


def leg_of(reader: StoreReader, cause: Cause, until: Instant) -> Hindsight:
    """The leg behind a cause that lasted until then, or lasts still.

    What was measured behind its end is left out: it would say that nothing is wrong.
    """
    stored = stored_blame(cause)
    if stored is not None:
        return Hindsight(*stored, concluded=True)
    end = min(max(until, cause.since + _LEAST_NS), cause.since + _MOST_NS)
    found, traces = judged(reader, cause, end)
    return Hindsight(found, standing_at(found, traces), False)  # noqa: FBT003


def standing_at(found: Blame, traces: Iterable[Trace]) -> dict[str, str]:
    """Where the ends of legs stand and whose they are, by address, as far as traces know."""
    named = {address for leg in found.legs for address in (leg.a, leg.b)}
    known = {
        hop.address: where(hop.place.name if hop.place else None, hop.as_name)
        for trace in traces
        for hop in trace.hops
        if hop.address in named
    }
    return {address: words for address, words in known.items() if address and words}
