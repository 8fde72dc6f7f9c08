"""One STAMP session as its sender keeps it: what was sent, which answers are ours, and what both ways did to it. Pure.

A reflector that counts for itself (RFC 8762, 4.3, stateful) tells the two ways apart: what its count lacks was lost
on the way out, what we lack of its count on the way back. One closing packet behind the round settles the last ones
and fetches when the last reply really left (Follow-Up Telemetry, RFC 8972, 4.7).
"""

from collections.abc import Sequence
from statistics import median_low

import msgspec

from nettrace.errors import PacketError
from nettrace.measure.packets.stamp import (
    TLV_FOLLOW_UP,
    TLV_PADDING,
    UNRECOGNISED,
    ErrorEstimate,
    Reply,
    Request,
    Tlv,
    asked_follow_up,
    build_request,
    follow_up_in,
    instant_of,
    ntp_stamp,
    parse_reply,
)
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Clock, Grade, Outcome, Reason, Sample, SampleState, StampTest, Way

FIRST_TTL = 255
"""What STAMP packets are sent with, so that the TTL they arrive with tells the hops (RFC 8762, 4.2)."""

STAMPED_ERROR_NS = 18_000
"""Bar of a round trip whose four stamps are the kernels': two departures of 7 us, two arrivals of 1 us, rounding."""

USER_ERROR_NS = 200_000
"""Added where one of the stamps was taken by a program; a busy machine errs by more, so such a sample is grade U."""


class StampOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a session is run; `padding` more octets go into every packet as a TLV of RFC 8972."""

    count: int = 10
    interval_ns: int = 200 * NS_PER_MS
    timeout_ns: int = 2 * NS_PER_S
    padding: int = 0


class _Probe(msgspec.Struct):
    sent: int
    at: Instant
    left: Instant | None = None
    refused: str | None = None
    reply: Reply | None = None
    arrived: Instant = 0
    kernel: bool = False
    drift_ns: int | None = 0
    departed: Instant | None = None
    """When the reply left, by its reflector's kernel."""


