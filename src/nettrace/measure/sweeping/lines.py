"""A finished row of a sweep as a `Trace`, or straight as its `nettrace.trace/1` line.

The line of an everyday trace (reached, every hop timed or silent) is joined from pieces made once per path
length (half the time of one long format), without any object per hop; all others go through `trace` and `wire.documents`, which it must equal.
"""

from array import array
from collections.abc import Callable, Sequence
from sys import byteorder
from typing import NamedTuple

from nettrace.measure.kernel.clock import KERNEL_RECEIVE_ERROR_NS, KERNEL_SEND_ERROR_NS
from nettrace.measure.sweeping.replies import Addresses
from nettrace.measure.sweeping.targets import Pinned
from nettrace.measure.tracing.loop import loop_end
from nettrace.measure.tracing.meaning import annotation
from nettrace.measure.tracing.sweep import BEYOND, CLOSED, REACHED, REFUSED, Sweep
from nettrace.measure.tracing.sweep_table import INFERRED, LIMITED, LOST, UNSEEN, UNTIMED
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.model.measurement import Clock, Grade, Method, Outcome, Reason, Sample, SampleState
from nettrace.model.path import Hop, Reply, ReplyKind, StopReason, Trace

_UNTOLD = {
    LOST: Sample(state=SampleState.LOST),
    UNSEEN: Sample(state=SampleState.NOT_MEASURED, reason="not seen to leave, or this host stalled"),
    UNTIMED: Sample(state=SampleState.NOT_MEASURED, reason="the clock was set meanwhile"),
    INFERRED: Sample(state=SampleState.NOT_MEASURED, reason="not asked: inferred from other flows"),
    LIMITED: Sample(state=SampleState.NOT_MEASURED, reason="the router limits its answers"),
    0: Sample(state=SampleState.NOT_MEASURED, reason=Reason.ABORTED),
}
_HOP_TAIL = '],"name":null,"asn":null,"as_name":null,"place":null,"mpls":null}'
_TAIL = '],"answered_from":null,"path_mtu_bytes":null,"balances":[],"clock":"kernel","at":"'
_BAR = f"{(KERNEL_SEND_ERROR_NS + KERNEL_RECEIVE_ERROR_NS) / 1e6:.4f}"
_SURE = f'],"error_ms":[{_BAR}],"grades":["K"'
_SILENT = 'null],"error_ms":[null],"grades":[null'
_ARRIVED, _MEASURED = REACHED | CLOSED, Outcome.MEASURED
_FRAGMENTATION_NEEDED = (3, 4)
_NAMES, _RTT, _FIRST_ADDRESS, _AT = 1, 3, 5, -2
"""Which pieces of a line differ: from the first address on every second one, addresses and times in turn."""


class _Form(NamedTuple):
    """The line of a path of one length: its constant pieces, and a format of all its times."""

    pieces: list[str]
    numbers: str


class About(NamedTuple):
    """What all rows of a sweep have in common.

    Attributes:
        to_utc: turns the machine's instants into UTC.
        bracket_ns: half-width of departures the kernel did not stamp.
    """

    method: Method
    version: int
    port: int | None
    flow: int
    to_utc: Callable[[Instant], Instant]
    bracket_ns: Callable[[], int]


