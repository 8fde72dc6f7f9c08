"""One series as rules see it: its newest rounds, its own past, and what each metric comes to.

A gap forgets the newest rounds: what comes after one has to prove itself anew, so neither a restart nor an outage of our
own can open anything. The past, from which derived thresholds come, is the answered rounds before the newest sixteen;
while a rule holds it stands still, for a day at most, so that a fault does not become the norm it is judged by.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import ceil

import msgspec

from nettrace.analysis.alerts.fact import RoundSeen
from nettrace.analysis.alerts.rule import Metric, Rule, duration_ns
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.target import Series

STALE_INTERVALS = 3
SLACK_NS = 30 * NS_PER_S
"""A series whose newest round is older than three intervals and half a minute says nothing of the present."""

MOST_ROUNDS = 512
LAG, PAST, LEAST_PAST, REFRESH = 16, 360, 60, 16
LEAST_MAD_SHARE, LEAST_MAD_NS = 0.02, 100_000
"""A series without jitter would alert on nothing: its deviation counts as 2 % of its median and 0.1 ms at least."""
FROZEN_NS = 86_400 * NS_PER_S


class Row(msgspec.Struct, array_like=True):
    """One counted round: `rtt_ns` None is a failed one."""

    due: Instant
    rtt_ns: int | None
    sent: int
    received: int


class Gauge(msgspec.Struct, kw_only=True):
    """What is remembered of one series."""

    series: Series
    interval_ns: int
    last_due: Instant = -1
    rows: list[Row] = []
    failed: int = 0
    ever: bool = False
    trouble: bool = False
    fresh: list[int] = []
    past: list[int] = []
    unread: int = 0
    usual_ns: int | None = None
    spread_ns: int = 0
    frozen_since: Instant | None = None

    def take(self, seen: RoundSeen, *, bad: bool, learn: bool) -> None:
        """Remember a round; `bad`: a rule holds for this series, `learn`: one is derived from its past."""
        reach = STALE_INTERVALS * max(self.interval_ns, seen.interval_ns) + SLACK_NS
        if self.last_due >= 0 and seen.due - self.last_due > reach:
            self.rows, self.failed = [], 0
        self.last_due, self.interval_ns = seen.due, seen.interval_ns
        self.trouble = seen.outcome is not Outcome.MEASURED
        if seen.outcome is Outcome.NOT_MEASURED:
            return
        answered = seen.outcome is Outcome.MEASURED
        self.failed = 0 if answered else self.failed + 1
        self.ever = self.ever or answered
        self.rows.append(Row(seen.due, seen.rtt_ns if answered else None, seen.sent, seen.received))
        if len(self.rows) > MOST_ROUNDS:
            del self.rows[: -MOST_ROUNDS // 2]
        if learn and answered and seen.rtt_ns is not None:
            self._learn(seen.rtt_ns, seen.due, bad=bad)

    def _learn(self, rtt_ns: int, at: Instant, *, bad: bool) -> None:
        self.frozen_since = (self.frozen_since or at) if bad else None
        if self.frozen_since is not None:
            if at - self.frozen_since > FROZEN_NS:
                self.fresh, self.past, self.usual_ns, self.frozen_since = [], [], None, None
            return
        self.fresh.append(rtt_ns)
        if len(self.fresh) <= LAG:
            return
        self.past.append(self.fresh.pop(0))
        del self.past[:-PAST]
        self.unread += 1
        if len(self.past) >= LEAST_PAST and (self.usual_ns is None or self.unread >= REFRESH):
            self.unread = 0
            middle = nearest_rank(self.past, 0.5)
            spread = nearest_rank([abs(each - middle) for each in self.past], 0.5)
            self.usual_ns = nearest_rank(self.past, 0.95)
            self.spread_ns = max(spread, round(LEAST_MAD_SHARE * middle), LEAST_MAD_NS)

    def forget(self) -> None:
        """Know of nothing but the past: what came last was no fact about the target."""
        self.rows, self.failed = [], 0

    def stale(self, now: Instant) -> bool:
        """True when its newest round says nothing of the present."""
        return now - self.last_due > STALE_INTERVALS * self.interval_ns + SLACK_NS

    def measure(self, rule: Rule, now: Instant, since: Instant) -> float | None:
        """What the rule's metric comes to, in its unit; None when too little is known.

        `since` is when alerting began, or went on after a pause: no age is counted from before it.
        """
        if rule.metric is Metric.AGE:
            return (now - max(self.last_due, since)) / self.interval_ns
        if not self.ever:
            return None
        if rule.metric is Metric.FAILED:
            return float(self.failed)
        start = self.last_due - max(duration_ns(rule.window), rule.least * self.interval_ns)
        rows = self.rows[bisect_right(self.rows, start, key=_due) :]
        if len(rows) < rule.least:
            return None
        return _of(rule.metric, rows, rule.least)

    def thresholds(self, rule: Rule) -> tuple[float, float] | None:
        """Where the rule begins to hold and where it is over, in its unit; None while the past is too short."""
        if rule.mads is None:
            above = rule.above or 0.0
            return above, 0.9 * above if rule.recover is None else rule.recover
        if self.usual_ns is None:
            return None
        usual, spread = self.usual_ns / NS_PER_MS, self.spread_ns / NS_PER_MS
        return usual + rule.mads * spread, usual + rule.mads / 2 * spread


def _due(row: Row) -> Instant:
    return row.due


def _of(metric: Metric, rows: Sequence[Row], least: int) -> float | None:
    if metric is Metric.ERRORS:
        return 100.0 * sum(row.rtt_ns is None for row in rows) / len(rows)
    if metric is Metric.LOSS:
        sent = sum(row.sent for row in rows)
        return 100.0 * (1 - sum(row.received for row in rows) / sent) if sent else None
    answered = [row.rtt_ns for row in rows if row.rtt_ns is not None]
    if len(answered) < least:
        return None
    return nearest_rank(answered, 0.5 if metric is Metric.P50 else 0.95) / NS_PER_MS


def nearest_rank(values: Sequence[int], share: float) -> int:
    """The quantile by nearest rank: the smallest value that so large a share does not exceed.

    >>> nearest_rank([5, 1, 3], 0.5)
    3
    """
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
