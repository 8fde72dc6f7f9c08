"""RIPE Atlas ping and traceroute results as `Ping` and `Trace`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from nettrace.errors import SourceError
from nettrace.model.measurement import Clock, Measurement, Method, Outcome, Ping, Reason, Sample
from nettrace.model.path import Hop, Label, StopReason, Trace
from nettrace.wire.atlas_result import (
    LOST,
    UNKNOWN,
    Count,
    Head,
    Milliseconds,
    address,
    answered,
    meaning,
    read,
    unsent,
    verdict,
)

LAST_TTL = 255
"""After a gap Atlas sends one last round with the highest TTL, to see whether the destination answers at all."""

GAP_HOPS = 5
"""Silent hops in a row after which Atlas gives up."""

_PROTOCOLS = {"ICMP": Method.ICMP, "UDP": Method.UDP, "TCP": Method.TCP}
_PORT_UNREACHABLE = "p"
_ANNOTATIONS = {"N": "!N", "H": "!H", "A": "!X", "P": "!P", _PORT_UNREACHABLE: None}


class _Packet(msgspec.Struct, kw_only=True):
    rtt: Milliseconds | None = None
    x: str | None = None
    error: str | None = None
    dup: Any = None
    late: Any = None


class _Ping(Head, kw_only=True):
    addr: str | None = None
    name: str | None = None
    proto: str = "ICMP"
    sent: Count | None = None
    rcvd: Count | None = None
    min: float = -1  # Atlas writes -1 where nothing came back
    max: float = -1
    result: list[_Packet] | None = None


class _Entry(msgspec.Struct):
    label: Count | None = None
    exp: int = 0
    s: int = 0
    ttl: int = 0


class _Object(msgspec.Struct, rename={"kind": "class"}):
    kind: int = 0
    type: int = 0
    mpls: list[_Entry] = []


class _Extensions(msgspec.Struct):
    obj: list[_Object] = []


class _Answer(_Packet, rename={"source": "from"}, kw_only=True):
    source: str | None = None
    ttl: int | None = None
    ittl: int | None = None
    err: str | int | None = None
    mtu: int | None = None
    icmpext: _Extensions | None = None


class _Hop(msgspec.Struct, kw_only=True):
    hop: int | None = None
    error: str | None = None
    result: list[_Answer] = []


class _Traceroute(Head, kw_only=True):
    proto: str = "UDP"
    paris_id: int = 0
    src_addr: str | None = None
    result: list[_Hop] | None = None


def ping(row: dict[str, Any]) -> list[Measurement | SourceError]:
    """A ping result. Late and doubled answers are left out; firmware before 4470 gives no single answers."""
    result = read(row, _Ping)
    where = address(result.dst_addr or result.addr)
    if result.result is None:
        samples, note = _summary(result)
    else:
        samples, note = tuple(sample for packet in result.result for sample in _sample(packet)), None
    outcome, reason, detail = verdict(samples)
    return [
        Ping(
            vantage=result.vantage,
            target=result.dst_name or result.name or where or UNKNOWN,
            address=where,
            at=result.at,
            outcome=outcome,
            reason=reason,
            detail=note or detail,
            method=_method(result.proto),
            samples=samples,
            clock=Clock.USER,
        )
    ]


def traceroute(row: dict[str, Any]) -> list[Measurement | SourceError]:
    """A traceroute result. `flow` is its Paris id; late answers belong to earlier probes and are left out."""
    result = read(row, _Traceroute)
    where = address(result.dst_addr)
    rounds = result.result or []
    errors = [entry.error for entry in rounds if entry.error]
    hops = [_hop(entry, where) for entry in rounds if entry.hop is not None and entry.error is None]
    arrival = next((place for place, hop in enumerate(hops) if where and hop.address == where), None)
    reached = arrival is not None
    stop = StopReason.REACHED if reached else _stop(rounds, hops, errors)
    hops = hops[: arrival + 1] if arrival is not None else _without_last_resort(hops)
    outcome, reason = _trace_verdict(stop, hops, errors, address(result.src_addr))
    return [
        Trace(
            vantage=result.vantage,
            target=result.dst_name or where or UNKNOWN,
            address=where,
            at=result.at,
            outcome=outcome,
            reason=reason,
            detail=errors[0] if errors else None,
            method=_method(result.proto),
            flow=result.paris_id,
            reached=reached,
            stop=stop,
            rtt_ns=_fastest(rounds, hops[-1], where) if reached else None,
            hops=tuple(hops),
            path_mtu_bytes=min((hop.mtu_bytes for hop in hops if hop.mtu_bytes), default=None),
            clock=Clock.USER,
        )
    ]


def _summary(result: _Ping) -> tuple[tuple[Sample, ...], str | None]:
    """Firmware 0 and 1 report only how many came back and the fastest and slowest of them."""
    if result.sent is None or result.rcvd is None:
        raise SourceError("neither single answers nor their number are in the result")
    received = min(result.rcvd, result.sent)
    known = [answered(rtt) for rtt in (result.min, result.max) if rtt >= 0][:received]
    hidden = [unsent("answered, but the firmware did not report its time")] * (received - len(known))
    note = "the firmware reported only the fastest and the slowest answer: samples are not in sending order"
    return tuple(known + hidden + [LOST] * (result.sent - received)), note


def _sample(packet: _Packet) -> list[Sample]:
    if packet.dup or packet.late is not None:
        return []
    if packet.error is not None:
        return [unsent(packet.error)]
    if packet.rtt is not None:
        return [answered(packet.rtt)]
    return [LOST] if packet.x is not None else []


def _hop(entry: _Hop, destination: str | None) -> Hop:
    replies = [reply for reply in entry.result if reply.source and reply.late is None and not reply.dup]
    sources = list(dict.fromkeys(address(reply.source) for reply in replies))
    if destination in sources:
        sources.sort(key=lambda source: source != destination)
    first = next((reply for reply in replies if address(reply.source) == sources[0]), None)
    labels = next((found for reply in replies if (found := _labels(reply))), ())
    return Hop(
        ttl=entry.hop or 0,
        address=sources[0] if sources else None,
        samples=tuple(sample for reply in entry.result for sample in _sample(reply)),
        also=tuple(source for source in sources[1:] if source),
        labels=labels,
        annotation=next((note for reply in replies if (note := _annotation(reply.err))), None),
        reply_ttl=first.ttl if first else None,
        quoted_ttl=first.ittl if first else None,
        mtu_bytes=next((reply.mtu for reply in replies if reply.mtu), None),
    )


def _labels(reply: _Answer) -> tuple[Label, ...]:
    """MPLS label stacks; Atlas passes other extension objects on too, some of them quotes taken for objects."""
    if reply.icmpext is None:
        return ()
    stacks = [thing.mpls for thing in reply.icmpext.obj if (thing.kind, thing.type) == (1, 1)]
    return tuple(
        Label(entry.label, entry.exp, entry.s != 0, entry.ttl)
        for stack in stacks
        for entry in stack
        if entry.label is not None
    )


def _annotation(error: str | int | None) -> str | None:
    if error is None:
        return None
    return f"!<{error}>" if isinstance(error, int) else _ANNOTATIONS.get(error, f"!{error}")


def _stop(rounds: Sequence[_Hop], hops: Sequence[Hop], errors: Sequence[str]) -> StopReason:
    if errors or not hops:
        return StopReason.ABORTED
    if any(hop.annotation for hop in hops[-1:]):
        return StopReason.UNREACHABLE
    silent = all(hop.address is None for hop in hops[-GAP_HOPS:])
    return StopReason.GAP if silent or rounds[-1].hop == LAST_TTL else StopReason.MAX_TTL


def _without_last_resort(hops: list[Hop]) -> list[Hop]:
    """The hops, the last round with TTL 255 left out when it brought nothing: it is no place on the path."""
    return hops[:-1] if hops and hops[-1].ttl == LAST_TTL and hops[-1].address is None else hops


def _trace_verdict(
    stop: StopReason, hops: Sequence[Hop], errors: Sequence[str], here: str | None
) -> tuple[Outcome, Reason | None]:
    if stop is StopReason.REACHED:
        return Outcome.MEASURED, None
    if errors:
        return meaning(errors[0])
    if stop is StopReason.UNREACHABLE:
        if hops[-1].address == here:  # the probe's own kernel says that it found no next hop
            return Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN
        return Outcome.FAILED, Reason.UNREACHABLE
    samples = tuple(sample for hop in hops for sample in hop.samples)
    outcome, reason, _ = verdict(samples)
    return (Outcome.FAILED, Reason.TIMEOUT) if outcome is Outcome.MEASURED else (outcome, reason)


def _fastest(rounds: Sequence[_Hop], arrival: Hop, destination: str | None) -> int | None:
    """The fastest answer of the destination itself: at its TTL a router may have answered as well."""
    if not arrival.also:
        return min((s.rtt_ns for s in arrival.samples if s.rtt_ns is not None), default=None)
    there = next(entry for entry in rounds if entry.hop == arrival.ttl and entry.error is None)
    samples = [s for reply in there.result if address(reply.source) == destination for s in _sample(reply)]
    return min((s.rtt_ns for s in samples if s.rtt_ns is not None), default=None)


def _method(protocol: str) -> Method:
    if protocol.upper() not in _PROTOCOLS:
        raise SourceError(f"protocol '{protocol[:20]}' is not ICMP, UDP or TCP")
    return _PROTOCOLS[protocol.upper()]
