"""`/metrics`: OpenMetrics text, made from memory. A target's lines are made again only when something new came of it.

Units are seconds, except in the names kept from the earlier system, which are in milliseconds. A value that was not
measured is left out: no line is "not measured", and `nettrace_target_up` tells it from "down".
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from threading import Lock

from nettrace import __version__
from nettrace.hub import query
from nettrace.hub.latest import Snapshot, measured_now, stale
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.target import RoundMethod, Series, Target
from nettrace.model.vantage import VantageState
from nettrace.runtime.openmetrics import END, escaped
from nettrace.store.rows import Latest

BOUNDS_NS = tuple(50_000 * 2**power for power in range(20))
"""Upper bounds of the histogram: 50 us x 2^n, up to 26 s."""
_LABELS = tuple(f"{bound / NS_PER_S:.10g}" for bound in BOUNDS_NS)

FAMILIES = {
    "nettrace_target_rtt_ms": ("gauge", "Newest measured round's median RTT in milliseconds."),
    "nettrace_target_hops": ("gauge", "Hops of the newest trace."),
    "nettrace_target_up": ("gauge", "1 when the newest round measured, 0 when it failed; absent when nobody measured."),
    "nettrace_target_loss_ratio": ("gauge", "Share of the newest round's probes that stayed unanswered."),
    "nettrace_round_age_seconds": ("gauge", "Age of the newest round, whatever its outcome."),
    "nettrace_rtt_seconds": ("histogram", "Answered probes of rounds seen by this process since the start of the hour."),
}  # fmt: skip
"""Families with lines for each target."""


class Histogram:
    """Answered probes by target and vantage, counted from the top of the hour as rounds come in."""

    def __init__(self) -> None:
        self.since: Instant = 0
        self._counted: dict[str, dict[str, _Counts]] = {}
        self._last: dict[Series, Instant] = {}
        self._lock = Lock()

    def take(self, rows: Iterable[Latest], now: Instant) -> None:
        """Count the rounds that are new and of this hour; in whatever thread."""
        hour = now - now % (3600 * NS_PER_S)
        with self._lock:
            if hour != self.since:
                self.since, self._counted = hour, {}
            for row in rows:
                newest, series = row.round, row.round.series
                if newest.due <= self._last.get(series, -1) or series.method is RoundMethod.TRACE:
                    continue
                self._last[series] = newest.due
                if newest.due >= hour:
                    own = self._counted.setdefault(series.target, {})
                    own.setdefault(series.vantage, _Counts()).add(newest.samples_ns)

    def lines(self, target: str, name: str) -> list[str]:
        """The lines of one target."""
        made: list[str] = []
        with self._lock:
            for region, counts in sorted(self._counted.get(target, {}).items()):
                labels = f'host="{name}",region="{escaped(region)}"'
                total = 0
                for bound, count in zip((*_LABELS, "+Inf"), counts.buckets, strict=True):
                    total += count
                    made.append(f'nettrace_rtt_seconds_bucket{{{labels},le="{bound}"}} {total}')
                made.append(f"nettrace_rtt_seconds_count{{{labels}}} {total}")
                made.append(f"nettrace_rtt_seconds_sum{{{labels}}} {counts.sum_ns / NS_PER_S:.9g}")
                made.append(f"nettrace_rtt_seconds_created{{{labels}}} {self.since // NS_PER_S}")
        return made


class _Counts:
    """One histogram."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_NS) + 1)
        self.sum_ns = 0

    def add(self, samples_ns: Iterable[int | None]) -> None:
        for sample in samples_ns:
            if sample is not None:
                self.buckets[bisect_left(BOUNDS_NS, sample)] += 1
                self.sum_ns += sample


def exposition(
    snapshot: Snapshot, histogram: Histogram, now: Instant, calls_today: int, more: bytes = b""
) -> bytes:
    """All metrics, `more` families behind ours. Custom targets are nobody's business but their owner's and are left out."""
    targets = [target for target in measured_now(snapshot.targets.values()) if target.account is None]
    by_family: dict[str, list[bytes]] = {family: [] for family in FAMILIES}
    for target in targets:
        for family, made in by_family.items():
            text = snapshot.of_target(
                target.host,
                ("metrics", family, histogram.since),
                lambda target=target, family=family: _target_lines(snapshot, histogram, target, family),
            )
            if text:
                made.append(text)
    parts: list[bytes] = []
    for family, (kind, meaning) in FAMILIES.items():
        if family == "nettrace_round_age_seconds":
            parts.append(_family(family, kind, meaning, _ages(snapshot, targets, now)))
        else:
            parts.append(_head(family, kind, meaning) + b"".join(by_family[family]))
    parts.append(_hub(snapshot, targets, now, calls_today))
    return b"".join((*parts, more, END))


