"""Rounds from the future: a node whose clock ran ahead must not hold the newest place of its series until then.

A round cannot be due after the hub has it. One that says so by more than clocks may differ takes the hub's time: the last of a
report is now, those before it keep their distances. What was done is said among the node's problems, where the fleet
page and `nettrace fleet` show it.
"""

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.vantage import Clock
from nettrace.wire.frames import Gap, Record, Report

SLACK_NS = 60 * NS_PER_S
"""What a clock may be ahead before anything is done: nodes keep within it, or say so (`vantage.clock`)."""


def in_hub_time(report: Report, clock: Clock | None, at: Instant) -> Report:
    """The report with nothing in it later than the hub's time, beyond the slack and the measured offset's error bar."""
    latest = at + SLACK_NS + (clock.error_ns if clock is not None else 0)
    ahead = [entry for entry in report.entries if isinstance(entry, Record) and entry.due > latest]
    if not ahead:
        return report
    by_ns = max(entry.due for entry in ahead) - at
    entries = tuple(_earlier(entry, by_ns) if _is_late(entry, latest) else entry for entry in report.entries)
    said = f"clock: {len(ahead)} rounds were stamped up to {by_ns / NS_PER_S:.0f} s in the future; they have the hub's time"
    return msgspec.structs.replace(report, entries=entries, problems=(*report.problems, said))


def _is_late(entry: Record | Gap, latest: Instant) -> bool:
    return isinstance(entry, Record) and entry.due > latest


def _earlier(entry: Record | Gap, by_ns: int) -> Record | Gap:
    if isinstance(entry, Gap):
        return entry
    measured = msgspec.structs.replace(entry.measurement, at=entry.measurement.at - by_ns)
    return msgspec.structs.replace(entry, due=entry.due - by_ns, measurement=measured)
