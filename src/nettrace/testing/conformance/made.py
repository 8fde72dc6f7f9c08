"""Made-up nodes and what they report: any order of sending, with repeats, holes, drops and new spools."""

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import (
    Clock,
    DnsLookup,
    Grade,
    HttpExchange,
    Method,
    Outcome,
    Ping,
    Reason,
    Sample,
    SampleState,
    Stage,
    Stages,
)
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.model.target import RoundMethod
from nettrace.wire.frames import Gap, Measured, Record, Report

START: Instant = 1_790_035_200 * NS_PER_S
"""A UTC midnight."""

HOUR = 3_600 * NS_PER_S
VANTAGES = {"node-a": "ams", "node-b": "nyc", "node-c": "ams"}
"""Node -> region. The third is the heir of the first and may repeat what that one said."""


class Send(msgspec.Struct, frozen=True):
    """A node sends `count` of its entries from place `first` on."""

    node: str
    first: int
    count: int


class Renew(msgspec.Struct, frozen=True):
    """A node begins a new spool."""

    node: str


class Wait(msgspec.Struct, frozen=True):
    """Hours pass (or the hub's clock steps back), and upkeep is done."""

    hours: int


class Reopen(msgspec.Struct, frozen=True):
    """The writer ends and another takes its place."""


Step = Send | Renew | Wait | Reopen


class Story(msgspec.Struct, frozen=True):
    """What each node has to say, and what happens."""

    entries: dict[str, tuple[Record | Gap, ...]]
    steps: tuple[Step, ...]


_rtts = st.one_of(st.integers(200_000, 400_000_000), st.just(12_345_678))
_errors = st.integers(0, 60_000)
_grades = st.sampled_from(Grade)
_answered = st.builds(
    Sample, state=st.just(SampleState.ANSWERED), rtt_ns=_rtts, error_ns=_errors, grade=_grades
)
_samples = st.one_of(
    _answered, st.just(Sample(state=SampleState.LOST)), st.just(Sample(state=SampleState.NOT_MEASURED, reason="stalled"))
)  # fmt: skip
_stages = st.one_of(st.none(), st.builds(Stage, duration_ns=_rtts, error_ns=_errors, grade=_grades))


@st.composite
def measurements(draw: st.DrawFn, target: str, method: RoundMethod, due: Instant) -> Measured:
    """A measurement of that kind, begun a little after it was due."""
    at = due + draw(st.integers(0, 2 * NS_PER_S))
    address = draw(st.sampled_from((None, "192.0.2.1", "192.0.2.2", "2001:db8::7")))
    outcome = draw(st.sampled_from(Outcome))
    reason = None if outcome is Outcome.MEASURED else draw(st.sampled_from(Reason))
    clock = draw(st.sampled_from((None, *Clock)))
    resolved = () if address is None else (address,)
    match method:
        case RoundMethod.HTTP:
            stages = Stages(
                dns=draw(_stages), connect=draw(_stages), tls=draw(_stages), ttfb=draw(_stages),
                total_ns=draw(st.one_of(st.none(), _rtts)),
            )  # fmt: skip
            return HttpExchange(
                target=target, address=address, at=at, outcome=outcome, reason=reason, resolved=resolved,
                url=f"https://{target}/", stages=stages, status=draw(st.sampled_from((None, 200, 503))),
                tls_version=draw(st.sampled_from((None, "TLSv1.3"))), clock=clock,
                server_hints=draw(st.sampled_from(({}, {"server": "edge", "cf-ray": "8-NRT"}))),
            )  # fmt: skip
        case RoundMethod.DNS:
            return DnsLookup(
                target=target, address=address, at=at, outcome=outcome, reason=reason, question_type="A",
                sample=draw(st.one_of(st.none(), _samples)), clock=clock,
            )  # fmt: skip
        case RoundMethod.TRACE:
            sample = draw(_answered)
            reached = outcome is Outcome.MEASURED
            return Trace(
                target=target, address=address, at=at, outcome=outcome, reason=reason, method=Method.ICMP, flow=0,
                reached=reached, stop=StopReason.REACHED if reached else StopReason.GAP,
                rtt_ns=sample.rtt_ns if reached else None,
                hops=(Hop(ttl=1, address=None), Hop(ttl=2, address=address, samples=(sample,))), clock=clock,
            )  # fmt: skip
        case _:
            return Ping(
                target=target, address=address, at=at, outcome=outcome, reason=reason, resolved=resolved,
                method=Method.TCP, port=443, samples=tuple(draw(st.lists(_samples, max_size=6))), clock=clock,
            )  # fmt: skip


_series = st.sampled_from(
    [
        ("a.example", "rest", RoundMethod.TCP),
        ("a.example", "rest", RoundMethod.HTTP),
        ("b.example", "fix", RoundMethod.TRACE),
        ("b.example", "fix", RoundMethod.DNS),
    ]
)


@st.composite
def _dues(draw: st.DrawFn) -> Instant:
    hour, minute = draw(st.sampled_from((0, 1, 2, 23, 24, 30))), draw(st.integers(0, 3))
    return (
        START + hour * HOUR + minute * 60 * NS_PER_S + draw(st.sampled_from((0, 0, 1, 999_999, 17_000_123)))
    )


@st.composite
def _entries(draw: st.DrawFn) -> tuple[Record | Gap, ...]:
    made: list[Record | Gap] = []
    seq = 1
    for _ in range(draw(st.integers(1, 12))):
        if draw(st.integers(0, 7)) == 0:
            last = seq + draw(st.integers(0, 40))
            made.append(
                Gap(seq=seq, last_seq=last, reason="spool_full", since=START, until=START + draw(st.integers(1, HOUR)))
            )  # fmt: skip
            seq = last + 1
            continue
        target, endpoint, method = draw(_series)
        due = draw(_dues())
        measured = draw(measurements(target, method, due))
        request = draw(st.sampled_from((None, None, None, "req_1")))
        made.append(
            Record(seq=seq, target=target, endpoint=endpoint, method=method, due=due, measurement=measured, request=request)
        )  # fmt: skip
        seq += 1
    return tuple(made)


_nodes = st.sampled_from(sorted(VANTAGES))
_sends = st.builds(Send, _nodes, st.integers(0, 8), st.integers(0, 12))
_steps = st.one_of(
    _sends, _sends, _sends, _sends, st.builds(Renew, _nodes), st.builds(Wait, st.sampled_from((-1, 0, 1, 30, 80))),
    st.just(Reopen()),
)  # fmt: skip


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Anything that may happen between three nodes and a hub; at the end everybody sends everything."""
    entries = {node: draw(_entries()) for node in VANTAGES}
    steps = draw(st.lists(_steps, max_size=12))
    return Story(entries, (*steps, *(Send(node, 0, 99) for node in VANTAGES)))


def report(node: str, epoch: int, entries: Sequence[Record | Gap], sent_at: Instant = START) -> Report:
    """A report of these entries, which are in the order of their numbers."""
    return Report(
        node=node, epoch=f"life-{epoch}", first_seq=entries[0].seq if entries else 1, entries=tuple(entries),
        sent_at=sent_at,
    )  # fmt: skip