class Lines:
    """Reads finished rows of one sweep."""

    def __init__(self, sweep: Sweep, addresses: Addresses, about: About) -> None:
        self._sweep = sweep
        self._table = sweep.table
        self._addresses = addresses
        self._about = about
        self._single = sweep.options.probes_per_hop == 1
        self._texts = addresses.texts
        self._forms: dict[int, _Form] = {}
        self._moment = (-1, "")

    def line(self, row: int, pinned: Pinned) -> tuple[str, Outcome]:
        """The row's `nettrace.trace/1` document with a line feed, and its outcome."""
        table, sweep = self._table, self._sweep
        length = table.end[row]
        aside = row in sweep.loose or row in sweep.details or row in sweep.notes
        if sweep.flags[row] == _ARRIVED and length and self._single and not aside:
            start = row * table.width
            far, last = start + table.far_cell, start + length - 1
            found, rtt, home = table.found, table.rtt, table.home[row]
            direct, met = rtt[far], found[last]
            own = rtt[last] if met == home else 0
            if direct > 0 and found[far] == home and (own > 0 or not met):
                rtts = rtt[start:last].tolist()
                rtts.append(own or direct)
                worst = min(rtts)
                if worst >= UNSEEN:
                    rtts.append(min(direct, rtts[-1]))
                    return self._everyday(row, pinned, rtts, found[start:last], timed=worst > 0), _MEASURED
        trace = self.trace(row, pinned)
        return document_line(trace), trace.outcome

    def _everyday(
        self, row: int, pinned: Pinned, rtts: list[int], tokens: "array[int]", *, timed: bool
    ) -> str:
        """The line of a trace in which everybody answered (`timed`), or some were silent.

        `rtts` are those of the hops in ns, or LOST or UNSEEN, and then the target's own; `tokens` are the addresses
        of the hops before the target, whose own is known.
        """
        length = len(rtts) - 1
        texts = self._texts(tokens)
        texts.append(pinned[1] or "")
        form = self._forms.get(length if timed else -length) or self._form(length, timed=timed)
        pieces = form.pieces.copy()
        if timed:
            values = (form.numbers % tuple([each / 1e6 for each in rtts])).split(",")
        else:
            whose = (*tokens, True)
            texts = [f'"{text}"' if token else "null" for token, text in zip(whose, texts, strict=True)]
            values = [f"{each / 1e6:.4f}{_SURE}" if each > 0 else _SILENT for each in rtts]
            values[-1] = f"{rtts[-1] / 1e6:.4f}"
        pieces[_NAMES] = _names(pinned)
        pieces[_RTT] = values.pop()
        pieces[_FIRST_ADDRESS:_AT:4] = texts
        pieces[_FIRST_ADDRESS + 2 : _AT : 4] = values
        pieces[_AT] = self._at(self._table.begun[row])
        return "".join(pieces)

    def _form(self, length: int, *, timed: bool) -> "_Form":
        about = self._about
        head = '{"schema":"nettrace.trace/1","vantage":null,"target":"'
        said = (
            f'],"method":"{about.method}","port":{"null" if about.port is None else about.port},"flow":{about.flow},'
            '"outcome":"measured","reason":null,"detail":null,"reached":true,"stop":"reached","rtt_ms":'
        )
        quote, sure = ('"', _SURE) if timed else ("", "")
        pieces = [head, "", said, ""]
        before = ',"hops":['
        for ttl in range(1, length + 1):
            pieces += [f'{before}{{"ttl":{ttl},"address":{quote}', "", f'{quote},"rtt_ms":[', ""]
            before = f"{sure}{_HOP_TAIL},"
        pieces += [f"{sure}{_HOP_TAIL}{_TAIL}", "", '"}\n']
        form = _Form(pieces, ",".join(["%.4f"] * (length + 1)))
        return self._forms.setdefault(length if timed else -length, form)

    def _at(self, instant: Instant) -> str:
        utc = self._about.to_utc(instant)
        if utc != self._moment[0]:
            seconds, ns = divmod(utc, NS_PER_S)
            self._moment = (utc, f"{rfc3339(seconds * NS_PER_S)[:20]}{ns // 1000:06d}Z")
        return self._moment[1]

    # -- objects -------------------------------------------------------------------------------------------

    def trace(self, row: int, pinned: Pinned, *, aborted: bool = False) -> Trace:
        """The row as a `Trace`; `aborted` when it is read before its end."""
        table, flags = self._table, self._sweep.flags[row]
        reached = bool(flags & REACHED)
        length = table.end[row] or (
            self._sweep.options.max_ttl if reached and not aborted else table.horizon[row]
        )
        hops = [self._hop(row, ttl) for ttl in range(1, length + 1)]
        stop = self._stop(row, aborted=aborted)
        if reached and hops:
            hops[-1] = self._last(row, hops[-1])
        elif stop is StopReason.MAX_TTL or stop is StopReason.GAP:
            looped = loop_end([hop.address for hop in hops])
            if looped is not None:
                stop, hops = StopReason.LOOP, hops[: looped + 1]
        rtts = self._rtts(row, length) if reached else []
        samples = [sample for hop in hops for sample in hop.samples]
        outcome, reason = _verdict(stop, samples, hops, reached=reached)
        return Trace(
            target=pinned.target,
            address=pinned.address,
            resolved=pinned.resolved,
            at=self._about.to_utc(table.begun[row]),
            outcome=outcome,
            reason=reason,
            method=self._about.method,
            flow=self._about.flow,
            port=self._about.port,
            reached=reached,
            stop=stop,
            rtt_ns=min(rtts, default=None),
            hops=tuple(hops),
            answered_from=hops[-1].address
            if reached and hops and hops[-1].address != pinned.address
            else None,
            path_mtu_bytes=min((hop.mtu_bytes for hop in hops if hop.mtu_bytes), default=None),
            clock=_clock(samples),
        )

    def _rtts(self, row: int, length: int) -> list[int]:
        table = self._table
        far = row * table.width + table.far_cell
        cells = [far, *table.cells(row, length)] if length else [far]
        return [table.rtt[cell] for cell in cells if table.rtt[cell] > 0]

    def _last(self, row: int, hop: Hop) -> Hop:
        """The destination's hop; where only the direct question reached it, that answer stands there."""
        table = self._table
        far = row * table.width + table.far_cell
        if hop.address is not None or not table.found[far]:
            return hop
        sample = self._sample(row, far)
        return Hop(
            ttl=hop.ttl, address=self._addresses.text(table.found[far]), samples=(sample, *hop.samples[1:])
        )

    def _stop(self, row: int, *, aborted: bool) -> StopReason:
        flags, max_ttl = self._sweep.flags[row], self._sweep.options.max_ttl
        if flags & REACHED:
            return StopReason.REACHED
        if flags & REFUSED or max_ttl in self._sweep.notes.get(row, ()):
            return StopReason.UNREACHABLE
        if aborted:
            return StopReason.ABORTED
        beyond = flags & BEYOND or self._table.horizon[row] >= max_ttl
        return StopReason.MAX_TTL if beyond else StopReason.GAP

    def _hop(self, row: int, ttl: int) -> Hop:
        table, sweep = self._table, self._sweep
        cells = table.cells(row, ttl)
        tokens = dict.fromkeys(table.found[cell] for cell in cells if table.found[cell])
        addresses = [self._addresses.text(token) for token in tokens]
        labels, mtu_bytes = sweep.details.get(row, {}).get(ttl, ((), None))
        kind = sweep.notes.get(row, {}).get(ttl)
        return Hop(
            ttl=ttl,
            address=addresses[0] if addresses else None,
            samples=tuple(self._sample(row, cell) for cell in cells),
            also=tuple(addresses[1:]),
            labels=labels,
            annotation=self._refusal(kind, addresses, mtu_bytes) if kind is not None else None,
            inferred_from=sweep.inferred.get(row, {}).get(ttl, 0),
            mtu_bytes=mtu_bytes,
        )

    def _sample(self, row: int, cell: int) -> Sample:
        rtt = self._table.rtt[cell]
        if rtt <= 0:
            return _UNTOLD[rtt]
        step = (cell - row * self._table.width) // self._sweep.options.probes_per_hop
        loose = step in self._sweep.loose.get(row, ())
        bar = self._about.bracket_ns() if loose else KERNEL_SEND_ERROR_NS
        return Sample(
            state=SampleState.ANSWERED,
            rtt_ns=rtt,
            error_ns=bar + KERNEL_RECEIVE_ERROR_NS,
            grade=Grade.RECEPTION if loose else Grade.KERNEL,
        )

    def _refusal(self, kind: int, addresses: Sequence[str], mtu_bytes: int | None) -> str | None:
        said = kind.to_bytes(2, byteorder)
        too_big = tuple(said) == _FRAGMENTATION_NEEDED if self._about.version == 4 else said[0] == 2
        reply = Reply(
            key=0,
            kind=ReplyKind.PACKET_TOO_BIG if too_big else ReplyKind.UNREACHABLE,
            source=addresses[0] if addresses else "",
            received_at=0,
            code=said[1],
            mtu_bytes=mtu_bytes,
        )
        return annotation(reply)