class StampRound:
    """A session of a sender.

    Instants are UTC by this end's clock, corrected as far as it knows. Numbers are a probe's place; the closing packet
    is number `count`.

    Args:
        where: target, address and port.
        options: how many, how often.
        key: seals every packet, or None.
        session: the identifier all packets carry; not 0.
    """

    def __init__(
        self, where: tuple[str, str, int], options: StampOptions, key: bytes | None, session: int
    ) -> None:
        self.options = options
        self.rejected = 0
        self._where = where
        self._key = key
        self._session = session
        self._probes: list[_Probe] = []
        self._order: list[int] = []
        self._back_hops: list[int] = []
        self._follows = False
        self._peer: ErrorEstimate | None = None

    @property
    def length(self) -> int:
        """How many packets there are, the closing one included."""
        return self.options.count + 1

    def request(self, at: Instant, estimate: ErrorEstimate) -> bytes:
        """The octets of the next packet, which leaves about now."""
        request = Request(
            number=len(self._probes),
            sent=ntp_stamp(at),
            estimate=estimate,
            session=self._session,
            tlvs=(asked_follow_up(), *_padding(self.options.padding)),
        )
        self._probes.append(_Probe(request.sent, at))
        return build_request(request, self._key)

    def left(self, number: int, at: Instant) -> None:
        """The kernel's stamp of its departure."""
        if number < len(self._probes):
            self._probes[number].left = at

    def refused(self, number: int, why: str) -> None:
        """It did not leave."""
        self._probes[number].refused = why

    def heard(
        self, data: bytes, arrived: Instant, *, kernel: bool, ttl: int | None, drift_ns: Sequence[int | None]
    ) -> bool:
        """Take in what came to the session's socket; False when it is no answer to an open probe of ours.

        Args:
            data: the packet.
            arrived: when.
            kernel: whether the kernel stamped it.
            ttl: what it arrived with.
            drift_ns: for every packet sent so far, what slewing may have done to the clock since; None when it was set.
        """
        try:
            reply = parse_reply(data, self._key)
        except PacketError:
            self.rejected += 1
            return False
        number = reply.request_number
        probe = self._probes[number] if number < len(self._probes) else None
        if (
            probe is None
            or probe.reply is not None
            or reply.request_sent != probe.sent
            or reply.session not in {0, self._session}
        ):
            self.rejected += 1
            return False
        probe.reply, probe.arrived, probe.kernel, probe.drift_ns = reply, arrived, kernel, drift_ns[number]
        self._order.append(number)
        self._peer = _worse(self._peer, reply.estimate)
        if ttl is not None:
            self._back_hops.append(ttl)
        followed = follow_up_in(reply.tlvs)
        if followed is not None or any(not each.flags and each.kind == TLV_FOLLOW_UP for each in reply.tlvs):
            self._follows = True
        if followed is not None:
            self._depart(followed.number, followed.left, near=arrived)
        return True

    def waits_for(self, number: int) -> bool:
        """Whether that one left and has no answer yet."""
        probe = self._probes[number]
        return probe.refused is None and probe.reply is None

    def result(self, own: ErrorEstimate, *, complete: bool = True, detail: str | None = None) -> StampTest:
        """What is known now.

        Args:
            own: this end's clock.
            complete: every answer was waited for; else what is missing is no loss.
            detail: words for a person.
        """
        target, address, port = self._where
        probes = self._probes[: self.options.count]
        samples = tuple(self._sample(probe, complete=complete) for probe in probes)
        sent = sum(sample.state is not SampleState.NOT_MEASURED for sample in samples)
        answered = sum(sample.state is SampleState.ANSWERED for sample in samples)
        out, back = self._ways(probes)
        peer = self._peer
        refused = next((probe.refused for probe in probes if probe.refused), None)
        outcome = Outcome.MEASURED if answered else Outcome.FAILED if sent else Outcome.NOT_MEASURED
        reason = (
            None
            if answered
            else Reason.TIMEOUT
            if sent
            else Reason.NOT_PERMITTED
            if refused
            else Reason.ABORTED
        )
        kernel = all(sample.grade is Grade.KERNEL for sample in samples if sample.grade)
        return StampTest(
            target=target, address=address, port=port, at=probes[0].at if probes else 0, outcome=outcome,
            reason=reason, detail=detail or refused, authenticated=self._key is not None, samples=samples, out=out, back=back,
            residence_ns=tuple(self._residence_ns(probe) for probe in probes),
            own_error_ns=own.error_ns if own.synchronised else None,
            peer_error_ns=peer.error_ns if peer and peer.synchronised else None,
            rejected=self.rejected, clock=(Clock.KERNEL if kernel else Clock.MIXED) if answered else None,
        )  # fmt: skip

    # -- one probe -----------------------------------------------------------------------------------------

    def _sample(self, probe: _Probe, *, complete: bool) -> Sample:
        left = probe.left or probe.at
        if probe.refused is not None:
            return Sample(state=SampleState.NOT_MEASURED, reason=probe.refused)
        if probe.reply is None:
            if complete and probe.left is not None:
                return Sample(state=SampleState.LOST, sent_at=left)
            why = "the session ended before its answer could come" if probe.left else "nobody saw it leave"
            return Sample(state=SampleState.NOT_MEASURED, sent_at=left, reason=why)
        residence_ns = self._residence_ns(probe)
        if probe.drift_ns is None or residence_ns is None or probe.arrived - left < residence_ns:
            why = (
                "this host's clock was set meanwhile"
                if probe.drift_ns is None
                else "the reflector's stamps contradict the round trip"
            )
            return Sample(state=SampleState.NOT_MEASURED, sent_at=left, reason=why)
        stamped = probe.left is not None and probe.kernel and probe.departed is not None
        return Sample(
            state=SampleState.ANSWERED, sent_at=left, rtt_ns=probe.arrived - left - residence_ns,
            error_ns=STAMPED_ERROR_NS + probe.drift_ns + (0 if stamped else USER_ERROR_NS),
            grade=Grade.KERNEL if stamped else Grade.USER,
        )  # fmt: skip

    def _residence_ns(self, probe: _Probe) -> int | None:
        """How long the reflector held it; None of one unanswered, or with stamps that cannot be."""
        times = self._peer_times(probe)
        return times[1] - times[0] if times is not None and times[1] >= times[0] else None

    def _peer_times(self, probe: _Probe) -> tuple[Instant, Instant] | None:
        """When it arrived there and when its reply left, by the reflector's clock."""
        reply = probe.reply
        if reply is None:
            return None
        ptp = reply.estimate.ptp
        arrived = instant_of(reply.arrived, probe.arrived, ptp=ptp)
        return arrived, probe.departed or instant_of(reply.left, probe.arrived, ptp=ptp)

    def _depart(self, number: int, left: int, near: Instant) -> None:
        """The reply with the reflector's number `number` really left then."""
        for probe in reversed(self._probes):
            if probe.reply is not None and probe.reply.number == number:
                probe.departed = instant_of(left, near, ptp=probe.reply.estimate.ptp)
                return

    # -- both ways -----------------------------------------------------------------------------------------

    def _ways(self, probes: list[_Probe]) -> tuple[Way, Way]:
        sent = sum(probe.refused is None for probe in probes)
        answered = sum(probe.reply is not None for probe in probes)
        arrived = self._arrived_there(probes, sent, answered)
        out_order, back_order = self._reordered()
        out_delays: list[int | None] = []
        back_delays: list[int | None] = []
        for probe in probes:
            times = self._peer_times(probe) if probe.drift_ns is not None else None
            out_delays.append(times[0] - (probe.left or probe.at) if times else None)
            back_delays.append(probe.arrived - times[1] if times else None)
        ttls = [probe.reply.request_ttl for probe in probes if probe.reply and probe.reply.request_ttl]
        out = Way(
            sent=sent, received=arrived, reordered=out_order, delays_ns=tuple(out_delays), hops=_hops(ttls)
        )
        back = Way(
            sent=answered if arrived is None else arrived, received=None if arrived is None else answered,
            reordered=back_order, delays_ns=tuple(back_delays), hops=_hops(self._back_hops),
        )  # fmt: skip
        return out, back

    def _arrived_there(self, probes: list[_Probe], sent: int, answered: int) -> int | None:
        """How many of the probes reached the reflector, by its own count; None when nobody can tell."""
        if answered == sent:
            return sent
        if not self._stateful or not self._order:
            return None
        closing = self._probes[self.options.count] if len(self._probes) > self.options.count else None
        if closing is not None and closing.reply is not None:
            return max(answered, min(sent, closing.reply.number))
        return None  # those after its last reply may have been lost on either way

    @property
    def _stateful(self) -> bool:
        """Whether the reflector counts for itself: it knows its earlier replies, or its numbers are not ours."""
        return self._follows or any(
            probe.reply.number != number for number, probe in enumerate(self._probes) if probe.reply
        )

    def _reordered(self) -> tuple[int | None, int | None]:
        """Late packets on each way. Without the reflector's count only "none at all" can be told."""
        if not self._stateful:
            late = _late(self._order)
            return (0, 0) if not late and self._order else (None, None)
        numbers = [(probe.reply.number, number) for number, probe in enumerate(self._probes) if probe.reply]
        theirs = {number: reply for reply, number in numbers}
        return _late([number for _, number in sorted(numbers)]), _late(
            [theirs[number] for number in self._order]
        )


def _worse(known: ErrorEstimate | None, told: ErrorEstimate) -> ErrorEstimate:
    """What holds for all of a session: the widest error its reflector stated."""
    if known is None:
        return told
    kept = [each.error_ns for each in (known, told) if each.synchronised and each.error_ns is not None]
    return (
        ErrorEstimate(max(kept), synchronised=True)
        if len(kept) == 2
        else ErrorEstimate(None, synchronised=False)
    )


def _late(numbers: Sequence[int]) -> int:
    """How many come behind a greater one (RFC 4737, 4.2.1: Type-P-Reordered).

    >>> _late([0, 2, 1, 3]), _late([3, 0, 1])
    (1, 2)
    """
    late, most = 0, -1
    for number in numbers:
        late += number < most
        most = max(most, number)
    return late


def _hops(ttls: Sequence[int]) -> int | None:
    """Routers passed, by the usual TTL of arrival; None when the packets did not start with 255."""
    if not ttls:
        return None
    hops = FIRST_TTL - median_low(ttls)
    return hops if hops < 64 else None


def _padding(octets: int) -> tuple[Tlv, ...]:
    return (Tlv(UNRECOGNISED, TLV_PADDING, bytes(max(0, octets - 4))),) if octets > 0 else ()
