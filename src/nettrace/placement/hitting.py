"""The smallest set that meets every set of a family (minimum hitting set), exactly."""

from collections.abc import Callable, Sequence

from nettrace.errors import SolverStopped


def smallest_hitting(
    families: Sequence[int], size: int, going: Callable[[], bool] | None = None, least: int = 1
) -> int:
    """The mask of fewest elements that shares one with every mask of `families`; of equals the first found.

    Elements are bits 0 to `size` - 1; earlier ones are preferred. `going` says whether to look further, `least` how many
    elements are known to be needed.

    Raises:
        SolverStopped: `going` said no.

    >>> smallest_hitting([0b011, 0b110, 0b101], 3)
    3
    """
    if not families:
        return 0
    reach = _reach(families, size)
    useful = sum(1 << element for element in reach)
    order = sorted(range(len(families)), key=lambda at: (families[at] & useful).bit_count())
    search = _Search([[each for each in reach.items() if each[1] >> at & 1] for at in order], order, going)
    everything = (1 << len(families)) - 1
    for most in range(least, len(families) + 1):
        found = search.within(everything, most, reach)
        if found is not None:
            return found
    raise AssertionError("a family holds an empty set: nothing meets it")


def _reach(families: Sequence[int], size: int) -> dict[int, int]:
    """Element -> mask of the families it meets, without elements that another one outdoes."""
    met: dict[int, int] = {}
    for element in range(size):
        mask = sum(1 << at for at, family in enumerate(families) if family >> element & 1)
        if mask and mask not in met.values():
            met[element] = mask
    return {
        element: mask
        for element, mask in met.items()
        if not any(mask != other and mask & ~other == 0 for other in met.values())
    }


class _Search:
    """The families, those with fewest useful elements first, each with the elements that meet it and what else those meet."""

    def __init__(
        self,
        members: Sequence[Sequence[tuple[int, int]]],
        order: Sequence[int],
        going: Callable[[], bool] | None,
    ) -> None:
        self._members = members
        self._order = order
        self._going = going

    def within(self, unmet: int, most: int, reach: dict[int, int]) -> int | None:
        """A set of at most `most` elements that meets all families in `unmet`, or None."""
        if not unmet:
            return 0
        if self._going is not None and not self._going():
            raise SolverStopped("time ran out before the smallest hitting set was found", "Allow more time")
        if most * max([(mask & unmet).bit_count() for mask in reach.values()], default=0) < unmet.bit_count():
            return None
        rarest = next(number for number, at in enumerate(self._order) if unmet >> at & 1)
        for element, mask in self._members[rarest]:
            rest = self.within(unmet & ~mask, most - 1, reach)
            if rest is not None:
                return rest | 1 << element
        return None