def _names(pinned: Pinned) -> str:
    target, address, resolved, _ = pinned
    if target == address:
        return f'{target}","address":"{target}","resolved":["{target}"'
    return f'{_json(target)[1:-1]}","address":"{address}","resolved":[{",".join(map(_json, resolved))}'


def document_line(trace: Trace) -> str:
    """Any trace's public document and a line feed."""
    from nettrace.wire.documents import trace_document  # noqa: PLC0415 - everyday sweeps never need it

    return _json(trace_document(trace)) + "\n"


def _json(value: object) -> str:
    import json  # noqa: PLC0415 - a sweep of addresses never needs it

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _verdict(
    stop: StopReason, samples: Sequence[Sample], hops: Sequence[Hop], *, reached: bool
) -> tuple[Outcome, Reason | None]:
    if reached:
        return Outcome.MEASURED, None
    if stop is StopReason.UNREACHABLE:
        return Outcome.FAILED, Reason.UNREACHABLE
    if stop is StopReason.ABORTED:
        return Outcome.NOT_MEASURED, Reason.ABORTED
    lost = any(sample.state is SampleState.LOST for sample in samples)
    if lost or any(hop.address for hop in hops):
        return Outcome.FAILED, Reason.TIMEOUT
    return Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN


def _clock(samples: Sequence[Sample]) -> Clock | None:
    grades = {sample.grade for sample in samples if sample.state is SampleState.ANSWERED}
    if not grades:
        return None
    return Clock.KERNEL if grades == {Grade.KERNEL} else Clock.MIXED
