"""One event for a route change seen from many vantages.

Vantages that change towards one target, or leave or enter one AS, within a short window are one event when so
many would hardly change by chance: the tail of the Poisson-binomial distribution over their own rates of change,
held to a false discovery rate over all groups looked at (Benjamini and Hochberg 1995).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import exp
from typing import NamedTuple

from nettrace.model.instant import NS_PER_S
from nettrace.model.route import RouteChange, RouteClass, SharedChange

LEAST_RATE_PER_DAY = 1 / 30
"""No pair is trusted to be steadier than one change a month."""

LEAST_VANTAGES = 2
FALSE_DISCOVERY_RATE = 0.05
_NS_PER_DAY = 86_400 * NS_PER_S

Rates = Mapping[tuple[str | None, str], float]
"""(vantage, target) -> route changes a day, over the last 30 days; holds every pair that is watched."""


def shared_changes(
    changes: Iterable[RouteChange], rates: Rates, window_ns: int, rate: float = FALSE_DISCOVERY_RATE
) -> list[SharedChange]:
    """The events that several vantages saw, the surest first; a change belongs to at most one of them.

    Args:
        changes: of any pairs; `LOAD_BALANCING` is left out.
        rates: how often each watched pair changes.
        window_ns: how far apart the first traces on the new routes may begin: two scans.
        rate: false discovery rate over all groups of changes looked at.
    """
    real = sorted(
        (change for change in changes if change.kind is not RouteClass.LOAD_BALANCING),
        key=lambda change: change.at,
    )
    found = sorted(_groups(real, rates, window_ns), key=lambda group: group.p_value)
    passed = max((n for n, group in enumerate(found, 1) if group.p_value <= rate * n / len(found)), default=0)
    told: set[int] = set()
    events: list[SharedChange] = []
    for group in found[:passed]:
        mine = tuple(change for change in group.changes if id(change) not in told)
        if len({change.vantage for change in mine}) >= LEAST_VANTAGES:
            told.update(id(change) for change in mine)
            events.append(_event(group, mine))
    return events


def tail(chances: Sequence[float], least: int) -> float:
    """Chance that at least so many of independent events happen, each with its own chance (Poisson-binomial).

    >>> round(tail([0.5, 0.5, 0.5], 2), 3)
    0.5
    """
    counts = [1.0]
    for chance in chances:
        counts = [
            (counts[n] if n < len(counts) else 0.0) * (1 - chance) + (counts[n - 1] * chance if n else 0.0)
            for n in range(len(counts) + 1)
        ]
    return min(1.0, sum(counts[least:]))


class _Group(NamedTuple):
    towards: str | None
    asn: int | None
    changes: list[RouteChange]
    out_of: int
    p_value: float


def _groups(changes: Sequence[RouteChange], rates: Rates, window_ns: int) -> Iterator[_Group]:
    by_subject: dict[tuple[str | None, int | None], list[RouteChange]] = {}
    for change in changes:
        by_subject.setdefault((change.target, None), []).append(change)
        for asn in set(change.before.as_path) ^ set(change.after.as_path):
            by_subject.setdefault((None, asn), []).append(change)
    for (target, asn), those in by_subject.items():
        for burst in _bursts(those, window_ns):
            vantages = {change.vantage for change in burst}
            if len(vantages) >= LEAST_VANTAGES:
                chances = _chances(rates, target, burst[-1].at - burst[0].at + window_ns)
                yield _Group(target, asn, burst, len(chances), tail(chances, len(vantages)))


def _bursts(changes: Sequence[RouteChange], window_ns: int) -> Iterator[list[RouteChange]]:
    """Changes in order of time, cut where the window since the first one is over."""
    burst: list[RouteChange] = []
    for change in changes:
        if burst and change.at - burst[0].at > window_ns:
            yield burst
            burst = []
        burst.append(change)
    if burst:
        yield burst


def _chances(rates: Rates, target: str | None, span_ns: int) -> list[float]:
    """For each vantage, how likely it is to change by itself in the span: towards the target, or anywhere."""
    per_day: dict[str | None, float] = {}
    for (vantage, towards), rate in rates.items():
        if target is None or towards == target:
            per_day[vantage] = per_day.get(vantage, 0.0) + max(rate, LEAST_RATE_PER_DAY)
    return [1 - exp(-rate * span_ns / _NS_PER_DAY) for rate in per_day.values()]


def _event(group: _Group, changes: tuple[RouteChange, ...]) -> SharedChange:
    common = _common_as(changes)
    return SharedChange(
        towards=group.towards if len({change.target for change in changes}) == 1 else None,
        asn=group.asn if common is None else common,
        at=min(change.at for change in changes),
        changes=changes,
        out_of=group.out_of,
        p_value=group.p_value,
    )


def _common_as(changes: Sequence[RouteChange]) -> int | None:
    """The AS that all of them left, or else that all of them entered; the lowest number of several."""
    left = [set(change.before.as_path) - set(change.after.as_path) for change in changes]
    entered = [set(change.after.as_path) - set(change.before.as_path) for change in changes]
    for sets in (left, entered):
        common = set[int].intersection(*sets)
        if common:
            return min(common)
    return None
