"""Sparse tomography: the fewest links whose added delay (or loss) explains what became worse.

Every node of the forest is an observation: a shift, its error, and the links on the way to it. Nodes in front of a
bad link exonerate what lies before it, so the differential round trip of a link's two ends needs no step of its
own. Links are chosen greedily by how much absolute residual they take away, and all amounts refitted by cyclic
medians (weighted least absolute deviations).
"""

from collections.abc import Iterable, Sequence

import msgspec

from nettrace.analysis.routes.forest import Link


class Observation(msgspec.Struct, frozen=True, gc=False):
    """A shift that was measured, with the links on the forward way to where it was.

    Attributes:
        near: number of the observation at the last link's near end, None when that is the vantage, `UNKNOWN` when
            nothing was observed there.
        ends: a path ends here.
    """

    shift: float
    error: float
    links: tuple[Link, ...]
    near: int | None
    ends: bool
    vantage: str | None


class Fault(msgspec.Struct, frozen=True):
    """A link that explains shifts.

    Attributes:
        amount: what it adds, in the observations' unit.
        gain: absolute residual it took away.
        rivals: other links with their gain at the time it was chosen, best first.
        tied: links that no observation parts from it.
        vantages: that saw it.
        ends: paths that were made worse by it.
        seen: its far end was measured on some way and its near end too; else only what lies beyond them was.
    """

    link: Link
    amount: float
    gain: float
    rivals: tuple[tuple[Link, float], ...]
    tied: tuple[Link, ...]
    vantages: int
    ends: int
    seen: bool = True


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What counts in one unit.

    Attributes:
        least: shifts below are no trouble.
        least_gain: total residual a fault must explain.
        soft: error at which an observation counts half.
    """

    least: float
    least_gain: float
    soft: float


DELAY_MS = Scale(least=1.5, least_gain=3.0, soft=1.0)
LOSS = Scale(least=0.05, least_gain=0.15, soft=0.1)
MOST_FAULTS = 12
UNKNOWN = -1
_SURE = 4.0
_DIFFERENTIAL = 0.4
_ECHO = 0.02
_ECHO_OF_FEW = 0.05
_MANY_VANTAGES = 3
_ECHO_ERRORS = 0.25


def is_bad(seen: Observation, scale: Scale) -> bool:
    """Whether the shift is trouble: at least `scale.least` and four errors."""
    return seen.shift >= max(scale.least, _SURE * seen.error)


def faults(observations: Sequence[Observation], scale: Scale, *, differential: bool = True) -> list[Fault]:
    """The links at fault, the one that explains most first.

    With `differential`, a link qualifies only if its far end became worse than its near end.
    """
    solver = _Solver(observations, scale, differential=differential)
    found: list[Fault] = []
    while len(found) < MOST_FAULTS:
        fault = solver.next_fault()
        if fault is None:
            break
        found.append(fault)
    entries: dict[str, set[str]] = {}
    for near, far in {link for seen in observations for link in seen.links}:
        entries.setdefault(far, set()).add(near)
    kept: list[Fault] = []
    for fault in found:
        refitted = msgspec.structs.replace(fault, amount=solver.amounts[fault.link])
        several = len(entries[fault.link[1]]) > 1
        if refitted.amount >= scale.least and not any(
            _is_echo(refitted, one, scale, several) for one in kept
        ):
            kept.append(refitted)
    return kept


def _is_echo(fault: Fault, other: Fault, scale: Scale, several: bool) -> bool:  # noqa: FBT001
    """Whether a fault is the other one seen again, by answers that come back over the same link.

    Then it adds as much, or half as much when the other link's packets cross it in both directions. And either
    few vantages see it, or its far end has several ways in: else answers to all would leave by the way they came.
    """
    many = fault.vantages >= _MANY_VANTAGES
    if many and not several:
        return False
    slack = max(_ECHO_ERRORS * scale.soft, (_ECHO if many else _ECHO_OF_FEW) * other.amount)
    return any(abs(fault.amount - part * other.amount) <= slack for part in (1.0, 0.5))


class _Solver:
    def __init__(self, observations: Sequence[Observation], scale: Scale, *, differential: bool) -> None:
        self._differential = differential
        self._seen = observations
        self._scale = scale
        self._residual = [seen.shift for seen in observations]
        self._weight = [1 / (1 + seen.error / scale.soft) for seen in observations]
        self._crossing: dict[Link, list[int]] = {}
        self.amounts: dict[Link, float] = {}
        self._far: dict[Link, list[int]] = {}
        for number, seen in enumerate(observations):
            for link in seen.links:
                self._crossing.setdefault(link, []).append(number)
            if seen.near != UNKNOWN and seen.links:
                self._far.setdefault(seen.links[-1], []).append(number)

    def next_fault(self) -> Fault | None:
        ranked = sorted(self._gains(), key=lambda each: -each[1])
        if not ranked or ranked[0][1] < self._scale.least_gain:
            return None
        link, gain, amount = ranked[0]
        self.amounts[link] = amount
        self._subtract(link, amount)
        bad = [self._seen[number] for number in self._crossing[link] if self._moved(number, amount)]
        crossing = self._crossing[link]
        tied = tuple(other for other, *_ in ranked[1:] if self._crossing[other] == crossing)
        self._refit()
        return Fault(
            link=link,
            amount=amount,
            gain=gain,
            rivals=tuple((other, other_gain) for other, other_gain, _ in ranked[1:9]),
            tied=tied,
            vantages=len({seen.vantage for seen in bad}),
            ends=sum(seen.ends for seen in bad),
            seen=bool(self._far.get(link)),
        )

    def _gains(self) -> Iterable[tuple[Link, float, float]]:
        """(link, gain, amount) of each link that could be at fault."""
        worse = {
            link
            for number, seen in enumerate(self._seen)
            if self._residual[number] >= max(self._scale.least, _SURE * seen.error)
            for link in seen.links
        }
        for link in worse - self.amounts.keys():
            numbers = self._crossing[link]
            residuals = [(self._residual[number], self._weight[number]) for number in numbers]
            amount = weighted_median(residuals)
            if amount >= self._scale.least and (not self._differential or self._differs(link, amount)):
                gain = sum(weight * (abs(value) - abs(value - amount)) for value, weight in residuals)
                yield link, gain, amount

    def _differs(self, link: Link, amount: float) -> bool:
        """Whether the far end became worse than the near end, by a good part of the amount; true where nobody knows."""
        differences: list[tuple[float, float]] = []
        for number in self._far.get(link, ()):
            near = self._seen[number].near
            there = (0.0, 1.0) if near is None else (self._residual[near], self._weight[near])
            differences.append((self._residual[number] - there[0], min(self._weight[number], there[1])))
        return not differences or weighted_median(differences) >= _DIFFERENTIAL * amount

    def _moved(self, number: int, amount: float) -> bool:
        return self._seen[number].shift >= 0.5 * amount

    def _subtract(self, link: Link, amount: float) -> None:
        for number in self._crossing[link]:
            self._residual[number] -= amount

    def _refit(self) -> None:
        """All amounts anew, each by the median of what the others leave, three times round."""
        for _ in range(3):
            for link, amount in list(self.amounts.items()):
                self._subtract(link, -amount)
                anew = weighted_median(
                    [(self._residual[number], self._weight[number]) for number in self._crossing[link]]
                )
                self.amounts[link] = max(0.0, anew)
                self._subtract(link, self.amounts[link])


def weighted_median(values: Sequence[tuple[float, float]]) -> float:
    """The least value at which half of the weight is reached; 0.0 of nothing.

    >>> weighted_median([(1.0, 1.0), (5.0, 1.0), (9.0, 3.0)])
    9.0
    """
    half = sum(weight for _, weight in values) / 2
    for value, weight in sorted(values):
        half -= weight
        if half <= 0:
            return value
    return 0.0
