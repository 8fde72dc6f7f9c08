"""Estimates from ends that see the world alike, wherever they stand: no coordinates are needed.

If c is to everybody about 4 % farther than a is, then a to b is c to b less 4 %. The difference of two ends is the median
of the differences of their logarithms over all ends that both were measured to; how much these scatter says how far to
trust it. Of the twins of both ends the most trusted dozen vote by a weighted median.
"""

import numpy as np

from nettrace.placement.estimates.kriging import OFFSET_MS, Floats

LEAST_SHARED = 4
_TWINS = 12
_TRUST = 0.01


class Twins:
    """The square of what is known, n x n logarithms of (ms + 3), nan where nothing is."""

    def __init__(self, known: Floats) -> None:
        self.known = known
        self._kept: dict[int, tuple[Floats, Floats]] = {}

    def about(self, a: int, b: int, *, hidden: bool = False) -> tuple[float, float, list[int]] | None:
        """Logarithm of (ms + 3), its spread and the ends it rests on; None when nothing resembles either end.

        `hidden`: as if the pair itself were unknown.
        """
        if not hidden:
            return self._vote(a, b)
        kept = self.known[a, b]
        self.known[a, b] = self.known[b, a] = np.nan
        cached, self._kept = self._kept, {}
        try:
            return self._vote(a, b)
        finally:
            self.known[a, b] = self.known[b, a] = kept
            self._kept = cached

    def _vote(self, a: int, b: int) -> tuple[float, float, list[int]] | None:
        by_a, scatter_a = self._profile(a)
        by_b, scatter_b = self._profile(b)
        says = np.concatenate([self.known[:, b] + by_a, self.known[a, :] + by_b])
        scatter = np.concatenate([scatter_a, scatter_b]) + _TRUST
        usable = np.flatnonzero(~np.isnan(says) & ~np.isnan(scatter))
        if not len(usable):
            return None
        best = usable[np.argsort(scatter[usable], kind="stable")[:_TWINS]]
        says, weight = says[best], scatter[best] ** -2.0
        order = np.argsort(says, kind="stable")
        running = np.cumsum(weight[order])
        middle = float(says[order][np.searchsorted(running, running[-1] / 2)])
        mean = (weight * says).sum() / weight.sum()
        spread = np.sqrt((weight * (says - mean) ** 2).sum() / weight.sum() + 0.3 / weight.max())
        return middle, float(spread), [int(at) % len(self.known) for at in best]

    def _profile(self, at: int) -> tuple[Floats, Floats]:
        """What to add to each other end's logarithms to get this one's, and how much that scatters."""
        if at not in self._kept:
            apart = self.known[at][None, :] - self.known
            apart[:, at] = np.nan
            shared = (~np.isnan(apart)).sum(1)
            enough = np.flatnonzero(shared >= LEAST_SHARED)
            shift = np.full(len(self.known), np.nan)
            scatter = np.full(len(self.known), np.nan)
            if len(enough):
                near = apart[enough]
                shift[enough] = np.nanmedian(near, 1)
                scatter[enough] = 1.4826 * np.nanmedian(abs(near - shift[enough][:, None]), 1)
                scatter[enough] *= np.sqrt(1 + 2 / shared[enough])
            scatter[at] = np.nan
            self._kept[at] = shift, scatter
        return self._kept[at]


def square(size: int, pairs: "np.ndarray", ms: Floats) -> Floats:
    """The square of logarithms; of several rows of a pair the mean."""
    total, count = np.zeros((size, size)), np.zeros((size, size))
    for one, other in ((0, 1), (1, 0)):
        np.add.at(total, (pairs[:, one], pairs[:, other]), np.log(ms + OFFSET_MS))
        np.add.at(count, (pairs[:, one], pairs[:, other]), 1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
