"""The line a sweep writes equals the public document of the trace it stands for, whatever happened."""

import json
from collections.abc import Callable

import pytest

from nettrace.measure.sweeping.lines import About, Lines, document_line
from nettrace.measure.sweeping.replies import Addresses
from nettrace.measure.sweeping.targets import Pinned
from nettrace.measure.tracing.sweep import BEYOND, CLOSED, REACHED, REFUSED, Sweep
from nettrace.measure.tracing.sweep_table import INFERRED, LIMITED, LOST, UNSEEN, UNTIMED, SweepOptions
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Reason
from nettrace.model.path import Label, StopReason
from nettrace.wire.documents import trace_document

NOW = 1_767_225_600 * NS_PER_S + 123_456_789
TARGET = "10.201.0.9"
ADDRESSES = Addresses(4)


def token(text: str) -> int:
    import socket

    return ADDRESSES.token(socket.inet_aton(text))


class Finished:
    """A row set by hand."""

    def __init__(self, *hops: tuple[str | None, int], reached: bool = True, probes: int = 1) -> None:
        self.sweep = Sweep(SweepOptions(probes_per_hop=probes))
        table = self.sweep.table
        self.row = self.sweep.admit(token(TARGET), token(TARGET), 7, NOW)
        self.sweep.flags[self.row] = (REACHED if reached else 0) | CLOSED
        for ttl, (address, rtt) in enumerate(hops, 1):
            for cell in table.cells(self.row, ttl):
                table.found[cell] = token(address) if address else 0
                table.rtt[cell] = rtt
        self.far = self.row * table.width + table.far_cell
        table.horizon[self.row] = len(hops)
        if reached:
            table.end[self.row] = len(hops)
            table.found[self.far], table.rtt[self.far] = token(TARGET), 24_012_345
        about = About(Method.UDP, 4, 33434, 0, lambda instant: instant, lambda: 30_000)
        self.lines = Lines(self.sweep, ADDRESSES, about)

    def check(self, pinned: Pinned | None = None) -> dict[str, object]:
        pinned = pinned or Pinned(TARGET, TARGET, (TARGET,))
        line, outcome = self.lines.line(self.row, pinned)
        trace = self.lines.trace(self.row, pinned)
        assert line.endswith("\n")
        assert json.loads(line) == json.loads(json.dumps(trace_document(trace)))
        assert outcome is trace.outcome
        return json.loads(line)


def routers(*rtts: int) -> list[tuple[str | None, int]]:
    return [(f"11.0.0.{ttl}" if rtt > 0 or rtt == UNTIMED else None, rtt) for ttl, rtt in enumerate(rtts, 1)]


def test_an_everyday_trace() -> None:
    finished = Finished(*routers(2_000_049, 4_000_050, 1, 900_000_000), (None, UNSEEN))
    document = finished.check()
    assert document["reached"] is True
    assert document["rtt_ms"] == 24.0123
    assert [hop["rtt_ms"] for hop in document["hops"]] == [[2.0], [4.0], [0.0], [900.0], [24.0123]]  # type: ignore[attr-defined, index]
    assert document["hops"][-1]["address"] == TARGET  # type: ignore[index]
    assert document["at"] == "2026-01-01T00:00:00.123456Z"


@pytest.mark.parametrize("how", [LOST, UNSEEN])
def test_silent_hops(how: int) -> None:
    document = Finished(*routers(2_000_000, how, 6_000_000), (None, UNSEEN)).check()
    assert document["hops"][1]["address"] is None  # type: ignore[index]
    assert document["hops"][1]["rtt_ms"] == [None]  # type: ignore[index]


def test_everything_that_can_be_odd() -> None:
    odd: list[Callable[[Finished], None]] = [
        lambda f: f.sweep.notes.setdefault(f.row, {}).update({2: int.from_bytes(bytes((3, 10)), "little")}),
        lambda f: f.sweep.details.setdefault(f.row, {}).update({2: ((Label(24_001, 0, True, 1),), 1400)}),
        lambda f: f.sweep.loose.setdefault(f.row, set()).add(1),
        lambda f: f.sweep.inferred.setdefault(f.row, {}).update({2: 59}),
        lambda f: f.sweep.table.found.__setitem__(f.far, token("11.9.9.9")),
        lambda f: f.sweep.table.rtt.__setitem__(f.far, UNTIMED),
        lambda f: f.sweep.table.end.__setitem__(f.row, 0),
    ]
    for make in odd:
        finished = Finished(*routers(2_000_000, 4_000_000, UNTIMED), (None, UNSEEN))
        make(finished)
        finished.check()


