"""Words for the numbers of a plan: money, latencies, how sure it is, what would change it."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
_ALIKE = 1e-9


def money(usd: float | None) -> str:
    """Dollars for a person: cents only where there are any.

    >>> money(60.0), money(1234.5), money(0.004), money(-0.0), money(None)
    ('$60', '$1,234.50', '$0.004', '$0', '-')
    """
    if usd is None:
        return "-"
    usd += 0.0  # no minus before nothing
    if 0 < abs(usd) < 0.01:
        return f"${usd:.3g}"
    return f"${usd:,.0f}" if abs(usd - round(usd)) < _ALIKE else f"${usd:,.2f}"


def latency(p50: float | None, low: float | None, high: float | None) -> str:
    """A latency with its interval.

    >>> latency(2.4, 2.1, 3.0), latency(2.4, None, None), latency(None, None, None)
    ('2.4 ms (2.1 to 3)', '2.4 ms (no interval)', '-')
    """
    if p50 is None:
        return "-"
    if low is None and high is None:
        return f"{p50:g} ms (no interval)"
    return f"{p50:g} ms ({'?' if low is None else f'{low:g}'} to {'?' if high is None else f'{high:g}'})"


def verdict(plan: Document) -> str:
    """How sure it is that nothing is better, in a sentence."""
    if plan["status"] == "optimal":
        return "Proven: no choice of sites costs less."
    bound, gap = money(plan["bound_usd_month"]), 100 * plan["gap"]
    return f"Not proven: time ran out. No choice costs less than {bound} a month, so at most {gap:.2g}% could be saved."


def flip_words(flip: Document) -> str:
    """One number that can change the choice, as a sentence's beginning."""
    number, now, then = flip["number"], flip["now"], flip["flips_at"]
    if number == "site_price":
        return f"{flip['site']} costs {money(then)} instead of {money(now)} a month"
    if number == "moving":
        return f"moving to or from {flip['site']} costs {money(then)} instead of {money(now)} once"
    if number == "venue_weight":
        return f"a millisecond to {flip['venue']} is worth {money(then)} instead of {money(now)} a month"
    return f"{flip['site']} to {flip['venue']} takes {then:.4g} ms instead of {now:.4g} ms"