def _target_lines(snapshot: Snapshot, histogram: Histogram, target: Target, family: str) -> bytes:
    host = escaped(target.host)
    if family == "nettrace_rtt_seconds":
        return _text(histogram.lines(target.host, host))
    names = f'host="{host}",name="{escaped(target.name)}",category="{escaped(target.category)}"'
    lines: list[str] = []
    rows = query.speaking(snapshot, target)
    for row in rows:
        newest = row.round
        region = escaped(newest.series.vantage)
        where = f'host="{host}",region="{region}"'
        if family == "nettrace_target_rtt_ms" and newest.rtt_ns is not None and not stale(row, snapshot.at):
            lines.append(f'{family}{{{names},region="{region}"}} {newest.rtt_ns / 1e6:.6g}')
        elif (
            family == "nettrace_target_up"
            and newest.outcome is not Outcome.NOT_MEASURED
            and not stale(row, snapshot.at)
        ):
            lines.append(f"{family}{{{where}}} {int(newest.outcome is Outcome.MEASURED)}")
        elif family == "nettrace_target_loss_ratio" and newest.sent:
            lines.append(f"{family}{{{where}}} {(newest.sent - newest.received) / newest.sent:.6g}")
    if family == "nettrace_target_hops":
        for series, row in snapshot.newest.get(target.host, {}).items():
            own = series.method is RoundMethod.TRACE and series.endpoint == target.endpoints[0].name
            if own and row.round.hop_count is not None:
                region = escaped(series.vantage)
                lines.append(
                    f'{family}{{host="{host}",name="{escaped(target.name)}",region="{region}"}} {row.round.hop_count}'
                )
    return _text(lines)


def _ages(snapshot: Snapshot, targets: list[Target], now: Instant) -> list[str]:
    return [
        f'nettrace_round_age_seconds{{host="{escaped(target.host)}",region="{escaped(row.round.series.vantage)}"}} '
        f"{max(0, now - row.round.at) / NS_PER_S:.3f}"
        for target in targets
        for row in query.speaking(snapshot, target)
    ]


def _hub(snapshot: Snapshot, targets: list[Target], now: Instant, calls_today: int) -> bytes:
    changes = Counter(each.target for each in snapshot.events_1h if each.kind == "route_change")
    signals = Counter(each.kind for each in snapshot.events_1h if each.kind != "route_change")
    live = [each for each in snapshot.vantages.values() if each.state is not VantageState.REVOKED]
    ages = snapshot.ages(now)
    return b"".join(
        (
            _family("nettrace_targets_total", "gauge", "Targets that are watched.", [f"nettrace_targets_total {len(targets)}"]),
            _family(
                "nettrace_route_changes_1h", "gauge", "Route changes of the last hour.",
                [f"nettrace_route_changes_1h {changes.total()}"],
            ),
            _family(
                "nettrace_quant_signals_1h", "gauge", "Signals of the last hour.",
                [f"nettrace_quant_signals_1h {signals.total()}"],
            ),
            _family(
                "nettrace_signals_1h", "gauge", "Signals of the last hour by kind.",
                [f'nettrace_signals_1h{{kind="{escaped(kind)}"}} {count}' for kind, count in sorted(signals.items())],
            ),
            _family("nettrace_api_calls_today", "gauge", "Calls of all keys today.", [f"nettrace_api_calls_today {calls_today}"]),
            _family(
                "nettrace_vantage_up", "gauge", "1 when a vantage was heard within three minutes.",
                [f'nettrace_vantage_up{{region="{escaped(each.code)}"}} {int(not snapshot.down(each.code))}' for each in live],
            ),
            _family(
                "nettrace_vantage_round_age_seconds", "gauge", "Age of a vantage's newest round.",
                [
                    f'nettrace_vantage_round_age_seconds{{region="{escaped(code)}"}} {max(0.0, age):.3f}'
                    for code, age in ages.items() if age is not None
                ],
            ),
            _family(
                "nettrace_vantage_lost_records", "gauge", "Records a vantage's spool had to drop, all in all.",
                [f'nettrace_vantage_lost_records{{region="{escaped(each.code)}"}} {each.lost_records}' for each in live],
            ),
            _family("nettrace_live_seq", "gauge", "Newest number of the live log.", [f"nettrace_live_seq {max(0, snapshot.seq)}"]),
            _family("nettrace_build", "info", "Which program this is.", [f'nettrace_build_info{{version="{__version__}"}} 1']),
        )
    )  # fmt: skip


def _family(name: str, kind: str, meaning: str, lines: list[str]) -> bytes:
    return _head(name, kind, meaning) + _text(lines)


def _head(name: str, kind: str, meaning: str) -> bytes:
    return f"# TYPE {name} {kind}\n# HELP {name} {meaning}\n".encode()


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
