"""Globalping's public REST shapes (API v1): what is asked, and what its answers are as measurements.

Source: the published OpenAPI 3.1 description of api.globalping.io, read November 2026. Globalping's probes time in user
space and state no error bar: every sample is of grade U and every clock `user`.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from nettrace.errors import SourceError
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import (
    Clock,
    Grade,
    HttpExchange,
    Measurement,
    Method,
    Outcome,
    Ping,
    Reason,
    Sample,
    Stage,
    Stages,
)
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.model.remote import Errand, RemoteResult, ThirdPartyProbe
from nettrace.wire.atlas_result import LOST, Milliseconds, address, answered, meaning, verdict
from nettrace.wire.globalping_request import CLOUD, MOST_PROBES

_BLOCKED = frozenset({403, 451})
_T = TypeVar("_T")
_PROGRAM_WORDS = {
    "enotfound": "name resolution", "eai_again": "name resolution", "econnrefused": "refused", "etimedout": "timeout",
}  # fmt: skip
"""What the probe's own program calls it, beside the words `wire.atlas_result` knows."""


class _Probe(msgspec.Struct, kw_only=True):
    country: str
    city: str
    asn: int
    network: str
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    tags: list[str] = []


class _Timing(msgspec.Struct):
    rtt: Milliseconds


class _Packets(msgspec.Struct):
    total: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    rcv: Annotated[int, msgspec.Meta(ge=0, le=1000)]


class _Hop(msgspec.Struct, rename="camel", kw_only=True):
    resolved_address: str | None = None
    resolved_hostname: str | None = None
    timings: list[_Timing] = []


class _Times(msgspec.Struct, rename="camel", kw_only=True):
    total: Milliseconds | None = None
    dns: Milliseconds | None = None
    tcp: Milliseconds | None = None
    tls: Milliseconds | None = None
    first_byte: Milliseconds | None = None


class _Tls(msgspec.Struct):
    protocol: str | None = None


class _Head(msgspec.Struct, rename="camel", kw_only=True):
    status: Literal["in-progress", "finished", "failed", "offline"]
    raw_output: str = ""
    resolved_address: str | None = None


class _PingResult(_Head, kw_only=True):
    stats: _Packets
    timings: list[_Timing]


class _TraceResult(_Head, kw_only=True):
    hops: list[_Hop]


class _HttpResult(_Head, rename="camel", kw_only=True):
    status_code: int
    timings: _Times
    tls: _Tls | None = None


class _Item(msgspec.Struct):
    probe: _Probe
    result: dict[str, Any]


class Created(msgspec.Struct, rename="camel"):
    """What a request for a measurement is answered with."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern="^[A-Za-z0-9_-]+$")]
    probes_count: Annotated[int, msgspec.Meta(ge=0, le=MOST_PROBES)]


class _Answer(msgspec.Struct, rename="camel", kw_only=True):
    status: str
    created_at: str
    results: list[dict[str, Any]]


class _Create(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(ge=0)]
    remaining: Annotated[int, msgspec.Meta(ge=0)]
    reset: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Measurements(msgspec.Struct):
    create: _Create


class _RateLimit(msgspec.Struct):
    measurements: _Measurements


class _Limits(msgspec.Struct, rename="camel"):
    rate_limit: _RateLimit


class Answer(msgspec.Struct, frozen=True):
    """A measurement so far.

    Attributes:
        finished: no result changes any more.
        results: of each probe, in the service's order.
        pending: how many of them were still under way.
        malformed: what could not be read, in words.
    """

    finished: bool
    results: tuple[RemoteResult, ...]
    pending: int
    malformed: tuple[str, ...]


def read_created(raw: object) -> Created:
    """The measurement's number and how many probes took it. Raises SourceError on another shape."""
    return _shaped(raw, Created)


def read_limits(raw: object) -> tuple[int, int, int]:
    """(limit, remaining, seconds until the reset) of creating measurements; reset 0 before the first one."""
    create = _shaped(raw, _Limits).rate_limit.measurements.create
    return create.limit, create.remaining, create.reset


