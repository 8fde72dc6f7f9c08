"""What would have to change for another choice to be the better one, and by how much.

Every answer is exact: the value at which another set of sites, or another site for a venue, costs no more. One number
changes at a time.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from nettrace.placement import highs, search
from nettrace.placement.loading import moving
from nettrace.placement.money import NANO, nanodollars
from nettrace.placement.plan import Solver, chosen_solver
from nettrace.placement.problem import (
    TIE,
    Option,
    Problem,
    Reader,
    Requirement,
    bits,
    cost_of,
    pick,
    price_of,
    served,
)
from nettrace.placement.request import Latency, Request

Optimise = Callable[[Problem], int | None]

MOST_PAIRS = 400
"""Pairs that are not in the plan are examined in requests up to this size: each costs an optimum."""

_ROUNDS = 50


class Number(StrEnum):
    """Which number of the request a flip is about."""

    SITE_PRICE = "site_price"
    VENUE_WEIGHT = "venue_weight"
    LATENCY = "latency"
    MOVING = "moving"


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """The value at which a number changes the choice.

    Attributes:
        now, flips_at: in the number's own unit: dollars a month (of a site with its smallest machine and its share of moving),
            dollars a millisecond and month, milliseconds, dollars once for moving.
        share: the change as a share of `now`; None where `now` is 0.
        within_interval: the value lies inside the latency's own interval, so measuring it better comes first; None for
            other numbers and latencies without an interval.
        sites: what would be chosen beyond it; empty when nothing would do any more.
    """

    number: Number
    venue: str | None
    site: str | None
    now: float
    flips_at: float
    share: float | None
    within_interval: bool | None
    sites: tuple[str, ...]


def flips(
    request: Request, chosen: tuple[str, ...], solver: Solver = Solver.AUTO, seconds: float = float("inf")
) -> tuple[Flip, ...]:
    """All numbers that can change the choice, the least share of change first.

    Args:
        request: what was asked.
        chosen: the sites of its optimal plan.
        solver: as for the plan.
        seconds: how long HiGHS may take for each optimum.

    Raises:
        SolverStopped: time ran out.
    """
    return _Sensitivity(request, chosen, solver, seconds).all()


class _Sensitivity:
    def __init__(self, request: Request, chosen: tuple[str, ...], solver: Solver, seconds: float) -> None:
        self._request = request
        self._reader = Reader(request)
        self._problem = self._reader.problem()
        self._chosen = sum(1 << at for at, site in enumerate(request.site) if site.name in chosen)
        self._searching = chosen_solver(self._problem, solver) is Solver.SEARCH
        self._seconds = seconds
        self._price = price_of(self._problem, self._chosen)
        self._least = cost_of(self._problem, self._chosen)
        self._rows = [dict(rows) for rows in self._reader.rows]

    def all(self) -> tuple[Flip, ...]:
        made: list[Flip | None] = []
        for at in range(len(self._request.site)):
            made.append(self._dearer(at) if self._chosen >> at & 1 else self._cheaper(at))
            if moving(self._request.site[at], self._request.limits):
                made.append(self._moved(at))
        every_pair = len(self._request.venue) * len(self._request.site) <= MOST_PAIRS
        for number, menu in enumerate(self._problem.menus):
            option = served(menu, self._chosen)
            made += [
                self._heavier(number, option),
                self._lighter(number, option),
                self._farther(number, option),
            ]
            made += [self._backup_lost(number, option, at) for at in bits(option.needs & self._chosen)]
            for at in self._rows[number]:
                if every_pair and at != option.site:
                    made.append(self._nearer(number, at))
        found = [flip for flip in made if flip is not None]
        return tuple(
            sorted(found, key=lambda flip: abs(flip.share) if flip.share is not None else float("inf"))
        )

    def _optimum(self, problem: Problem) -> int | None:
        return search.best(problem) if self._searching else highs.optimum(problem, self._seconds)

    def _value(self, problem: Problem) -> int | None:
        chosen = self._optimum(problem)
        return None if chosen is None else cost_of(problem, chosen)

    def _with_menu(self, number: int, menu: tuple[Option, ...]) -> Problem:
        menus = self._problem.menus
        return msgspec.structs.replace(self._problem, menus=(*menus[:number], menu, *menus[number + 1 :]))

    def _priced(self, at: int, price: int) -> Problem:
        prices = self._problem.prices
        return msgspec.structs.replace(self._problem, prices=(*prices[:at], price, *prices[at + 1 :]))

    def _dearer(self, at: int) -> Flip | None:
        """A chosen site's price rises until a plan without it is as good, or the budget breaks."""
        rises = [] if self._problem.budget is None else [self._problem.budget - self._price]
        if not self._problem.pinned >> at & 1:
            without = self._value(_without(self._problem, at))
            rises += [] if without is None else [without - self._least]
        if not rises:
            return None
        now = self._problem.prices[at]
        flips_at = now + max(0, min(rises))
        return self._flip(
            Number.SITE_PRICE, (None, at), (now / NANO, flips_at / NANO), self._priced(at, flips_at + 2 * TIE)
        )

    def _cheaper(self, at: int) -> Flip | None:
        """The price of a site that was not chosen falls until a plan with it is as good and within the budget."""
        now = self._problem.prices[at]
        forced = msgspec.structs.replace(self._problem, pinned=self._problem.pinned | 1 << at, budget=None)
        fall = self._least_fall(forced)
        if fall is None or fall > now:
            return None
        flips_at = now - max(fall, 0)
        return self._flip(
            Number.SITE_PRICE,
            (None, at),
            (now / NANO, flips_at / NANO),
            self._priced(at, max(0, flips_at - 2 * TIE)),
        )

    def _least_fall(self, forced: Problem) -> int | None:
        """By how much a price must fall so that a plan of `forced`, which has no budget, costs no more than ours."""
        if self._searching:
            return _least_fall(forced, self._least, self._problem.budget)
        return highs.least_fall(forced, self._least, self._problem.budget, self._seconds)

    def _moved(self, at: int) -> Flip | None:
        """What moving to or from a site costs once, until another choice is as good."""
        site, limits = self._request.site[at], self._request.limits
        now, chosen = moving(site, limits), bool(self._chosen >> at & 1)
        if chosen == site.in_use:  # not paid: it keeps us where we are
            eased = _without(self._problem, at) if chosen else _with(self._problem, at)
            fall = self._least_fall(
                msgspec.structs.replace(_freed(eased, at, now, in_use=site.in_use), budget=None)
            )
            then = None if fall is None else -fall
        else:
            kept = self._value(_without(self._problem, at) if chosen else _with(self._problem, at))
            rises = [] if kept is None else [kept - self._least]
            rises += [] if self._problem.budget is None else [self._problem.budget - self._price]
            then = now + min(rises) if rises else None
        if then is None or then < 0 or (chosen == site.in_use and then > now):
            return None
        past = max(0, then + (2 * TIE if then > now else -2 * TIE))
        beyond = _freed(self._problem, at, now, past, in_use=site.in_use)
        once = (now * limits.months / NANO, then * limits.months / NANO)
        return self._flip(Number.MOVING, (None, at), once, beyond)

    def _farther(self, number: int, option: Option) -> Flip | None:
        """The latency of a venue's own site rises until the venue is served better otherwise, or its limit breaks."""
        venue = self._request.venue[number]
        row = self._rows[number][option.site]
        rises = [] if venue.max_ms is None else [venue.max_ms - row.p50_ms]
        menu = tuple(other for other in self._problem.menus[number] if other.site != option.site)
        other = self._with_menu(number, menu)
        value = self._value(other)
        if value is not None and venue.usd_per_ms_month:
            rises.append((value - self._least) / NANO / venue.usd_per_ms_month)
        if not rises:
            return None
        return self._flip(
            Number.LATENCY, (number, option.site), (row.p50_ms, row.p50_ms + max(0.0, min(rises))), other
        )

    def _backup_lost(self, number: int, option: Option, at: int) -> Flip | None:
        """The latency of a backup rises above its limit, and no other chosen site can stand in."""
        most = self._request.venue[number].backup_max_ms
        menu = tuple(
            other._replace(needs=other.needs & ~(1 << at))
            for other in self._problem.menus[number]
            if other.needs != 1 << at
        )
        if most is None or pick(menu, self._chosen) == option._replace(needs=option.needs & ~(1 << at)):
            return None
        now = self._rows[number][at].p50_ms
        return self._flip(Number.LATENCY, (number, at), (now, most), self._with_menu(number, menu))

    def _nearer(self, number: int, at: int) -> Flip | None:
        """The latency of a pair that is not in the plan falls until the plan would use it."""
        now = self._rows[number][at].p50_ms
        found = [
            each for each in (self._as_site(number, at), self._as_backup(number, at)) if each is not None
        ]
        if not found:
            return None
        flips_at, beyond = max(found, key=lambda each: each[0])
        return self._flip(Number.LATENCY, (number, at), (now, flips_at), beyond)

    def _as_site(self, number: int, at: int) -> tuple[float, Problem] | None:
        """At which latency the venue would be served from another site, and the problem in which it must be."""
        venue = self._request.venue[number]
        eased = self._reader.menu(number, (Requirement("max_ms", f"venue {venue.name}"),))
        only = tuple(option for option in eased if option.site == at)
        if not only or not venue.usd_per_ms_month:
            return None
        forced = self._with_menu(number, only)
        value = self._value(forced)
        if value is None:
            return None
        flips_at = self._rows[number][at].p50_ms - (value - self._least) / NANO / venue.usd_per_ms_month
        if venue.max_ms is not None:
            flips_at = min(flips_at, venue.max_ms)
        return (flips_at, forced) if flips_at >= 0 else None

    def _as_backup(self, number: int, at: int) -> tuple[float, Problem] | None:
        """The limit for backups, when a site that kept it would allow a cheaper plan; and the problem in which it does."""
        venue = self._request.venue[number]
        most = venue.backup_max_ms
        if most is None or not self._reader.redundant() or self._rows[number][at].p50_ms <= most:
            return None
        site = self._request.site[at].name
        latency = tuple(
            msgspec.structs.replace(row, p50_ms=most) if (row.venue, row.site) == (venue.name, site) else row
            for row in self._request.latency
        )
        problem = Reader(msgspec.structs.replace(self._request, latency=latency)).problem()
        value = self._value(problem)
        return (most, problem) if value is not None and value < self._least - TIE else None

    def _heavier(self, number: int, option: Option) -> Flip | None:
        """A venue's weight rises until a plan that is nearer to it is as good."""
        now = self._rows[number][option.site].p50_ms
        return self._weighed(
            number, option, [at for at, row in self._rows[number].items() if row.p50_ms < now]
        )

    def _lighter(self, number: int, option: Option) -> Flip | None:
        """A venue's weight falls until a plan that is farther from it is as good."""
        now = self._rows[number][option.site].p50_ms
        return self._weighed(
            number, option, [at for at, row in self._rows[number].items() if row.p50_ms > now]
        )

    def _weighed(self, number: int, option: Option, sites: list[int]) -> Flip | None:
        """The nearest weight at which a plan that serves the venue from one of `sites` is as good (Newton's method)."""
        venue = self._request.venue[number]
        now_ms = self._rows[number][option.site].p50_ms
        weight, flips_at, other = venue.usd_per_ms_month, None, None
        for _ in range(_ROUNDS):
            problem = self._with_menu(
                number, self._menu(number, sites, flips_at if flips_at is not None else weight)
            )
            chosen = self._optimum(problem)
            if chosen is None:
                return None
            new_ms = self._served_ms(problem, number, chosen)
            without = self._least - nanodollars(weight, now_ms)
            rest = self._rest(problem, number, chosen)
            # at which weight do `without + w * now_ms` and `rest + w * new_ms` meet?
            meet = (rest - without) / NANO / (now_ms - new_ms)
            if flips_at is not None and abs(meet - flips_at) <= 1e-9 * max(1.0, abs(flips_at)):
                break
            flips_at, other = meet, problem
        if flips_at is None or flips_at < 0 or other is None:
            return None
        return self._flip(Number.VENUE_WEIGHT, (number, None), (weight, flips_at), other)

    def _menu(self, number: int, sites: list[int], weight: float) -> tuple[Option, ...]:
        return tuple(
            option._replace(cost=nanodollars(max(weight, 0.0), self._rows[number][option.site].p50_ms))
            for option in self._problem.menus[number]
            if option.site in sites
        )

    def _served_ms(self, problem: Problem, number: int, chosen: int) -> float:
        return self._rows[number][served(problem.menus[number], chosen).site].p50_ms

    def _rest(self, problem: Problem, number: int, chosen: int) -> int:
        """What a plan costs without the latency of one venue."""
        return cost_of(problem, chosen) - served(problem.menus[number], chosen).cost

    def _flip(
        self, kind: Number, whose: tuple[int | None, int | None], values: tuple[float, float], beyond: Problem
    ) -> Flip:
        number, at = whose
        now, flips_at = values
        row = self._rows[number][at] if number is not None and at is not None else None
        chosen = self._optimum(beyond)
        return Flip(
            number=kind,
            venue=None if number is None else self._request.venue[number].name,
            site=None if at is None else self._request.site[at].name,
            now=now,
            flips_at=round(flips_at, 6),
            share=round((flips_at - now) / now, 6) if now else None,
            within_interval=None if row is None else _inside(row, flips_at),
            sites=() if chosen is None else tuple(self._request.site[each].name for each in bits(chosen)),
        )


