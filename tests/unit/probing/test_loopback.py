"""Real sockets on loopback: the same answers for root and for a user with no right at all."""

import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nettrace.measure.kernel.errorqueue import numbers_by_request
from nettrace.measure.probing.capability import Rung, probe_capabilities
from nettrace.measure.probing.engine import Engine
from nettrace.measure.probing.routes import Routes
from nettrace.measure.probing.sockets import Sockets
from nettrace.measure.probing.transport import Intake, Poller
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.model.measurement import Grade, Method, Outcome

HAS_IPV6 = probe_capabilities().get(Rung.UDP_ERROR_QUEUE, 6).available
LOCAL = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not HAS_IPV6, reason="this host has no IPv6")),
]

# Everything is imported before rights are dropped: the interpreter may lie where others cannot read.
CHILD = """
import encodings.idna, json, os, sys
from nettrace.measure.probing.capability import probe_capabilities
from nettrace.measure.probing.path import trace
from nettrace.measure.probing.ping import Driving, ProbeTarget, ping
from nettrace.measure.tracing.ping import PingOptions
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.measurement import Method
from nettrace.wire.documents import document
import msgspec
task, address, method, port, drop = json.loads(sys.argv[1])
if drop:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
target = [ProbeTarget(address, address)]
if task == "capabilities":
    print(msgspec.json.encode(probe_capabilities()).decode())
elif task == "ping":
    options = PingOptions(method=Method(method), port=port, count=5, interval_ns=20_000_000)
    print(json.dumps([document(made) for made in ping(target, options, driving=Driving(raw=not drop))]))
else:
    options = TraceOptions(method=Method(method), port=port)
    print(json.dumps([document(made) for made in trace(target, options, driving=Driving(raw=not drop))]))
"""


def child(task: str, address: str = "", method: str = "udp", port: int | None = None, *, drop: bool) -> Any:
    """The task's result from a process of its own, without any right when `drop`."""
    arguments = json.dumps([task, address, method, port, drop])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A TCP port that is surely closed: taken, never listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.mark.root
@pytest.mark.parametrize("drop", [False, True], ids=["root", "nobody"])
@pytest.mark.parametrize("address", LOCAL)
def test_udp_ping_is_stamped_by_the_kernel_at_both_ends(address: str, drop: bool) -> None:
    (ping,) = child("ping", address, "udp", drop=drop)
    assert (ping["outcome"], ping["received"], ping["clock"]) == ("measured", 5, "kernel")
    assert set(ping["grades"]) == {"K"}
    assert all(0 < rtt < 50 for rtt in ping["rtt_ms"])


@pytest.mark.root
@pytest.mark.parametrize("method", ["icmp", "udp", "tcp"])
@pytest.mark.parametrize("address", LOCAL)
def test_root_traces_loopback_in_one_hop(address: str, method: str, closed_port: int) -> None:
    (trace,) = child("trace", address, method, closed_port if method == "tcp" else None, drop=False)
    assert trace["reached"]
    assert [hop["address"] for hop in trace["hops"]] == [address]
    assert trace["clock"] == "kernel"


@pytest.mark.root
@pytest.mark.parametrize("method", ["udp", "tcp"])
@pytest.mark.parametrize("address", LOCAL)
def test_nobody_traces_loopback_in_one_hop(address: str, method: str, closed_port: int) -> None:
    (trace,) = child("trace", address, method, closed_port if method == "tcp" else None, drop=True)
    assert trace["reached"]
    assert [hop["address"] for hop in trace["hops"]] == [address]


