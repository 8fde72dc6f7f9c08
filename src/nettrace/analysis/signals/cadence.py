"""How far apart the observations of a series are, and where there is a hole between them."""

from nettrace.analysis.signals.regime import GAP_INTERVALS
from nettrace.model.instant import Instant

STEPS = 5
"""How many of the newest steps the interval is the median of."""


class Cadence:
    """The interval between observations, learnt from the newest five steps unless given."""

    __slots__ = ("_given_ns", "_newest", "_steps")

    def __init__(self, interval_ns: int | None = None) -> None:
        self._given_ns = interval_ns
        self._newest: Instant | None = None
        self._steps: list[int] = []

    @property
    def interval_ns(self) -> int:
        """Between two observations; 0 while not known."""
        if self._given_ns is not None:
            return self._given_ns
        return sorted(self._steps)[len(self._steps) // 2] if self._steps else 0

    def after_gap(self, at: Instant) -> bool:
        """Whether a hole of more than twelve intervals lies between this observation and the one before."""
        newest, self._newest = self._newest, at
        if newest is None or newest == at:  # several probes of one round are one step
            return False
        interval_ns = self.interval_ns
        self._steps = [*self._steps[1 - STEPS :], at - newest]
        return 0 < GAP_INTERVALS * interval_ns < at - newest

    @property
    def state(self) -> tuple[Instant | None, list[int]]:
        """All that must be kept to go on later."""
        return self._newest, self._steps

    def resume(self, state: tuple[Instant | None, list[int]]) -> None:
        """Go on from there."""
        self._newest, self._steps = state
