"""A band that covers what it says: quantiles of a method's own past errors, widened or narrowed by how it fared.

Split conformal prediction (Vovk et al. 2005) with the adaptive level of Gibbs and Candes (2021): after each outcome

    a <- a + g (0.2 - [outside])

so that a fifth of the outcomes lies outside in the long run, whatever the series does.
"""

from bisect import bisect_left, insort
from collections import deque

OUTSIDE = 0.2
"""The share of outcomes that an 80 % band leaves out."""
STEP = 0.01
LEAST, MOST = 0.02, 0.6
ENOUGH, REMEMBERED = 24, 672
"""Errors that a band needs, and that are remembered: at one an hour, a day and four weeks."""


class Band:
    """The errors of one method at one horizon."""

    __slots__ = ("_errors", "_order", "level")

    def __init__(self) -> None:
        self._order: deque[float] = deque()
        self._errors: list[float] = []
        self.level = OUTSIDE

    def offsets(self) -> tuple[float, float, float] | None:
        """What to add to the centre for the lower end, the middle and the upper end; None while too little is known."""
        errors = self._errors
        if len(errors) < ENOUGH:
            return None
        count = len(errors)
        low = max(0, int(self.level / 2 * (count + 1)) - 1)
        return errors[low], errors[count // 2], errors[count - 1 - low]

    def learn(self, error: float, said: tuple[float, float, float] | None) -> None:
        """One more outcome: its error, and the offsets that had been given."""
        if said is not None:
            outside = not said[0] <= error <= said[2]
            self.level = min(max(self.level + STEP * (OUTSIDE - outside), LEAST), MOST)
        insort(self._errors, error)
        self._order.append(error)
        if len(self._order) > REMEMBERED:
            del self._errors[bisect_left(self._errors, self._order.popleft())]


def pinball(low: float, middle: float, high: float, value: float) -> float:
    """The mean quantile loss of the 10, 50 and 90 % quantiles, in their unit.

    >>> round(pinball(1.0, 2.0, 3.0, 2.0), 3), round(pinball(1.0, 2.0, 3.0, 5.0), 3)
    (0.067, 1.233)
    """
    ends = ((low, 0.1), (middle, 0.5), (high, 0.9))
    return sum(max(share * (value - end), (share - 1) * (value - end)) for end, share in ends) / 3
