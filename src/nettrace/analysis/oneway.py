"""One-way delays with the clocks' error stated, or the word that they cannot be told. Pure.

A difference of two clocks is a delay only up to both clocks' errors. Without any clock at all a one-way delay is known
to lie between nothing and the whole round trip: half of it, give or take half of it. So a figure whose error bound is
not below half the round trip tells nothing new, and is not given.
"""

from collections.abc import Sequence
from statistics import median_low

import msgspec

from nettrace.model.instant import ms
from nettrace.model.measurement import StampTest, Way, WayTest

READING_NS = 20_000
"""What four kernel stamps themselves may be off, together with the rounding of an error estimate."""


class OneWay(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a session.

    Attributes:
        delay_ns: the median; None when it is not resolvable, and `why` says so.
        min_ns, max_ns: of the probes, under the same bound.
        error_ns: the bound: both clocks' errors and the stamps'. None when one of the clocks has none.
    """

    delay_ns: int | None
    min_ns: int | None
    max_ns: int | None
    error_ns: int | None
    why: str | None


def one_way(test: StampTest) -> tuple[OneWay, OneWay]:
    """Both directions of a session: to the reflector and back.

    >>> from nettrace.model.measurement import Outcome, Sample, SampleState, StampTest, Way
    >>> answered = Sample(state=SampleState.ANSWERED, rtt_ns=30_000_000, error_ns=0)
    >>> test = StampTest(target="x", address=None, at=0, outcome=Outcome.MEASURED, port=862, samples=(answered,),
    ...     out=Way(sent=1, delays_ns=(20_000_000,)), back=Way(sent=1, delays_ns=(10_000_000,)),
    ...     own_error_ns=100_000, peer_error_ns=200_000)
    >>> [(each.delay_ns, each.error_ns) for each in one_way(test)]
    [(20000000, 320000), (10000000, 320000)]
    """
    bound = bound_ns(test)
    why = _why(test, bound)
    return _way(test.out.delays_ns, bound, why), _way(test.back.delays_ns, bound, why)


def way_tests(test: StampTest) -> tuple[WayTest, WayTest]:
    """Both directions as rounds of their own."""
    out, back = one_way(test)
    return _alone(test, test.out, out), _alone(test, test.back, back)


def _alone(test: StampTest, way: Way, told: OneWay) -> WayTest:
    known = tuple(delay for delay in way.delays_ns if delay is not None) if told.delay_ns is not None else ()
    return WayTest(
        target=test.target, address=test.address, at=test.at, outcome=test.outcome, reason=test.reason,
        detail=told.why or test.detail, vantage=test.vantage, resolved=test.resolved, sent=way.sent, received=way.received,
        reordered=way.reordered, delays_ns=known, error_ns=told.error_ns, hops=way.hops,
    )  # fmt: skip


def bound_ns(test: StampTest) -> int | None:
    """How far a one-way delay of this session may be off; None when one of the clocks is nobody's word."""
    if test.own_error_ns is None or test.peer_error_ns is None:
        return None
    return test.own_error_ns + test.peer_error_ns + READING_NS


def _why(test: StampTest, bound: int | None) -> str | None:
    """Why no one-way delay can be told, or None when it can."""
    rtts = [sample.rtt_ns for sample in test.samples if sample.rtt_ns is not None]
    if not rtts:
        return "nothing was answered"
    if bound is None:
        whose = "this host's" if test.own_error_ns is None else "the reflector's"
        return f"nobody vouches for {whose} clock"
    least = [
        min((each for each in way.delays_ns if each is not None), default=None)
        for way in (test.out, test.back)
    ]
    if any(delay is not None and delay < -bound for delay in least):
        shown = min(delay for delay in least if delay is not None)
        return f"the clocks contradict each other: {ms(shown)} ms one way, by clocks said to be within {ms(bound)} ms"
    if 2 * bound >= min(rtts):
        return f"the clocks' error of {ms(bound)} ms is not below half the round trip of {ms(min(rtts))} ms"
    return None


def _way(delays: Sequence[int | None], bound: int | None, why: str | None) -> OneWay:
    known = sorted(delay for delay in delays if delay is not None)
    if why is not None or not known:
        return OneWay(
            delay_ns=None, min_ns=None, max_ns=None, error_ns=bound, why=why or "nothing was answered"
        )
    return OneWay(delay_ns=median_low(known), min_ns=known[0], max_ns=known[-1], error_ns=bound, why=None)