def _inside(row: Latency, value: float) -> bool | None:
    if row.low_ms is None or row.high_ms is None:
        return None
    return row.low_ms <= value <= row.high_ms


def _with(problem: Problem, at: int) -> Problem:
    """The problem in which a site must be chosen."""
    return msgspec.structs.replace(problem, pinned=problem.pinned | 1 << at)


def _freed(problem: Problem, at: int, now: int, then: int = 0, *, in_use: bool) -> Problem:
    """The problem with another monthly share of moving to or from a site."""
    if in_use:
        leaving = (*problem.leaving[:at], then, *problem.leaving[at + 1 :])
        return msgspec.structs.replace(problem, leaving=leaving)
    price = problem.prices[at] - now + then
    return msgspec.structs.replace(problem, prices=(*problem.prices[:at], price, *problem.prices[at + 1 :]))


def _without(problem: Problem, at: int) -> Problem:
    """The problem as if a site did not exist."""
    menus: list[tuple[Option, ...]] = []
    for menu in problem.menus:
        kept = (
            option._replace(needs=option.needs & ~(1 << at))
            for option in menu
            if option.site != at and option.needs != 1 << at
        )
        menus.append(tuple(kept))
    return msgspec.structs.replace(problem, menus=tuple(menus), banned=problem.banned | 1 << at)


def _least_fall(forced: Problem, least: int, budget: int | None) -> int | None:
    """By how much a forced site's price must fall so that a plan with it costs `least` and keeps the budget."""
    found: list[int] = []

    def need(price: int, latency: int) -> int:
        over = price + latency - least
        return over if budget is None else max(over, price - budget)

    def hopeless(price: int, latency: int, _chosen: int) -> bool:
        return bool(found) and need(price, latency) >= found[0]

    def take(price: int, latency: int, _chosen: int) -> bool:
        found[:] = [need(price, latency)]
        return False

    search.walk(forced, hopeless, take)
    return found[0] if found else None
