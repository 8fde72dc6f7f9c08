"""Old series through today's detectors: rows in, signals out, in order and without looking ahead."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Protocol, runtime_checkable

from nettrace.analysis.signals.detector import Detector
from nettrace.errors import Invalid
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Observation, Signal, Tier

LATEST_S = 9_000_000_000
"""The year 2255: later Unix seconds are some other unit."""
LONGEST_MS = 86_400_000.0
"""A day: a longer round trip is an error of units."""


class Show(StrEnum):
    """Which statements of a replay are wanted.

    `tentative`: each event once, when it is first proven. `confirmed`: each event once, when it is confirmed; detectors
    without tiers say everything confirmed. `all`: everything, updates too.
    """

    TENTATIVE = "tentative"
    CONFIRMED = "confirmed"
    ALL = "all"


@runtime_checkable
class Comparing(Protocol):
    """A detector that looks at a second series too."""

    def beside(self, observation: Observation) -> None:
        """Remember what the other series did."""
        ...


def replay(
    observations: Iterable[Observation],
    detectors: Sequence[Detector],
    show: Show = Show.TENTATIVE,
    against: Iterable[Observation] = (),
) -> Iterator[Signal]:
    """What the detectors say of the series, each signal as soon as its proof has been read.

    Detectors that compare get `against`, the other series, up to and including each instant first.
    """
    comparing = [each for each in detectors if isinstance(each, Comparing)]
    others = iter(against)
    other = next(others, None)
    for observation in observations:
        while other is not None and other.at <= observation.at:
            for each in comparing:
                each.beside(other)
            other = next(others, None)
        for each in detectors:
            for signal in each.feed(observation):
                if wanted(signal, show):
                    yield signal


def wanted(signal: Signal, show: Show) -> bool:
    """Whether `show` asks for this statement."""
    match show:
        case Show.ALL:
            return True
        case Show.CONFIRMED:
            return signal.tier is Tier.CONFIRMED
        case Show.TENTATIVE:
            return not signal.updates


def read_rows(lines: Iterable[str], on_late: Callable[[int], None] | None = None) -> Iterator[Observation]:
    """Observations from rows `t,rtt_ms`; a header, empty lines and lines that begin with `#` are passed over.

    `t` is Unix seconds or RFC 3339 (UTC where no zone is said). An RTT that is empty, `nan`, zero or negative is a lost
    probe; a time with no row is not measured. Further columns are passed over; `;` and tabs separate too. A row that is
    earlier than the row before it came late: it is passed over, and `on_late` gets its number.

    Raises:
        Invalid: a row that is none; with its number.

    >>> [row.rtt_ns for row in read_rows(["t,rtt_ms", "1480550400,31.25", "2016-12-01T00:01:00Z,"])]
    [31250000, None]
    """
    before: Instant | None = None
    headed = False
    for number, line in enumerate(lines, 1):
        text = line.strip().lstrip("\ufeff")
        if not text or text.startswith("#"):
            continue
        cells = _cells(text)
        try:
            row = Observation(*_read(cells))
        except ValueError:
            if before is None and not headed:
                headed = True
                continue
            raise Invalid(
                f"line {number} is no row 't,rtt_ms': {text[:60]!r}",
                "t is Unix seconds or RFC 3339, rtt_ms a number or empty",
            ) from None
        late = before is not None and row.at < before
        before = row.at
        if not late:
            yield row
        elif on_late:
            on_late(number)


def _cells(text: str) -> list[str]:
    separator = ";" if ";" in text else "\t" if "\t" in text else ","
    cells = [cell.strip().strip('"') for cell in text.split(separator)]
    return [cell.replace(",", ".") for cell in cells] if separator == ";" else cells


def _read(cells: list[str]) -> tuple[Instant, SampleState, int | None]:
    if len(cells) < 2:
        raise ValueError
    at = _instant(cells[0])
    rtt_ms = float(cells[1]) if cells[1] else 0.0
    if not isfinite(rtt_ms) or rtt_ms <= 0:
        if rtt_ms == float("inf"):
            raise ValueError
        return at, SampleState.LOST, None
    if rtt_ms > LONGEST_MS:
        raise ValueError
    return at, SampleState.ANSWERED, max(1, round(rtt_ms * NS_PER_MS))


def _instant(text: str) -> Instant:
    if text.isdigit() and int(text) < LATEST_S:
        return int(text) * NS_PER_S
    try:
        seconds = float(text)
    except ValueError:
        when = datetime.fromisoformat(text)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        return (int(when.timestamp()) * 1_000_000 + when.microsecond) * 1000
    if not isfinite(seconds) or abs(seconds) >= LATEST_S:
        raise ValueError
    return round(seconds * 1e6) * 1000
