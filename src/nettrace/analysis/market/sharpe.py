"""What a Sharpe ratio is worth once it is known how many were tried.

Bailey and Lopez de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014), equations 1 and 2:
the best of N worthless rules has an expected Sharpe ratio above 0; a rule is worth what it has beyond that, given its
length, skewness and kurtosis.
"""

from math import e, sqrt
from statistics import NormalDist

import numpy as np

from nettrace.analysis.market.bars import Floats

EULER = 0.5772156649015329
_NORMAL = NormalDist()


def sharpe(returns: Floats) -> float:
    """Mean over standard deviation of returns a bucket (not annualised); 0 where nothing moved.

    >>> round(sharpe(np.array([0.01, 0.03])), 6)
    1.414214
    """
    if len(returns) < 2:
        return 0.0
    spread = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / spread if spread > 0 else 0.0


def expected_best(trials: int, variance: float) -> float:
    """The expected largest Sharpe ratio of so many worthless trials whose ratios have this variance.

    >>> expected_best(1, 1.0), round(expected_best(100, 1.0), 2)
    (0.0, 2.53)
    """
    if trials < 2:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / trials)
    second = _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * ((1 - EULER) * first + EULER * second)


def deflated(returns: Floats, trials: int, variance: float) -> float:
    """The probability that the true ratio is above what the best of `trials` worthless ones would show.

    Args:
        returns: net returns a bucket.
        trials: all that were ever tried.
        variance: of the trials' ratios, a bucket; not less than that of a worthless rule of this length is assumed.
    """
    count = len(returns)
    if count < 3:
        return 0.0
    ratio = sharpe(returns)
    spread = float(np.std(returns))
    if spread == 0:
        return 0.0
    scaled = (returns - np.mean(returns)) / spread
    skewness, kurtosis = float(np.mean(scaled**3)), float(np.mean(scaled**4))
    bar = expected_best(trials, max(variance, 1 / count))
    return beyond(ratio, bar, count, (skewness, kurtosis))


def beyond(ratio: float, bar: float, count: int, shape: tuple[float, float]) -> float:
    """The probability that the true ratio is above a bar, of so many returns of this skewness and kurtosis (3 is normal).

    The paper's own example: 2.5 a year seen over 1250 days, 100 trials, variance 1/2 a year, skewness -3, kurtosis 10.

    >>> bar = expected_best(100, 0.5 / 250)
    >>> round(bar, 4), round(beyond(2.5 / 250**0.5, bar, 1250, (-3, 10)), 3)
    (0.1132, 0.9)
    """
    skewness, kurtosis = shape
    doubt = 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2
    return _NORMAL.cdf((ratio - bar) * sqrt(count - 1) / sqrt(max(doubt, 1e-12)))
