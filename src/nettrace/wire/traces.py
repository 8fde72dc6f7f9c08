"""`nettrace.trace/1` documents and RIPE Atlas traceroutes, read back as traces.

Only what the contract names is asked for; fields a writer left out count as not measured.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any

import msgspec

from nettrace.errors import Invalid, SourceError
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Method, Outcome, Reason, Sample, SampleState
from nettrace.model.path import Hop, Label, Place, StopReason, Trace
from nettrace.wire.atlas import Malformed, read_atlas

SCHEMA = "nettrace.trace/1"
Rtt = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
_LATEST_S = 253_402_300_799


class _Label(msgspec.Struct):
    label: int
    tc: int = 0
    s: bool = False
    ttl: int = 0


class _Place(msgspec.Struct):
    name: str
    lat: float
    lon: float
    radius_km: float
    country: str | None = None
    evidence: str = "given"


class _Hop(msgspec.Struct):
    ttl: Annotated[int, msgspec.Meta(ge=1, le=255)]
    address: str | None = None
    rtt_ms: list[Rtt | None] = []
    asn: int | None = None
    name: str | None = None
    place: _Place | None = None
    also: list[str] = []
    mpls: list[_Label] | None = None
    inferred_from: int = 0


class _Trace(msgspec.Struct, kw_only=True):
    schema: str
    target: str
    at: str | float
    vantage: str | int | None = None
    address: str | None = None
    method: Method = Method.ICMP
    flow: int = 0
    port: int | None = None
    outcome: Outcome = Outcome.MEASURED
    reason: Reason | None = None
    reached: bool = False
    stop: StopReason = StopReason.ABORTED
    rtt_ms: Rtt | None = None
    hops: list[_Hop] = []
    answered_from: str | None = None


def read_traces(lines: Iterable[str | bytes]) -> Iterator[Trace | Malformed]:
    """The traces of a file, in its order, with what could not be read and why.

    The first line that says something decides: a document with `schema` begins a file of `nettrace.trace/1` lines,
    all else is RIPE Atlas. Documents of other kinds are passed over.
    """
    rest = enumerate(lines)
    for skipped, line in rest:
        text = line if isinstance(line, str) else line.decode("utf-8", "replace")
        if text.strip():
            behind = chain([text], (line for _, line in rest))
            yield from _own(behind, skipped) if _has_schema(text) else _atlas(behind, skipped)
            return


def read_trace(document: object) -> Trace:
    """The trace a `nettrace.trace/1` document tells of.

    Raises:
        SourceError: it is no such document; says which field is wrong.
    """
    try:
        row = msgspec.convert(document, _Trace)
        at = instant_of(row.at)
    except (msgspec.ValidationError, Invalid) as problem:
        raise SourceError(str(problem).replace("$.", "")) from None
    if row.schema != SCHEMA:
        raise SourceError(f"a document of schema '{row.schema[:30]}' is no {SCHEMA}")
    return Trace(
        vantage=None if row.vantage is None else str(row.vantage),
        target=row.target,
        address=row.address,
        at=at,
        outcome=row.outcome,
        reason=row.reason,
        method=row.method,
        flow=row.flow,
        port=row.port,
        reached=row.reached,
        stop=StopReason.REACHED if row.reached else row.stop,
        rtt_ns=_ns(row.rtt_ms) if row.reached else None,
        hops=tuple(_hop(hop) for hop in row.hops),
        answered_from=row.answered_from,
    )


def instant_of(text: str | float) -> Instant:
    """The instant that RFC 3339 text or seconds since 1970 name; text without an offset is UTC.

    Raises:
        Invalid: it names none.

    >>> instant_of("2026-01-01T00:00:00Z") == instant_of(1767225600) == instant_of("1767225600.0")
    True
    """
    try:
        seconds = float(text)
    except ValueError:
        return _of_text(str(text))
    if not 0 <= seconds <= _LATEST_S:
        raise Invalid(f"{text} is no time", "Say seconds since 1970 or RFC 3339")
    return round(seconds * NS_PER_S)


def _of_text(text: str) -> Instant:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(f"'{text[:40]}' is no time", "Say seconds since 1970 or RFC 3339") from None
    whole = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(whole.replace(microsecond=0).timestamp()) * NS_PER_S + whole.microsecond * 1000


def _own(lines: Iterable[str | bytes], skipped: int) -> Iterator[Trace | Malformed]:
    for number, line in enumerate(lines, skipped + 1):
        if not line.strip():
            continue
        try:
            row: Any = msgspec.json.decode(line)
            if isinstance(row, dict) and str(row.get("schema", SCHEMA)) != SCHEMA:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
                continue
            yield read_trace(row)  # pyright: ignore[reportUnknownArgumentType]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            yield Malformed(number, f"not JSON: {problem}")
        except SourceError as problem:
            yield Malformed(number, problem.detail)


def _atlas(lines: Iterable[str | bytes], skipped: int) -> Iterator[Trace | Malformed]:
    for item in read_atlas(lines):
        if isinstance(item, Malformed):
            yield Malformed(item.line + skipped, item.why)
        elif isinstance(item.measurement, Trace):
            yield item.measurement


def _has_schema(text: str) -> bool:
    try:
        row: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(row, dict) and "schema" in row


def _place(place: _Place) -> Place:
    return Place(
        name=place.name, latitude=place.lat, longitude=place.lon, country=place.country, radius_km=place.radius_km,
        evidence=place.evidence,
    )  # fmt: skip


def _hop(hop: _Hop) -> Hop:
    samples = tuple(
        Sample(state=SampleState.LOST if rtt is None else SampleState.ANSWERED, rtt_ns=_ns(rtt))
        for rtt in hop.rtt_ms
    )
    return Hop(
        ttl=hop.ttl,
        address=hop.address,
        samples=samples,
        also=tuple(hop.also),
        labels=tuple(Label(each.label, each.tc, each.s, each.ttl) for each in hop.mpls or ()),
        inferred_from=hop.inferred_from,
        asn=hop.asn,
        name=hop.name,
        place=None if hop.place is None else _place(hop.place),
    )


def _ns(rtt_ms: float | None) -> int | None:
    return None if rtt_ms is None else round(rtt_ms * NS_PER_MS)