def read_answer(raw: object, errand: Errand) -> Answer:
    """The measurement as it stands: each probe's result as a `Measurement`, whatever became of it.

    Raises:
        SourceError: the answer as a whole has another shape; a single broken result is only named.
    """
    answer = _shaped(raw, _Answer)
    at = _instant(answer.created_at)
    results: list[RemoteResult] = []
    malformed: list[str] = []
    codes: dict[str, int] = {}
    pending = 0
    for number, row in enumerate(answer.results, 1):
        try:
            item = _shaped(row, _Item)
            probe = _probe(item, codes)
            pending += item.result.get("status") == "in-progress"
            results.append(RemoteResult(probe=probe, measurement=_measurement(item, probe.code, errand, at)))
        except SourceError as problem:
            malformed.append(f"result {number}: {problem.detail}")
    return Answer(answer.status != "in-progress", tuple(results), pending, tuple(malformed))


def _probe(item: _Item, codes: dict[str, int]) -> ThirdPartyProbe:
    """The probe with a code; Globalping's probes have no names, so two alike in one answer are counted."""
    raw = item.probe
    plain = "-".join(re.sub(r"[^a-z0-9]+", " ", raw.city.lower()).split()) or "unknown"
    country = _plain(raw.country)
    code = f"globalping:{plain}-{'-'.join(re.findall('[a-z]+', country.lower())) or 'xx'}-as{raw.asn}"
    codes[code] = codes.get(code, 0) + 1
    clouds = (CLOUD.fullmatch(tag) for tag in raw.tags)
    return ThirdPartyProbe(
        code=code if codes[code] == 1 else f"{code}-{codes[code]}",
        service="globalping",
        city=_plain(raw.city),
        country=country,
        asn=raw.asn,
        network=_plain(raw.network),
        latitude=raw.latitude,
        longitude=raw.longitude,
        region=next((f"{cloud[1]}:{cloud[2]}" for cloud in clouds if cloud), None),
    )


def _plain(text: str) -> str:
    """A stranger's words as one line without control characters: they end on somebody's terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[:500]).split())


def _measurement(item: _Item, code: str, errand: Errand, at: Instant) -> Measurement:
    head = _shaped(item.result, _Head)
    shared: dict[str, Any] = {
        "vantage": code, "target": errand.target, "address": address(head.resolved_address), "at": at,
    }  # fmt: skip
    if head.status == "finished":
        match errand.kind:
            case "ping":
                return _ping(_shaped(item.result, _PingResult), errand, shared)
            case "trace":
                return _trace(_shaped(item.result, _TraceResult), errand, shared)
            case "http":
                return _http(_shaped(item.result, _HttpResult), errand, shared)
    outcome, reason, detail = _unfinished(head)
    return empty(errand, {**shared, "outcome": outcome, "reason": reason, "detail": detail})


def empty(errand: Errand, shared: dict[str, Any]) -> Measurement:
    """A measurement of the errand's kind that has nothing but its verdict."""
    match errand.kind:
        case "ping":
            return Ping(**shared, method=errand.method, port=errand.port)
        case "trace":
            return Trace(
                **shared,
                method=errand.method,
                port=errand.port,
                flow=0,
                reached=False,
                stop=StopReason.ABORTED,
            )
        case "http":
            return HttpExchange(**shared, url=errand.url or "", stages=Stages())


def _unfinished(head: _Head) -> tuple[Outcome, Reason, str]:
    if head.status == "in-progress":
        return Outcome.NOT_MEASURED, Reason.ABORTED, "the probe had not finished when we stopped waiting"
    if head.status == "offline":
        return Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN, "the probe is offline"
    said = _plain(head.raw_output)[:200]
    known = next((words for code, words in _PROGRAM_WORDS.items() if code in said.lower()), said)
    outcome, reason = meaning(known)
    return outcome, reason, said or "the probe failed and does not say why"


