"""Forwarding loops, told apart from routers that merely answer twice."""

from collections.abc import Sequence


def loop_end(addresses: Sequence[str | None]) -> int | None:
    """Index at which a forwarding loop is proven, or None. Silent hops are None.

    A repeat at the very next hop proves nothing (a router that forwards a packet with TTL zero makes its
    successor answer twice), and neither does a single repeat further on (a path that grew by a few hops in
    between). A loop is proven by going round: two different addresses repeat at the same distance, or one
    address stands at three places at equal distances of at least two.

    >>> loop_end(["a", "b", "c", "b", "c"])
    4
    >>> loop_end(["a", "b", "b", "c"]) is None
    True
    """
    for end in range(len(addresses)):
        if addresses[end] is not None and _goes_round(addresses, end):
            return end
    return None


def _goes_round(addresses: Sequence[str | None], end: int) -> bool:
    for period in range(2, end + 1):
        if addresses[end - period] != addresses[end]:
            continue
        if end >= 2 * period and addresses[end - 2 * period] == addresses[end]:
            return _alternates(addresses, end, period)
        for back in range(1, period):
            other = addresses[end - back]
            if end - period - back < 0 or other is None or other == addresses[end]:
                continue
            if addresses[end - period - back] == other:
                return True
    return False


def _alternates(addresses: Sequence[str | None], end: int, period: int) -> bool:
    """False when one router answers at every hop in between: that is a wall, not a loop."""
    return any(address != addresses[end] for address in addresses[end - 2 * period + 1 : end])
