"""Money in whole nano-dollars, as it was written."""

from decimal import Decimal

NANO = 10**9


def nanodollars(usd: float, times: float = 1.0) -> int:
    """`usd * times` in nano-dollars, as written: 0.1 is a tenth.

    >>> nanodollars(0.1, 3)
    300000000
    """
    return round(Decimal(repr(float(usd))) * Decimal(repr(float(times))) * NANO)


def dollars(nano: float) -> float:
    """Nano-dollars as dollars, to the millionth.

    >>> dollars(1_234_567_891)
    1.234568
    """
    return round(nano / NANO, 6)