@pytest.mark.root
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "error queue"])
def test_older_kernels_that_count_sends_are_understood(raw: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.13 stamps carry the number of the send; a refused send must not shift the count."""
    monkeypatch.setattr("nettrace.measure.probing.raw.numbers_by_request", lambda: False)
    monkeypatch.setattr("nettrace.measure.kernel.errorqueue.numbers_by_request", lambda: False)
    options = PingOptions(method=Method.UDP, count=6, interval_ns=10_000_000)
    with Sockets(raw=raw, slot_bits=10) as sockets:
        engine = Engine(sockets)
        answered, refused = rounds = [PingRound("h", to, options) for to in ("127.0.0.1", "255.255.255.255")]
        assert set(engine.run(rounds)) == set(rounds)
    samples = answered.result().samples
    assert {sample.grade for sample in samples} == {Grade.KERNEL}
    assert all(sample.rtt_ns and sample.rtt_ns < 50_000_000 for sample in samples)
    assert refused.result().outcome is Outcome.NOT_MEASURED


@pytest.mark.root
def test_a_probe_larger_than_any_device_takes_is_refused_not_sent() -> None:
    options = PingOptions(method=Method.UDP, count=1, payload_bytes=9_000)
    with Sockets(slot_bits=10) as sockets:
        (round_,) = Engine(sockets).run([PingRound("h", "127.0.0.1", options)])
    assert round_.result().outcome is Outcome.NOT_MEASURED
    assert round_.result().samples[0].reason == "larger than the interface takes"


@pytest.mark.root
def test_without_rights_icmp_says_which_command_would_permit_it() -> None:
    (ping,) = child("ping", "127.0.0.1", "icmp", drop=True)
    if ping["outcome"] == "measured":
        pytest.skip("this host lets everybody ping")
    assert (ping["outcome"], ping["reason"]) == ("not_measured", "not_permitted")
    assert "ping_group_range" in ping["detail"]
    assert "setcap cap_net_raw" in ping["detail"]


@pytest.mark.root
def test_the_ladder_names_what_is_missing_and_the_command_that_changes_it() -> None:
    rungs = {(rung["rung"], rung["version"]): rung for rung in child("capabilities", drop=True)["rungs"]}
    raw = rungs["raw", 4]
    assert not raw["available"]
    assert "CAP_NET_RAW" in raw["why"]
    assert raw["remedy"].startswith("sudo setcap cap_net_raw+ep /")
    assert rungs["udp_error_queue", 4]["available"]
    assert rungs["tcp_connect", 4]["available"]


@pytest.mark.root
def test_root_has_every_stamp() -> None:
    for rung in (Rung.RAW, Rung.UDP_ERROR_QUEUE):
        report = probe_capabilities().get(rung, 4)
        assert report.available
        assert report.sends_stamped
        assert report.receptions_stamped


def test_every_rung_is_reported_for_both_versions() -> None:
    found = {(report.rung, report.version) for report in probe_capabilities().rungs}
    assert found == {(rung, version) for rung in Rung for version in (4, 6)}
    for report in probe_capabilities().rungs:
        assert report.available == (report.why is None)


def test_the_kernel_tells_the_way_to_an_address() -> None:
    poller = Poller()
    routes = Routes(poller)
    try:
        route = routes.to("127.0.0.1")
        assert route.source == "127.0.0.1"
        assert route.interface == socket.if_nametoindex("lo")
    finally:
        routes.close()
        poller.close()


def test_no_descriptor_is_left_behind() -> None:
    numbers_by_request()
    before = _descriptors()
    with Sockets(slot_bits=10) as sockets:
        for method in Method:
            if method is not Method.ICMP or os.geteuid() == 0:
                sockets.transport(method, 4)
        sockets.routes.to("127.0.0.1")
    assert _descriptors() <= before  # those of other tests' garbage may have gone meanwhile


def _descriptors() -> set[tuple[str, str]]:
    gc.collect()
    found: set[tuple[str, str]] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists the folder
            found.add((entry.name, str(entry.readlink())))
    return found


def test_what_is_read_counts_as_come_just_now_with_a_bar_back_to_the_last_look() -> None:
    poller = Poller()
    here, there = socket.socketpair()
    heard: list[tuple[int, int]] = []
    with here, there:
        poller.watch(here.fileno(), lambda _: heard.append(poller.just_heard(0)))
        looked = time.monotonic_ns()
        poller.collect(Intake())
        there.send(b"x")
        poller.wait(10**9)
        woken = time.monotonic_ns()
        poller.collect(Intake())
        poller.collect(Intake())
        poller.close()

    (prompt, prompt_bar), (other, other_bar) = heard
    assert prompt >= woken
    assert prompt - prompt_bar >= looked
    assert other >= prompt
    assert woken <= other - other_bar <= prompt
