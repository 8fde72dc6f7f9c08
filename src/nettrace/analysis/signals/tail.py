"""How rare is a value among a series' own: conformal p-values from a bounded memory.

The largest values of the running block of 2,048 and of the block before are kept, so that far out in the tail ranks
are exact. For values that could have come in any order, a p-value of at most a comes up in at most a share a of them,
whatever their distribution (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005).
"""

from bisect import bisect_left, insort

import msgspec

BLOCK, KEPT = 2048, 12


class TailState(msgspec.Struct):
    """All that `Tail` remembers: two blocks' largest values, ascending, and how many values each has seen."""

    newest: list[float] = []
    before: list[float] = []
    seen: int = 0
    seen_before: int = 0


class Tail:
    """The far tail of one series' values."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = TailState()

    @property
    def seen(self) -> int:
        """Values that ranks are taken among."""
        return self.state.seen + self.state.seen_before

    def p_value(self, value: float) -> float:
        """The share of values at least as large, this one counted among them.

        Exact while small; where the kept values end it is too small by no more than the tail is deep, `KEPT / seen`.
        """
        state = self.state
        newest, before = state.newest, state.before
        larger = len(newest) - bisect_left(newest, value) + len(before) - bisect_left(before, value)
        return (1 + larger) / (1 + self.seen)

    def add(self, value: float) -> None:
        """Remember one more value."""
        state = self.state
        if state.seen == BLOCK:
            state.before, state.seen_before = state.newest, state.seen
            state.newest, state.seen = [], 0
        state.seen += 1
        newest = state.newest
        if len(newest) < KEPT:
            insort(newest, value)
        elif value > newest[0]:
            del newest[0]
            insort(newest, value)
