"""Why there is no plan: a smallest set of requirements that cannot hold together.

Implicit hitting sets (Ignatiev, Previti, Liffiton and Marques-Silva 2015): guess the smallest set that meets every
correction known so far; if its requirements cannot hold together it is the answer, else some set of sites satisfies
them, and what that one breaks is a further correction.
"""

from collections.abc import Callable, Sequence

from nettrace.errors import SolverStopped
from nettrace.placement import search
from nettrace.placement.correcting import smallest_of
from nettrace.placement.hitting import smallest_hitting
from nettrace.placement.problem import Reader, Requirement, requirements
from nettrace.placement.service import Service

Correct = Callable[[int], int | None]
"""mask of requirements that must hold -> mask of others to drop so that a plan exists, or None: they cannot hold."""


def unserved(reader: Reader) -> Requirement | None:
    """A venue without any latency row, which cannot be served whatever is dropped: that alone is the conflict."""
    pairs = zip(reader.request.venue, reader.rows, strict=True)
    return next((Requirement("latency", f"venue {venue.name}") for venue, rows in pairs if not rows), None)


def no_larger(
    reader: Reader,
    correct: Callable[[int], list[int] | None],
    found: tuple[Requirement, ...],
    going: Callable[[], bool],
) -> tuple[tuple[Requirement, ...], int]:
    """A conflict no larger than `found`, and how many members every conflict has at least: as many when it is a smallest one.

    Every conflict meets every correction, so none has fewer members than the smallest set that meets those known: as soon
    as that has as many as `found`, `found` is a smallest one. `correct` gives any number of corrections at a time;
    `going` says whether to look further.

    """
    known = requirements(reader.request)
    corrections: list[int] = []
    least = 0
    while going():
        try:
            guess = smallest_hitting(corrections, len(known), going, max(least, 1))
            least = guess.bit_count()
            broken = correct(guess) if least < len(found) else []
        except SolverStopped:
            break
        if least >= len(found):
            return found, len(found)
        if broken is None:
            return tuple(each for at, each in enumerate(known) if guess >> at & 1), least
        corrections = smallest_of([*corrections, *broken])
    return found, max(least, 1)


def conflict_of(reader: Reader, correct: Correct) -> tuple[Requirement, ...]:
    """A smallest set of requirements that cannot hold together; empty when all can."""
    alone = unserved(reader)
    if alone is not None:
        return (alone,)
    known = requirements(reader.request)
    corrections: list[int] = []
    while True:
        guess = smallest_hitting(corrections, len(known))
        broken = correct(guess)
        if broken is None:
            return tuple(known[at] for at in range(len(known)) if guess >> at & 1)
        if not broken:
            return ()
        corrections.append(broken)