def test_a_name_with_several_addresses() -> None:
    document = Finished(*routers(2_000_000), (None, UNSEEN)).check(
        Pinned('a"b.example', TARGET, (TARGET, "::1"))
    )
    assert document["target"] == 'a"b.example'
    assert document["resolved"] == [TARGET, "::1"]


def test_the_destinations_own_hop_answer_counts_too() -> None:
    document = Finished(*routers(2_000_000), (TARGET, 20_000_000)).check()
    assert document["rtt_ms"] == 20.0


def test_a_destination_that_answers_from_elsewhere_says_so() -> None:
    finished = Finished(*routers(2_000_000), (None, UNSEEN))
    finished.sweep.table.found[finished.far] = token("11.9.9.9")
    assert finished.check()["answered_from"] == "11.9.9.9"


def test_inferred_hops_say_so_and_have_no_round_trip() -> None:
    finished = Finished(("11.0.0.1", INFERRED), (None, LIMITED), (None, UNSEEN))
    finished.sweep.inferred[finished.row] = {1: 59}
    hops = finished.check()["hops"]
    assert hops[0]["inferred"] is True  # type: ignore[index]
    assert hops[0]["inferred_from"] == 59  # type: ignore[index]
    assert hops[0]["rtt_ms"] == [None]  # type: ignore[index]
    assert hops[1]["address"] is None  # type: ignore[index]


def test_why_a_path_that_does_not_arrive_ends() -> None:
    dark = Finished(*routers(2_000_000, LOST, LOST), reached=False)
    assert dark.check()["stop"] == StopReason.GAP
    assert dark.check()["reason"] == Reason.TIMEOUT
    refused = Finished(*routers(2_000_000, 3_000_000), reached=False)
    refused.sweep.flags[refused.row] |= REFUSED
    refused.sweep.notes[refused.row] = {2: int.from_bytes(bytes((3, 1)), "little")}
    document = refused.check()
    assert (document["stop"], document["reason"]) == (StopReason.UNREACHABLE, Reason.UNREACHABLE)
    assert document["hops"][1]["annotation"] == "!H"  # type: ignore[index]
    far = Finished(*routers(2_000_000, 3_000_000), reached=False)
    far.sweep.flags[far.row] |= BEYOND
    assert far.check()["stop"] == StopReason.MAX_TTL
    loop = Finished(*[(f"11.0.0.{1 + ttl % 2}", 2_000_000) for ttl in range(8)], reached=False)
    document = loop.check()
    assert document["stop"] == StopReason.LOOP
    assert len(document["hops"]) < 8  # type: ignore[arg-type]


def test_nothing_seen_to_leave_is_no_failure_of_the_target() -> None:
    document = Finished((None, UNSEEN), (None, UNSEEN), reached=False).check()
    assert (document["outcome"], document["reason"]) == (Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN)


def test_an_interrupted_trace_is_told_as_far_as_it_came() -> None:
    finished = Finished(*routers(2_000_000, 0), reached=False)
    trace = finished.lines.trace(finished.row, Pinned(TARGET, TARGET), aborted=True)
    assert (trace.outcome, trace.reason, trace.stop) == (
        Outcome.NOT_MEASURED,
        Reason.ABORTED,
        StopReason.ABORTED,
    )
    assert [hop.address for hop in trace.hops] == ["11.0.0.1", None]


def test_a_departure_the_kernel_did_not_stamp_has_a_wider_bar_and_another_grade() -> None:
    finished = Finished(*routers(2_000_000, 4_000_000), (None, UNSEEN))
    finished.sweep.loose[finished.row] = {1}
    trace = finished.lines.trace(finished.row, Pinned(TARGET, TARGET))
    assert [hop.samples[0].grade for hop in trace.hops] == [Grade.KERNEL, Grade.RECEPTION, Grade.KERNEL]
    assert (trace.hops[1].samples[0].error_ns or 0) > (trace.hops[0].samples[0].error_ns or 0)
    assert finished.check()["clock"] == "mixed"


def test_several_probes_a_hop() -> None:
    finished = Finished(*routers(2_000_000), (TARGET, 20_000_000), probes=3)
    cell = finished.sweep.table.cells(finished.row, 1)[2]
    finished.sweep.table.found[cell] = token("11.7.7.7")
    document = finished.check()
    assert document["hops"][0]["also"] == ["11.7.7.7"]  # type: ignore[index]
    assert len(document["hops"][0]["rtt_ms"]) == 3  # type: ignore[index]


def test_any_trace_makes_one_line() -> None:
    finished = Finished(*routers(2_000_000), (None, UNSEEN))
    assert document_line(finished.lines.trace(finished.row, Pinned("a\nb", TARGET))).count("\n") == 1
