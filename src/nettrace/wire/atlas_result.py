"""What all RIPE Atlas results share: who measured when, in which units, and what its error texts mean.

Field names and units: RIPE Atlas "Data format" documentation, firmware 1 (1) to 5080. Numbers come as JSON
numbers or as strings, depending on the firmware; both are taken.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from math import isfinite
from typing import Annotated, Any, TypeVar

import msgspec

from nettrace.errors import SourceError
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade, Measurement, Outcome, Reason, Sample, SampleState

UNKNOWN = "?"
"""Stands where a result does not say what was asked for: some old firmware leaves the question out."""

LATEST_SECOND = 253_402_300_799

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Seconds = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]

_T = TypeVar("_T")


class Head(msgspec.Struct, kw_only=True):
    """The fields every result has.

    Attributes:
        fw: firmware of the probe; absent in the oldest results.
    """

    type: str
    prb_id: Annotated[int, msgspec.Meta(ge=1)]
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=LATEST_SECOND)]
    fw: int | None = None
    msm_id: int | None = None
    dst_name: str | None = None
    dst_addr: str | None = None

    @property
    def vantage(self) -> str:
        """Where it was measured: `atlas:` and the probe's number."""
        return f"atlas:{self.prb_id}"

    @property
    def at(self) -> Instant:
        """When it began, to the second."""
        return self.timestamp * NS_PER_S


class Imported(msgspec.Struct, frozen=True):
    """One measurement read from an Atlas result; a result that asked several servers gives several.

    Attributes:
        line: line of the file, or the result's number within one JSON document.
        measurement: with vantage `atlas:PROBE`, clock `user`, grade U and no error bar: Atlas states none.
        measurement_id: RIPE Atlas' number of the measurement, or None.
        firmware: of the probe, or None.
    """

    line: int
    measurement: Measurement
    measurement_id: int | None = None
    firmware: int | None = None


class Malformed(msgspec.Struct, frozen=True):
    """A line, or a result within a JSON document, that could not be read, and why."""

    line: int
    why: str


def read(row: dict[str, Any], shape: type[_T]) -> _T:
    """The result as `shape`. Raises SourceError that says which field is wrong."""
    try:
        return msgspec.convert(row, shape, strict=False)
    except msgspec.ValidationError as problem:
        raise SourceError(str(problem).replace("$.", "")) from None


def read_entry(raw: dict[str, Any], shape: type[_T]) -> _T | SourceError:
    """One entry of a result as `shape`, or what is wrong with it."""
    try:
        return read(raw, shape)
    except SourceError as problem:
        return problem


def kept(make: Callable[..., Measurement], *parts: object) -> Measurement | SourceError:
    """What `make` makes of `parts`, or what is wrong: one broken entry does not cost its neighbours."""
    try:
        return make(*parts)
    except SourceError as problem:
        return problem


def address(text: str | None) -> str | None:
    """An address in its one canonical form; None stays None. Raises SourceError on what is none."""
    return None if not text else _canonical(text)


@lru_cache(maxsize=65_536)
def _canonical(text: str) -> str:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        raise SourceError(f"'{text[:60]}' is not an IP address") from None


def nanoseconds(milliseconds: float | None, unit: int = NS_PER_MS) -> int | None:
    """Milliseconds (or other units) as whole nanoseconds; None stays None."""
    if milliseconds is None:
        return None
    if not isfinite(milliseconds):
        raise SourceError(f"{milliseconds} is no duration")
    return round(milliseconds * unit)


def answered(rtt_ms: float | None) -> Sample:
    """An answer timed by the probe's own program, with no error bar because Atlas gives none."""
    return Sample(state=SampleState.ANSWERED, rtt_ns=nanoseconds(rtt_ms), grade=Grade.USER)


LOST = Sample(state=SampleState.LOST)


def unsent(why: str) -> Sample:
    """A probe that did not leave the Atlas probe."""
    return Sample(state=SampleState.NOT_MEASURED, reason=why)


_MEANINGS: tuple[tuple[str, Outcome, Reason], ...] = (
    ("name resolution", Outcome.FAILED, Reason.DNS),
    ("getaddrinfo", Outcome.FAILED, Reason.DNS),
    ("name or service", Outcome.FAILED, Reason.DNS),
    ("not allowed", Outcome.NOT_MEASURED, Reason.NOT_PERMITTED),
    ("not permitted", Outcome.NOT_MEASURED, Reason.NOT_PERMITTED),
    ("permission denied", Outcome.NOT_MEASURED, Reason.NOT_PERMITTED),
    ("refused", Outcome.FAILED, Reason.REFUSED),
    ("timeout", Outcome.FAILED, Reason.TIMEOUT),
    ("timed out", Outcome.FAILED, Reason.TIMEOUT),
    # Said by the probe's own kernel when it has no route, which is far commoner than a router's "net unreachable".
    ("network is unreachable", Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN),
    ("no route to host", Outcome.FAILED, Reason.UNREACHABLE),
    ("host is unreachable", Outcome.FAILED, Reason.UNREACHABLE),
    ("connect error", Outcome.FAILED, Reason.UNREACHABLE),
)


def meaning(error: str) -> tuple[Outcome, Reason]:
    """What an error text says. What is not known to be the target's fault counts as not measured."""
    lower = error.lower()
    for part, outcome, reason in _MEANINGS:
        if part in lower:
            return outcome, reason
    return Outcome.NOT_MEASURED, Reason.ABORTED


def verdict(samples: tuple[Sample, ...]) -> tuple[Outcome, Reason | None, str | None]:
    """What a round of samples amounts to: (outcome, reason, detail)."""
    states = {sample.state for sample in samples}
    if SampleState.ANSWERED in states:
        return Outcome.MEASURED, None, None
    if SampleState.LOST in states:
        return Outcome.FAILED, Reason.TIMEOUT, None
    why = next((sample.reason for sample in samples if sample.reason), "no packets are in the result")
    outcome, reason = meaning(why)
    return outcome, reason, why