def irreducible_conflict(reader: Reader, holds: Callable[[int], bool]) -> tuple[Requirement, ...]:
    """Requirements that cannot hold together while all but any one of them can; others may be fewer.

    QuickXplain (Junker 2004). `holds` says whether the requirements in a mask can hold together; all of them cannot.
    """
    known = requirements(reader.request)

    def needed(held: int, added: int, items: range) -> int:
        if added and not holds(held):
            return 0
        if len(items) == 1:
            return 1 << items[0]
        first, second = items[: len(items) // 2], items[len(items) // 2 :]
        found = needed(held | _mask(first), _mask(first), second)
        return found | needed(held | found, found, first)

    found = needed(0, 0, range(len(known))) if known else 0
    return tuple(each for at, each in enumerate(known) if found >> at & 1)


def _mask(items: range) -> int:
    return sum(1 << at for at in items)


class Enumerated:
    """Corrections by trying every set of sites at once: a set of sets is one integer with a bit for each.

    For up to 15 sites that is 32,768 bits, and "all sets that serve this venue" a handful of operations on them.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known = requirements(reader.request)
        self._sites = len(reader.request.site)
        self._holding = [_holding(at, self._sites) for at in range(self._sites)]
        self._all = (1 << (1 << self._sites)) - 1
        self._seen: dict[tuple[int, frozenset[Requirement]], int] = {}
        self._limit_sets: dict[Requirement, int] = {}
        owners = {f"venue {venue.name}": number for number, venue in enumerate(reader.request.venue)}
        self._owned: list[list[Requirement]] = [[] for _ in owners]
        self._shared = [each for each in self._known if each.kind in {"redundancy", "backup_differs"}]
        for each in self._known:
            if each.owner in owners:
                self._owned[owners[each.owner]].append(each)
        self._owners = owners

    def correct(self, held: int) -> int | None:
        """A smallest-by-inclusion set of requirements to drop so that those in `held` can hold (see `Correct`)."""
        kept = {each for at, each in enumerate(self._known) if held >> at & 1}
        sets = self._all
        for each in self._known:
            if each in kept and self._is_limit(each):
                sets &= self._limit(each)
        for number in range(len(self._owned)):
            sets &= self._serving(number, kept)
        if not sets:
            return None
        broken = 0
        for at, each in enumerate(self._known):
            if held >> at & 1:
                continue
            fewer = sets & self._effect(each, kept)
            if fewer:
                sets = fewer
                kept.add(each)
            else:
                broken |= 1 << at
        return broken

    def _effect(self, each: Requirement, kept: set[Requirement]) -> int:
        """The sets of sites that also satisfy one more requirement."""
        if self._is_limit(each):
            return self._limit(each)
        wider = {*kept, each}
        if each.owner:
            return self._serving(self._owners[each.owner], wider)
        sets = self._all
        for number in range(len(self._owned)):
            sets &= self._serving(number, wider)
        return sets

    def _is_limit(self, each: Requirement) -> bool:
        return each.kind in {"budget_usd_month", "max_sites", "pinned"}

    def _limit(self, each: Requirement) -> int:
        if each not in self._limit_sets:
            self._limit_sets[each] = self._make_limit(each)
        return self._limit_sets[each]

    def _make_limit(self, each: Requirement) -> int:
        if each.kind == "pinned":
            names = [f"site {site.name}" for site in self._reader.request.site]
            return self._holding[names.index(each.owner)]
        problem = self._reader.problem()
        if each.kind == "max_sites":
            most, weights = problem.max_sites or 0, [1] * self._sites
        else:
            most, weights = problem.budget or 0, list(problem.prices)
        sums = [0]
        if each.kind != "max_sites" and problem.leaving:
            sums = [sum(problem.leaving)]
            weights = [price - left for price, left in zip(weights, problem.leaving, strict=True)]
        for weight in weights:
            sums += [total + weight for total in sums]
        return int("".join("1" if total <= most else "0" for total in reversed(sums)), 2)

    def _serving(self, number: int, kept: set[Requirement]) -> int:
        """The sets of sites that serve one venue under the requirements kept."""
        relevant = [*self._owned[number], *self._shared]
        dropped = frozenset(each for each in relevant if each not in kept)
        key = (number, dropped)
        if key not in self._seen:
            sets = 0
            for option in self._reader.menu(number, dropped):
                sets |= self._holding[option.site] & (self._any(option.needs) if option.needs else self._all)
            self._seen[key] = sets
        return self._seen[key]

    def _any(self, sites: int) -> int:
        sets = 0
        for at in range(self._sites):
            if sites >> at & 1:
                sets |= self._holding[at]
        return sets


class Tried:
    """Corrections by one search for each requirement: for requests with services, whose machines share the budget."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known = requirements(reader.request)

    def correct(self, held: int) -> int | None:
        """As `Enumerated.correct`."""
        if not self._holds(held):
            return None
        broken = 0
        for at in range(len(self._known)):
            if held >> at & 1:
                continue
            if self._holds(held | 1 << at):
                held |= 1 << at
            else:
                broken |= 1 << at
        return broken

    def _holds(self, held: int) -> bool:
        dropped = [each for at, each in enumerate(self._known) if not held >> at & 1]
        return search.feasible(self._reader.problem(dropped))


def _holding(at: int, sites: int) -> int:
    """The sets of sites that hold site `at`: bit s of the answer is bit `at` of s.

    >>> bin(_holding(0, 2)), bin(_holding(1, 2))
    ('0b1010', '0b1100')
    """
    width = 1 << at
    block = ((1 << width) - 1) << width
    sets, length = block, width * 2
    while length < 1 << sites:
        sets |= sets << length
        length *= 2
    return sets


def explain(reader: Reader, conflict: Sequence[Requirement]) -> str:
    """The conflict in one sentence."""
    names = [describe(reader, each) for each in conflict]
    if len(names) == 1:
        return f"This cannot be met by any choice of sites: {names[0]}."
    return f"These cannot hold together: {'; '.join(names)}. Without any one of them the others can."


def describe(reader: Reader, each: Requirement) -> str:
    """One requirement with its value, as `budget_usd_month = 10`."""
    request = reader.request
    if each.kind == "latency":
        return f"{each.owner} has no latency row to any site"
    if each.kind == "pinned":
        return f"{each.owner} must be chosen"
    if each.kind == "placed":
        return _service(next(one for one in request.service if each.owner == f"service {one.name}"))
    if not each.owner:
        return f"{each.kind} = {_value(getattr(request.limits, each.kind))}"
    venue = next(venue for venue in request.venue if each.owner == f"venue {venue.name}")
    return f"{each.name} = {_value(getattr(venue, each.kind))}"


def _service(service: Service) -> str:
    """`service db must run in 2 copies, apart from cache, within 5 ms of tse`."""
    where = (
        "at every chosen site"
        if not service.copies
        else f"in {service.copies} copies"
        if service.copies > 1
        else ""
    )
    words = [f"service {service.name} must run {where}".rstrip()]
    words += [f"apart from {', '.join(service.apart)}"] if service.apart else []
    words += (
        [f"within {service.max_ms:g} ms of {', '.join(service.venues)}"] if service.max_ms is not None else []
    )
    words += [f"not in {', '.join(service.forbid_countries)}"] if service.forbid_countries else []
    return ", ".join(words)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"{value:g}" if isinstance(value, float) else str(value)
