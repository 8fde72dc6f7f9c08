"""A table's raw value as text: the same in every renderer."""

from typing import Any

from nettrace.placement.document.shape import Kind
from nettrace.placement.sheet import money

RIGHT = frozenset({Kind.MS, Kind.USD, Kind.COUNT, Kind.SHARE, Kind.MEDIAN, Kind.SPAN})
"""Kinds that stand at the right of their column."""


def cell(kind: Kind, value: Any) -> str:
    """A value for a person; what is not known is a dash.

    >>> cell(Kind.MEDIAN, [12.34567, 12.0, None]), cell(Kind.SPAN, [5.0, 10.5]), cell(Kind.COUNT, None)
    ('12.3 (12 to ?)', '$5 to $10.50', '-')
    """
    if value is None or value == "":
        return "-" if value is None else ""
    match kind:
        case Kind.MS:
            return f"{milli(value)} ms"
        case Kind.MEDIAN:
            middle, low, high = value
            ends = "" if low is None and high is None else f" ({_end(low)} to {_end(high)})"
            return f"{_end(middle)}{ends}"
        case Kind.USD:
            return _dollars(value)
        case Kind.SPAN:
            return " to ".join(_dollars(each) for each in value)
        case Kind.COUNT:
            return f"{value:g}"
        case Kind.SHARE:
            return f"{value:.0%}"
        case _:
            return str(value)


def milli(value: float) -> str:
    """Milliseconds with three digits that count.

    >>> milli(0.1234), milli(12.345), milli(150.04), milli(-0.0)
    ('0.123', '12.3', '150', '0')
    """
    return f"{value + 0.0:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _end(value: float | None) -> str:
    return "?" if value is None else milli(value)


def _dollars(value: float) -> str:
    return f"-{money(-value)}" if value < 0 else money(value)
