"""Hypothesis strategies: small internets, and schedules that delay, reorder and double their answers.

Needs the optional part `testing` (hypothesis).
"""

from collections.abc import Sequence
from itertools import cycle

import msgspec
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade, Method
from nettrace.model.path import Departure, Reply, ReplyKind
from nettrace.testing.simdriver import EPOCH
from nettrace.testing.simnet import Route, Router, SimNet, Site

DESTINATION = "198.18.0.1"

methods = st.sampled_from(Method)
"""ICMP, UDP or TCP."""


class Delivery(msgspec.Struct, frozen=True):
    """How one answer travels: held up by `delay_ms`, and again as often as `copies_ms` says."""

    delay_ms: int
    copies_ms: tuple[int, ...] = ()


def schedules(longest_ms: int = 700) -> st.SearchStrategy[list[Delivery]]:
    """Deliveries, used over and over: any reordering and doubling within `longest_ms`."""
    delays = st.integers(0, longest_ms)
    return st.lists(
        st.builds(Delivery, delays, st.lists(delays, max_size=2).map(tuple)), min_size=1, max_size=12
    )


class ScheduledNet(SimNet):
    """A network whose answers travel as a schedule says. Its fates do not know the schedule."""

    def __init__(self, sites: Sequence[Site], schedule: Sequence[Delivery], seed: int = 0) -> None:
        super().__init__(sites, seed)
        self._schedule = cycle(schedule)

    def _deliver(self, reply: Reply, token: int) -> Instant:
        delivery = next(self._schedule)
        first = reply.received_at + delivery.delay_ms * NS_PER_MS
        super()._deliver(msgspec.structs.replace(reply, received_at=first), token)
        for copy_ms in delivery.copies_ms:
            copy = msgspec.structs.replace(reply, received_at=first + copy_ms * NS_PER_MS)
            super()._deliver(copy, token)
        return first


@st.composite
def stages(draw: st.DrawFn, number: int) -> tuple[Router, ...]:
    """Stage `number` of a route: mostly one router, sometimes silent, sometimes balanced."""
    width = draw(st.sampled_from((1, 1, 1, 2, 3)))
    silent = draw(st.sampled_from((False, False, False, True)))
    return tuple(
        Router(address=f"10.{parallel}.0.{number}", delay_ms=draw(st.integers(1, 20)), silent=silent)
        for parallel in range(width)
    )


@st.composite
def sites(draw: st.DrawFn, longest: int = 14, *, endings: bool = True) -> Site:
    """A destination behind up to `longest` routers. With `endings` it may also be dark, refused or looped."""
    count = draw(st.integers(0, longest))
    made = [draw(stages(number)) for number in range(1, count + 1)]
    ending = (
        draw(st.sampled_from(("reached", "reached", "dark", "refused", "looped"))) if endings else "reached"
    )
    if ending == "refused" and made:
        made[-1] = (Router(address=f"10.0.0.{count}", unreachable=draw(st.sampled_from((0, 1, 13)))),)
    loop_from = None
    if ending == "looped" and count >= 2:
        made[-2:] = [(Router(address=f"10.0.0.{number}"),) for number in (count - 1, count)]
        loop_from = count - 2
    return Site(
        address=DESTINATION,
        routes=(Route(stages=tuple(made), loop_from=loop_from),),
        delay_ms=draw(st.integers(1, 40)),
        answers=() if ending == "dark" else tuple(Method),
        answers_from=draw(st.sampled_from((None, None, None, "198.18.0.99"))),
    )


instants = st.integers(EPOCH - 10 * NS_PER_S, EPOCH + 10 * NS_PER_S)
"""Stamps around the beginning of virtual time, plausible or not."""

grades = st.sampled_from(Grade)


def departures(keys: st.SearchStrategy[int]) -> st.SearchStrategy[Departure]:
    """Any notice of departure, sensible or not."""
    refusals = st.sampled_from((None, "queue full", "unreachable"))
    return st.builds(Departure, keys, st.none() | instants, st.integers(0, NS_PER_MS), grades, refusals)


def replies(keys: st.SearchStrategy[int]) -> st.SearchStrategy[Reply]:
    """Any reply, sensible or not."""
    sources = st.sampled_from((DESTINATION, "10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1"))
    return st.builds(
        Reply,
        key=keys,
        kind=st.sampled_from(ReplyKind),
        source=sources,
        received_at=instants,
        error_ns=st.integers(0, NS_PER_MS),
        grade=grades,
        code=st.integers(0, 255),
        reply_ttl=st.none() | st.integers(0, 255),
        quoted_ttl=st.none() | st.integers(0, 255),
        mtu_bytes=st.none() | st.integers(0, 65_535),
    )