def _ping(result: _PingResult, errand: Errand, shared: dict[str, Any]) -> Ping:
    """Only answered packets have timings: how many were lost is known, which ones is not."""
    received = [answered(timing.rtt) for timing in result.timings]
    samples = (*received, *(LOST,) * max(0, result.stats.total - len(received)))
    outcome, reason, detail = verdict(samples)
    if received and len(received) < len(samples):
        detail = "lost packets stand last: the service does not say which they were"
    return Ping(
        **shared, outcome=outcome, reason=reason, detail=detail, method=errand.method,
        port=(errand.port or 443) if errand.method is Method.TCP else None, samples=samples,
        clock=Clock.USER if received else None,
    )  # fmt: skip


def _trace(result: _TraceResult, errand: Errand, shared: dict[str, Any]) -> Trace:
    hops = tuple(_hop(ttl, hop) for ttl, hop in enumerate(result.hops, 1))
    where = shared["address"]
    arrival = next((place for place, hop in enumerate(hops) if where and hop.address == where), None)
    reached = arrival is not None
    hops = hops[: arrival + 1] if arrival is not None else _without_silent_end(hops)
    times = [sample.rtt_ns for sample in hops[-1].samples if sample.rtt_ns is not None] if reached else []
    return Trace(
        **shared, outcome=Outcome.MEASURED if hops else Outcome.FAILED,
        reason=None if hops else Reason.TIMEOUT, method=errand.method, flow=0,
        port=(errand.port or 443) if errand.method is Method.TCP else None, reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP, rtt_ns=min(times, default=None), hops=hops,
        detail=None if reached or not hops else "the destination did not answer",
        clock=Clock.USER if hops else None,
    )  # fmt: skip


def _hop(ttl: int, hop: _Hop) -> Hop:
    samples: tuple[Sample, ...] = tuple(answered(timing.rtt) for timing in hop.timings) or (LOST,)
    where = address(hop.resolved_address)
    named = hop.resolved_hostname if hop.resolved_hostname != hop.resolved_address else None
    return Hop(
        ttl=ttl,
        address=where,
        samples=samples if where else (LOST,),
        name=_plain(named) if named and where else None,
    )


def _without_silent_end(hops: Sequence[Hop]) -> tuple[Hop, ...]:
    last = max((hop.ttl for hop in hops if hop.address), default=0)
    return tuple(hops[:last])


def _http(result: _HttpResult, errand: Errand, shared: dict[str, Any]) -> HttpExchange:
    times = result.timings
    outcome, reason, detail = Outcome.MEASURED, None, None
    if result.status_code in _BLOCKED:
        outcome, reason = Outcome.FAILED, Reason.BLOCKED
        detail = f"the server answered {result.status_code}: it does not serve this place"
    elif result.status_code >= 500:
        outcome, reason, detail = Outcome.FAILED, Reason.HTTP, f"the server answered {result.status_code}"
    return HttpExchange(
        **shared, outcome=outcome, reason=reason, detail=detail, url=errand.url or "", status=result.status_code,
        tls_version=_plain(result.tls.protocol or "") or None if result.tls else None, clock=Clock.USER,
        stages=Stages(
            dns=_stage(times.dns), connect=_stage(times.tcp), tls=_stage(times.tls), ttfb=_stage(times.first_byte),
            total_ns=None if times.total is None else round(times.total * NS_PER_MS),
        ),
    )  # fmt: skip


def _stage(milliseconds: float | None) -> Stage | None:
    if milliseconds is None:
        return None
    return Stage(duration_ns=round(milliseconds * NS_PER_MS), error_ns=None, grade=Grade.USER)


def _instant(text: str) -> Instant:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SourceError(f"'{text[:40]}' is no time") from None
    if moment.tzinfo is None:
        raise SourceError(f"'{text[:40]}' has no time zone")
    return round(moment.timestamp() * 1000) * (NS_PER_S // 1000)


def _shaped(raw: object, shape: type[_T]) -> _T:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as problem:
        raise SourceError(f"Globalping's answer has another shape: {problem}") from None
