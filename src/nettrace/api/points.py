"""Raw rounds and buckets as points of a history: thousands at once, column by column."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from nettrace.api import schema
from nettrace.api.shapes import loss
from nettrace.hub import query
from nettrace.model.instant import Instant, ms
from nettrace.store.rows import Columns, RawColumns

FIELDS = (
    "outcome", "reason", "rtt_ns", "min_ns", "max_ns", "error_ns", "sent", "received", "hop_count", "route", "id",
)  # fmt: skip
"""What of a round a point shows, beside its series and when it was due."""

_STEP_NS = 100
_STEPS_PER_MS = 10_000


def points(rounds: RawColumns) -> list[schema.RawRow]:
    """The rounds, of `FIELDS`, as rows of an answer."""
    at, rtt_ms = instants(rounds.due), milliseconds(rounds.rtt_ns)
    names = {series: (series.vantage, series.endpoint, series.method.value) for series in set(rounds.series)}
    losses = {pair: loss(*pair) for pair in set(zip(rounds.sent, rounds.received, strict=True))}
    return list(
        map(
            schema.RawRow,
            at,
            [names[series][0] for series in rounds.series],
            [names[series][1] for series in rounds.series],
            [names[series][2] for series in rounds.series],
            rounds.outcome,
            rounds.reason,
            rtt_ms,
            _same_or(rounds.min_ns, rounds.rtt_ns, rtt_ms),
            _same_or(rounds.max_ns, rounds.rtt_ns, rtt_ms),
            milliseconds(rounds.error_ns),
            rounds.sent,
            rounds.received,
            [losses[pair] for pair in zip(rounds.sent, rounds.received, strict=True)],
            rounds.hop_count,
            rounds.route,
            rounds.id,
            rtt_ms,
            rounds.route,
            at,
        )
    )


def bucket_points(buckets: Columns, make: type[Any]) -> list[Any]:
    """All buckets of a series as rows of an answer; `make` is their shape, its percentiles those that are shown."""
    series = buckets.series
    fields: Sequence[str] = make.__struct_fields__
    shown = {f"{name.replace('.', '_')}_ms": values for name, values in buckets.quantiles_ns.items()}
    shown |= {
        "min_ms": buckets.min_ns, "mean_ms": buckets.mean_ns, "max_ms": buckets.max_ns,
        "rtt_ms": buckets.quantiles_ns["p50"],
    }  # fmt: skip
    in_ms = _all_milliseconds({name: values for name, values in shown.items() if name in fields})
    at = instants(buckets.start)
    probes = list(zip(buckets.sent, buckets.received, strict=True))
    losses = {pair: loss(*pair) for pair in set(probes)}
    columns: dict[str, Iterable[Any]] = {
        "at": at, "region": repeat(series.vantage), "endpoint": repeat(series.endpoint),
        "method": repeat(series.method.value),
        "outcome": [query.bucket_outcome(buckets, place).value for place in range(len(at))],
        "rounds": buckets.rounds, "measured": buckets.measured, "failed": buckets.failed,
        "not_measured": buckets.not_measured, "sent": buckets.sent, "received": buckets.received,
        "loss": [losses[pair] for pair in probes], "total_rtt": in_ms["rtt_ms"], "timestamp": at, **in_ms,
    }  # fmt: skip
    return list(map(make, *(columns.get(name, repeat(None)) for name in fields)))


def _all_milliseconds(columns: Mapping[str, Sequence[int | None]]) -> dict[str, list[float | None]]:
    """`milliseconds` of columns of one length, in one go."""
    found = milliseconds(list(chain.from_iterable(columns.values())))
    length = len(found) // max(1, len(columns))
    return {name: found[at * length : (at + 1) * length] for at, name in enumerate(columns)}


def instants(values: Sequence[Instant]) -> list[str]:
    """`model.instant.rfc3339` of many.

    >>> instants([1_767_225_600_000_001_999])
    ['2026-01-01T00:00:00.000001Z']
    """
    us: npt.NDArray[np.int64] = np.array(values, np.int64) // 1000
    return np.datetime_as_string(us.view("M8[us]"), timezone="UTC").tolist()


def milliseconds(values: Sequence[int | None]) -> list[float | None]:
    """`model.instant.ms` of many.

    >>> milliseconds([10_012_345, None])
    [10.0123, None]
    """
    if all(each is None for each in values):
        return [None] * len(values)
    ns = np.array([-1 if each is None else each for each in values], np.int64)
    found: list[float | None] = ((ns + _STEP_NS // 2) // _STEP_NS / _STEPS_PER_MS).tolist()
    for place in np.flatnonzero(
        (ns < 0) | (ns % _STEP_NS == _STEP_NS // 2)
    ).tolist():  # ties as Python rounds them
        found[place] = ms(values[place])
    return found


def _same_or(
    values: list[int | None], others: list[int | None], shown: list[float | None]
) -> list[float | None]:
    """`milliseconds` of these, which are `shown` when they are those: a round of one probe."""
    return shown if values == others else milliseconds(values)
