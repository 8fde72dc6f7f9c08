"""The smallest set that meets every set of a family (minimum hitting set), exactly."""

from collections.abc import Sequence


def smallest_hitting(families: Sequence[int], size: int) -> int:
    """The mask of fewest elements that shares one with every mask of `families`; of equals the first found.

    Elements are bits 0 to `size` - 1; earlier ones are preferred.

    >>> smallest_hitting([0b011, 0b110, 0b101], 3)
    3
    """
    if not families:
        return 0
    reach = _reach(families, size)
    everything = (1 << len(families)) - 1
    for most in range(1, len(families) + 1):
        found = _within(everything, most, families, reach)
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


def _within(unmet: int, most: int, families: Sequence[int], reach: dict[int, int]) -> int | None:
    """A set of at most `most` elements that meets all families in `unmet`, or None."""
    if not unmet:
        return 0
    gains = {element: (mask & unmet).bit_count() for element, mask in reach.items()}
    if most * max(gains.values(), default=0) < unmet.bit_count():
        return None
    rarest = min(
        (at for at in range(len(families)) if unmet >> at & 1),
        key=lambda at: sum(1 for mask in reach.values() if mask >> at & 1),
    )
    for element, mask in reach.items():
        if mask >> rarest & 1:
            rest = _within(unmet & ~mask, most - 1, families, reach)
            if rest is not None:
                return rest | 1 << element
    return None
