"""How far this node's clock is from the hub's, from the stamps of reports and their answers. Pure.

RFC 5905, section 8: with our stamps t0 (sent) and t3 (answer here) and the hub's t1 (arrived) and t2 (answer left),
the offset is ((t1 - t0) + (t2 - t3)) / 2 and lies within half of the delay (t3 - t0) - (t2 - t1) of the truth. A way
that is slow in one direction only moves the offset by less than that, so the quickest exchanges know best.
"""

from collections import deque
from statistics import median_low
from typing import NamedTuple

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.vantage import Clock

EXCHANGES_REMEMBERED = 32
BEST = 4
"""The offset is the median of so many exchanges: those with the least delay."""

STEP_NS = 100 * NS_PER_MS
"""Our UTC moved so far against our monotonic clock: what was learnt before is about another clock."""


STRETCH_NS = 300 * NS_PER_S
"""Of each so long stretch the quickest exchange is kept, to see the clocks drift apart ..."""
STRETCHES = 72
DRIFT_ERROR_PPM = 20.0
"""... which is told once both ends of the line are known as well as this over its length."""


class Exchange(NamedTuple):
    """The four stamps of one report and its answer, in UTC ns of whose clock took them."""

    sent_at: Instant
    received_at: Instant
    answered_at: Instant
    back_at: Instant


class Offset:
    """The offset so far.

    >>> offset = Offset()
    >>> offset.learn(Exchange(0, 1_010, 1_020, 40), monotonic=0)
    >>> offset.clock()
    Clock(offset_ns=995, error_ns=15, synchronised=None, drift_ppm=None)
    """

    def __init__(self) -> None:
        self._known: deque[tuple[int, int]] = deque(maxlen=EXCHANGES_REMEMBERED)
        self._anchor: int | None = None
        self._line: deque[tuple[int, int, int]] = deque(maxlen=STRETCHES)

    def learn(self, exchange: Exchange, monotonic: int) -> None:
        """Take in one exchange; `monotonic` is the steady clock at its end. Impossible ones teach nothing."""
        delay_ns = (exchange.back_at - exchange.sent_at) - (exchange.answered_at - exchange.received_at)
        if delay_ns < 0 or exchange.answered_at < exchange.received_at:
            return
        anchor = exchange.back_at - monotonic
        if self._anchor is not None and abs(anchor - self._anchor) > STEP_NS:
            self._known.clear()
            self._line.clear()
        self._anchor = anchor
        out, back = exchange.received_at - exchange.sent_at, exchange.answered_at - exchange.back_at
        self._known.append((delay_ns, (out + back) // 2))
        self._draw(monotonic, delay_ns, (out + back) // 2)

    def clock(self, *, synchronised: bool | None = None) -> Clock | None:
        """What is known, or None before the first exchange. The bar holds what all of the best exchanges allow."""
        if not self._known:
            return None
        best = sorted(self._known)[:BEST]
        offset_ns = median_low(offset for _, offset in best)
        low = max(offset - (delay + 1) // 2 for delay, offset in best)
        high = min(offset + (delay + 1) // 2 for delay, offset in best)
        if low > high:  # the clocks drifted apart meanwhile: then every one of them may be right
            low = min(offset - (delay + 1) // 2 for delay, offset in best)
            high = max(offset + (delay + 1) // 2 for delay, offset in best)
        error_ns = max(offset_ns - low, high - offset_ns)
        return Clock(
            offset_ns=offset_ns, error_ns=error_ns, synchronised=synchronised, drift_ppm=self._drift_ppm()
        )  # fmt: skip

    def _draw(self, monotonic: int, delay_ns: int, offset_ns: int) -> None:
        """The quickest exchange of each stretch of time."""
        if not self._line or monotonic // STRETCH_NS != self._line[-1][0] // STRETCH_NS:
            self._line.append((monotonic, delay_ns, offset_ns))
        elif delay_ns < self._line[-1][1]:
            self._line[-1] = (monotonic, delay_ns, offset_ns)

    def _drift_ppm(self) -> float | None:
        """The slope from the first known stretch to the last, where half their delays leave it that certain."""
        if len(self._line) < 2:
            return None
        (began, delay, offset), (ended, later, moved) = self._line[0], self._line[-1]
        if (delay + later) / 2 / (ended - began) * 1e6 > DRIFT_ERROR_PPM:
            return None
        return round((moved - offset) / (ended - began) * 1e6, 3)
