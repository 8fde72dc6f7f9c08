"""Traces in a word: addresses by place, `None` for silence."""

from collections.abc import Sequence

from nettrace.model.measurement import Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, StopReason, Trace

START = 1_767_225_600_000_000_000
STEP = 900_000_000_000
TARGET = "203.0.113.9"
HOME = "192.168.1.1"

WEST = (HOME, "198.51.100.1", "198.18.1.1", "198.18.2.1", "198.18.3.1")
EAST = (HOME, "198.51.100.1", "198.19.1.1", "198.19.2.1", "198.18.3.1")


def trace(
    hops: Sequence[str | None],
    number: int = 0,
    *,
    reached: bool = True,
    rtt_ms: float = 50.0,
    flow: int = 0,
    target: str = TARGET,
    vantage: str = "v",
) -> Trace:
    """The trace number `number` of a series, over these hops and on to the target when it is reached."""
    there = (*hops, target) if reached else tuple(hops)
    return Trace(
        vantage=vantage,
        target="api.example",
        address=target,
        at=START + number * STEP,
        outcome=Outcome.MEASURED,
        method=Method.UDP,
        flow=flow,
        reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP,
        rtt_ns=round(rtt_ms * 1e6) if reached else None,
        hops=tuple(hop(ttl, address) for ttl, address in enumerate(there, 1)),
    )


def hop(ttl: int, address: str | None, *rtts_ms: float | None) -> Hop:
    """A hop that answered after these times; None is a lost probe."""
    samples = tuple(
        Sample(
            state=SampleState.LOST if rtt is None else SampleState.ANSWERED,
            rtt_ns=None if rtt is None else round(rtt * 1e6),
        )
        for rtt in rtts_ms
    )
    return Hop(ttl=ttl, address=address, samples=samples)


def by_first_words(address: str) -> int | None:
    """A stand-in AS table: each /16 is an AS."""
    first, second, *_ = address.split(".")
    return int(first) * 1000 + int(second)
