"""One slow link as round trips show it: answers cross it too, by ways back that no trace shows.

A trace shows the way there only. Where a link became slower by some amount in each direction, what lies behind it is
worse by the amount, or by twice as much where the answer comes back over the link; and a router that is not behind it
is worse by the amount once where its answer does. So links can be excluded: something is worse by twice the amount and
not behind them. A way back that must differ from the way there is a claim; the explanation with the fewest claims wins.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nettrace.analysis.routes.forest import Link
from nettrace.analysis.routes.tomography import UNKNOWN, Fault, Observation, Scale, is_bad

CLAIM = 0.12
"""What a claim weighs against an observation that is not explained at all: three claims part two links."""
LEFT_SHARE, LEFT = 0.02, 0.5
"""Of the observations that are bad, and by number, the most that a single link may leave unexplained."""
NEAR_SHARE, NEAR_ERRORS = 0.1, 3.0
"""A shift this near to a multiple of the amount is one."""
FAR_SHARE = 0.25
"""Of the amount: a shift so far from all of its multiples is not explained at all."""
_MOST_RIVALS = 8


class _Single(NamedTuple):
    """A link as the only one at fault, in both directions or in that of the way there alone.

    Attributes:
        cost: observations not explained, and `CLAIM` for each claim.
        left: of the cost, the observations not explained.
    """

    link: Link
    amount: float
    both: bool
    cost: float
    left: float


class _Fit(NamedTuple):
    """How an observation fits: `misfit` 0 or up to 1; `differs`: its way back is not the way there."""

    misfit: float
    differs: bool


def single_fault(seen: Sequence[Observation], scale: Scale, amount: float) -> Fault | None:
    """The one link that explains all that is bad, with its rivals; None when no single link does.

    `amount` is what the greatest fault adds: to a round trip, or one way.
    """
    bad = [one for one in seen if is_bad(one, scale)]
    most = max(LEFT, LEFT_SHARE * sum(_weight(one, scale) for one in bad))
    best: dict[Link, _Single] = {}
    for each in (amount / 2, amount):
        for both in (True, False) if each >= scale.least else ():
            for one in _singles(seen, scale, each, both=both):
                name = _named(one.link, both=True)
                if one.left <= most and (name not in best or one.cost < best[name].cost):
                    best[name] = one
    ranked = sorted(best.values(), key=lambda one: (one.cost, one.link))
    return _as_fault(ranked, bad, len(seen)) if ranked and bad else None


def _as_fault(ranked: Sequence[_Single], bad: Sequence[Observation], size: int) -> Fault:
    top = ranked[0]
    crossed = Counter(link for one in bad for link in one.links)
    most = max(one.shift for one in bad)
    amount = 2 * top.amount if most > 1.5 * top.amount else top.amount
    return Fault(
        link=_oriented(top, crossed),
        amount=amount,
        gain=amount * (size - top.cost),
        rivals=tuple(
            (_oriented(one, crossed), amount * (size - one.cost)) for one in ranked[1 : _MOST_RIVALS + 1]
        ),
        tied=(),
        vantages=len({one.vantage for one in bad}),
        ends=sum(one.ends for one in bad),
    )


def _oriented(single: _Single, crossed: Counter[Link]) -> Link:
    """The link as most of what is bad crossed it."""
    link, back = single.link, (single.link[1], single.link[0])
    return back if single.both and crossed[back] > crossed[link] else link


def _singles(seen: Sequence[Observation], scale: Scale, amount: float, *, both: bool) -> Iterator[_Single]:
    """Every link as the only one at fault; in both directions, it is one link whichever way it was crossed."""
    outside = [_fit(one, amount, (0, 1), 0) for one in seen]
    behind = [_fit(one, amount, (1, 2), 2) if both else _fit(one, amount, (1,), 1) for one in seen]
    claims = [_claims(outside, number, one) for number, one in enumerate(seen)]
    left, cost = 0.0, 0.0
    less_left, less_cost = Counter[Link](), Counter[Link]()
    for number, one in enumerate(seen):
        weight = _weight(one, scale)
        left += weight * outside[number].misfit
        cost += weight * outside[number].misfit + CLAIM * claims[number]
        gained = weight * (outside[number].misfit - behind[number].misfit)
        inner = claims[number] - _claims(behind, number, one)
        for link in {_named(link, both=both) for link in one.links}:
            first = link == _named(one.links[-1], both=both)
            fewer = claims[number] - behind[number].differs if first else inner
            less_left[link] += gained  # type: ignore[assignment]
            less_cost[link] += gained + CLAIM * fewer  # type: ignore[assignment]
    for link in less_left:
        yield _Single(link, amount, both, cost - less_cost[link], left - less_left[link])


def _named(link: Link, *, both: bool) -> Link:
    return (min(link), max(link)) if both else link


def _fit(one: Observation, amount: float, times: tuple[int, ...], usual: int) -> _Fit:
    nearest = min(times, key=lambda each: abs(one.shift - each * amount))
    off = abs(one.shift - nearest * amount)
    near = max(NEAR_SHARE * amount, NEAR_ERRORS * one.error)
    return _Fit(0.0 if off <= near else min(1.0, off / (FAR_SHARE * amount)), nearest != usual)


def _claims(fits: Sequence[_Fit], number: int, one: Observation) -> int:
    """Whether the observation is a claim of its own: one whose parent claims the same is not."""
    return int(
        fits[number].differs and (one.near is None or one.near == UNKNOWN or not fits[one.near].differs)
    )


def _weight(one: Observation, scale: Scale) -> float:
    return 1 / (1 + one.error / scale.soft)
