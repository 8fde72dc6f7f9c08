"""Departures between two stamps: where the packet enters the device's queue, and where the driver takes it."""

import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from nettrace.measure.kernel import errorqueue
from nettrace.measure.kernel.stamps import OPT_TSONLY
from nettrace.measure.packets.probe import signature
from nettrace.measure.probing.sockets import Sockets
from nettrace.measure.probing.transport import Intake, Shipment
from nettrace.measure.tracing.answer import Answer
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method
from nettrace.model.path import Probe, ReplyKind

PROBES = 12


def stamped(sockets: Sockets) -> Intake:
    """The stamps of `PROBES` UDP probes to loopback that go in one batch."""
    intake = Intake()
    sockets.transport(Method.UDP, 4).send(list(shipments(sockets)), intake)
    patience = time.monotonic() + 10
    while len(intake.stamps) < PROBES and time.monotonic() < patience:
        sockets.poller.wait(10**7)
        sockets.poller.collect(intake)
    return intake


def shipments(sockets: Sockets) -> Iterator[Shipment]:
    for number in range(PROBES):
        address = f"127.0.0.{number + 1}"
        flow = msgspec.structs.replace(flow_for(address, Method.UDP), source_port=free_port())
        packed = signature(address, flow)
        tag = sockets.tags.pending.take(packed)
        assert tag is not None
        yield tag, Probe(number, address, flow, 64), packed


def free_port() -> int:
    """A port nobody holds: the flow's own may be held by whoever measures loopback on this host meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(params=[True, False], ids=["raw", "error queue"])
def raw(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[True, False], ids=["numbered by us", "counted by the kernel"])
def numbering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr("nettrace.measure.probing.raw.numbers_by_request", lambda: False)
        monkeypatch.setattr("nettrace.measure.kernel.errorqueue.numbers_by_request", lambda: False)


@pytest.mark.root
@pytest.mark.usefixtures("numbering")
def test_every_departure_is_enclosed_by_its_own_two_stamps(raw: bool) -> None:
    with Sockets(raw=raw, slot_bits=10) as sockets:
        intake = stamped(sockets)
    left, queued = dict(intake.stamps), dict(intake.queued)
    assert len(left) == PROBES
    assert left.keys() == queued.keys()
    assert all(queued[tag] <= left[tag] for tag in left)
    in_order = sorted(left)
    assert all(left[one] <= queued[other] for one, other in pairwise(in_order))


@pytest.mark.root
@pytest.mark.usefixtures("numbering")
def test_where_cpu_time_counts_only_the_first_of_a_batch_are(raw: bool) -> None:
    with Sockets(raw=raw, slot_bits=10, sparing=True) as sockets:
        intake = stamped(sockets)
    assert len(intake.stamps) == PROBES
    assert sorted(tag for tag, _ in intake.queued) == sorted(tag for tag, _ in intake.stamps)[:4]


@pytest.mark.root
@pytest.mark.parametrize(("sparing", "read"), [(False, PROBES), (True, 0)])
def test_stamps_are_read_while_a_batch_goes_unless_cpu_time_counts(
    raw: bool, sparing: bool, read: int
) -> None:
    """The kernel then has memory at hand for the next packet's stamps; a node reads all of them at its next look."""
    intake = Intake()
    with Sockets(raw=raw, slot_bits=10, sparing=sparing) as sockets:
        sockets.transport(Method.UDP, 4).send(list(shipments(sockets)), intake)
    assert (len(intake.stamps), len(intake.queued)) == (read, read)


def test_what_a_send_already_heard_waits_for_the_next_look() -> None:
    """A stamp is placed by the clocks as they were read behind it: now it would seem to come from the future."""
    answer = Answer(tag=7, kind=ReplyKind.UNREACHABLE, source=b"\x7f\0\0\1")
    intake = Intake()
    intake.stamps, intake.queued, intake.answers, intake.ambiguous = [(2, 20)], [(2, 19)], [(answer, 30)], [3]
    intake.overflowed, intake.rejected = True, 4
    coming = intake.postpone()
    assert (coming.stamps, coming.queued) == ([(2, 20)], [(2, 19)])
    assert (coming.answers, coming.ambiguous) == ([(answer, 30)], [3])
    assert (coming.overflowed, coming.rejected) == (True, 4)
    assert not (intake.stamps or intake.queued or intake.answers or intake.ambiguous)
    assert not (intake.overflowed or intake.rejected)


@pytest.mark.root
def test_a_kernel_that_takes_no_such_wish_is_sent_none(raw: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nettrace.measure.probing.raw.encloses_departures", lambda: False)
    monkeypatch.setattr("nettrace.measure.kernel.errorqueue.encloses_departures", lambda: False)
    with Sockets(raw=raw, slot_bits=10) as sockets:
        intake = stamped(sockets)
    assert (len(intake.stamps), intake.queued) == (PROBES, [])


@pytest.mark.parametrize(("setting", "alone"), [("0\n", True), ("1\n", False), (None, False)])
def test_stamps_come_without_their_packet_where_the_host_keeps_packets_to_itself(
    setting: str | None, alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tstamp_allow_data"
    if setting is not None:
        place.write_text(setting)
    monkeypatch.setattr(errorqueue, "_PACKETS_GIVEN", place)
    errorqueue.probe_flags.cache_clear()
    try:
        assert bool(errorqueue.probe_flags() & OPT_TSONLY) is alone
    finally:
        errorqueue.probe_flags.cache_clear()
