"""Raw rounds as points of a history: thousands at once, column by column."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nettrace.api import schema
from nettrace.api.shapes import loss
from nettrace.model.instant import Instant, ms
from nettrace.store.rows import RawColumns

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
