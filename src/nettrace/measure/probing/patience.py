"""The longest a run can take, by its options: an end that does not depend on any machine finding its own."""

import time
from collections.abc import Callable
from math import ceil

from nettrace.measure.tracing.flight import LONGEST_WAIT_NS
from nettrace.measure.tracing.multipath import MultipathOptions
from nettrace.measure.tracing.ping import PingOptions
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.instant import NS_PER_S

SLACK_S = 30.0
"""For a host that stands still meanwhile."""

TRIES_AT_MOST = 8
"""More probes of one TTL than its answers wanted and its attempts: replacements and tries on lossy paths."""


class Patience:
    """Says when a run has to end: when `stop` says so, or when it took longer than it possibly can.

    Attributes:
        limit_s: the most it can take, in seconds.
        overdue: it took longer, which is a fault of this program and is told with the result.
    """

    def __init__(self, limit_s: float, stop: Callable[[], bool] | None) -> None:
        self.limit_s = limit_s
        self.overdue = False
        self._until = time.monotonic() + limit_s
        self._stop = stop

    def __call__(self) -> bool:
        """True when the run has to end now."""
        if self._stop is not None and self._stop():
            return True
        self.overdue = time.monotonic() > self._until
        return self.overdue

    @property
    def words(self) -> str:
        """What to tell of a measurement that did not end in time."""
        return f"not finished after {self.limit_s:.0f} s, more than these options can take: please report it"


def longest_ping_s(options: PingOptions, targets: int, several: int, rate_pps: float) -> float:
    """Seconds after which rounds of pings to `targets` addresses, `several` at once, are over in any case.

    >>> longest_ping_s(PingOptions(count=10, interval_ns=200_000_000, timeout_ns=2_000_000_000), 1, 1000, 1000.0)
    44.01
    """
    wait_ns = max(options.timeout_ns, LONGEST_WAIT_NS)
    each_s = (options.count * options.interval_ns + wait_ns) / NS_PER_S + 2
    return _whole(each_s, targets, options.count, several, rate_pps)


def longest_trace_s(options: TraceOptions, targets: int, several: int, rate_pps: float) -> float:
    """Seconds after which traces to `targets` addresses are over in any case: as if every TTL waited for the last."""
    tries = options.probes_per_hop + options.attempts + TRIES_AT_MOST
    ttls = options.max_ttl - options.first_ttl + 2
    pause_ns = options.retry_ns << options.attempts
    wait_ns = max(options.timeout_ns, options.longest_wait_ns) + options.hop_interval_ns
    each_s = ttls * (tries * wait_ns + pause_ns) / NS_PER_S
    return _whole(each_s, targets, tries * ttls, several, rate_pps)


def longest_multipath_s(options: MultipathOptions, targets: int, several: int, rate_pps: float) -> float:
    """As `longest_trace_s`, and then every probe of the budget by itself."""
    wait_ns = max(options.trace.timeout_ns, options.trace.longest_wait_ns) + options.slowest_ns
    further_s = options.total_budget * wait_ns / NS_PER_S
    alone_s = longest_trace_s(options.trace, targets, several, rate_pps)
    return alone_s + _whole(further_s, targets, options.total_budget, several, rate_pps)


def _whole(each_s: float, targets: int, probes: int, several: int, rate_pps: float) -> float:
    batches = ceil(targets / several)
    return round(batches * each_s + targets * probes / rate_pps + SLACK_S, 3)
