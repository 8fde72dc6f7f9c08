"""STAMP on real sockets, loopback only: with ourselves, with other people's programs, and past a hostile peer."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest

from nettrace.analysis.oneway import one_way
from nettrace.measure.packets.stamp import ErrorEstimate, Request, build_request
from nettrace.measure.probing.stamp_reflector import Reflector
from nettrace.measure.probing.stamp_sender import Session
from nettrace.measure.probing.stamp_socket import Wall
from nettrace.measure.tracing.reflection import Peer
from nettrace.measure.tracing.stamp import StampOptions
from nettrace.model.measurement import Clock, Grade, Outcome, Reason, SampleState

KEY = b"a key of both ends, 32 octets..."
QUICK = StampOptions(count=5, interval_ns=5_000_000, timeout_ns=500_000_000)
SHORT_KEY = b"a key of sixteen"
MISSING = "no second STAMP implementation here"


def sure() -> Wall:
    return Wall(error_ns=1000)


def open_reflector(*, key=None, address="127.0.0.1", wall=sure, **options) -> Reflector:
    peer = Peer(name="test", key=key, networks=("127.0.0.0/8", "::1"))
    made = Reflector([peer], port=0, addresses=(address,), wall=wall, **options)
    made.start()
    return made


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_session_with_ourselves_is_timed_by_the_kernel_at_both_ends(address, key):
    reflector = open_reflector(key=key, address=address)
    try:
        made = await Session(("x", address, reflector.port), QUICK, key=key, wall=sure).run()
    finally:
        reflector.close()
    assert (made.outcome, made.clock, made.authenticated) == (Outcome.MEASURED, Clock.KERNEL, key is not None)
    assert {sample.grade for sample in made.samples} == {Grade.KERNEL}
    assert (made.out.received, made.back.received, made.out.reordered, made.back.reordered) == (5, 5, 0, 0)
    for sample, residence, out, back in zip(
        made.samples, made.residence_ns, made.out.delays_ns, made.back.delays_ns, strict=True
    ):
        assert sample.rtt_ns == out + back  # the same four stamps
        assert 0 <= sample.rtt_ns < residence  # a loopback is quicker than a Python program
    assert made.out.hops == made.back.hops == 0


async def test_a_wrong_clock_at_the_other_end_is_found_out_and_the_round_trip_stands():
    reflector = open_reflector(wall=lambda: Wall(offset_ns=250_000_000, error_ns=1000))
    try:
        made = await Session(("x", "127.0.0.1", reflector.port), QUICK, wall=sure).run()
    finally:
        reflector.close()
    assert all("contradict each other" in (way.why or "") for way in one_way(made))
    assert all(sample.state is SampleState.ANSWERED for sample in made.samples)


async def test_a_correction_of_the_clock_between_two_stamps_is_no_travel_time():
    """The hub's word on a clock changes with every report: within a session, and within a reply, one holds."""
    corrections = iter(range(0, 10**12, 10_000_000))

    def corrected() -> Wall:
        return Wall(offset_ns=next(corrections), error_ns=10**9)

    reflector = open_reflector(wall=corrected)
    try:
        made = await Session(("x", "127.0.0.1", reflector.port), QUICK, wall=corrected).run()
    finally:
        reflector.close()
    assert [sample.state for sample in made.samples] == [SampleState.ANSWERED] * 5
    assert max(sample.rtt_ns for sample in made.samples) < 10_000_000


async def test_nobody_there_is_refused_and_a_stranger_gets_silence():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", 9))  # nobody else gets its port, and it hears nobody else
        made = await Session(("x", "127.0.0.1", sock.getsockname()[1]), QUICK, wall=sure).run()
    assert (made.outcome, made.reason) == (Outcome.FAILED, Reason.REFUSED)
    reflector = open_reflector(key=KEY)
    brief = StampOptions(count=2, interval_ns=1_000_000, timeout_ns=50_000_000)
    try:
        made = await Session(("x", "127.0.0.1", reflector.port), brief, wall=sure).run()
    finally:
        reflector.close()
    assert (made.outcome, made.reason, made.back.received) == (Outcome.FAILED, Reason.TIMEOUT, None)
    assert reflector.reflection.counts["answered"] == 0


# -- other people's programs -------------------------------------------------------------------------------


def twampy() -> list[str]:
    """nokia/twampy (BSD-3), a TWAMP-Light and STAMP implementation in plain Python, where it is installed."""
    if find_spec("twampy") is None:
        pytest.skip(MISSING)
    return [sys.executable, "-m", "twampy"]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_twampys_responder_answers_our_sender():
    port = free_port()
    command = [*twampy(), "responder", f"127.0.0.1:{port}", "--padding", "8"]
    quiet = asyncio.subprocess.DEVNULL
    responder = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
    try:
        for _ in range(100):
            made = await Session(("x", "127.0.0.1", port), QUICK, wall=sure).run()
            if made.reason is not Reason.REFUSED:  # it is still starting
                break
            await asyncio.sleep(0.05)
    finally:
        responder.kill()
        await responder.wait()
    assert made.outcome is Outcome.MEASURED
    assert (made.out.sent, made.out.received, made.back.received) == (5, 5, 5)
    assert {sample.grade for sample in made.samples} == {Grade.USER}


async def test_our_reflector_answers_twampys_sender():
    program = twampy()
    reflector = open_reflector()
    command = [*program, "sender", f"127.0.0.1:{reflector.port}", f"127.0.0.1:{free_port()}"]
    command += ["--count", "5", "--interval", "10", "--padding", "30"]
    try:
        sender = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        told, _ = await asyncio.wait_for(sender.communicate(), 60)
    finally:
        reflector.close()
    assert reflector.reflection.counts == {"answered": 5}
    rows = [line for line in told.decode().splitlines() if line.strip().startswith(("Outbound", "Roundtrip"))]
    assert len(rows) == 2 and all("0.0%" in row for row in rows)


def sealed_peer(name: str, *options: str) -> list[str]:
    """A program of XilongYang/STAMP (MIT), which knows the authenticated mode, where it is on the PATH."""
    found = which(name)
    if found is None:
        pytest.skip(MISSING)
    return [found, *options]


def bound(port: int) -> bool:
    """Somebody has this UDP port: the peer has read its key."""
    return f":{port:04X} " in Path("/proc/net/udp").read_text()


async def with_key(command: list[str], key: bytes) -> asyncio.subprocess.Process:
    """Start it without a terminal, so that it takes its key from standard input."""
    pipe, quiet = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    made = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=quiet, stderr=quiet, start_new_session=True
    )
    assert made.stdin is not None
    made.stdin.write(key + b"\n")
    await made.stdin.drain()
    return made


@pytest.mark.parametrize(("theirs", "received"), [(SHORT_KEY, 5), (b"another of these", None)])
async def test_a_sealed_session_with_another_reflector(theirs, received):
    port = free_port()
    peer = await with_key(sealed_peer("stamp-server", str(port)), theirs)
    try:
        while not bound(port):
            assert peer.returncode is None
            await asyncio.sleep(0.02)
        made = await Session(("x", "127.0.0.1", port), QUICK, key=SHORT_KEY, wall=sure).run()
    finally:
        peer.kill()
        await peer.wait()
    assert made.authenticated
    assert made.out.received == received
    assert (made.outcome is Outcome.MEASURED) == (received is not None)


@pytest.mark.parametrize(
    ("ours", "counts"), [(SHORT_KEY, {"answered": 3}), (b"another of these", {"forged": 1})]
)
async def test_another_sender_in_a_sealed_session_with_us(ours, counts):
    command = sealed_peer("stamp-client", "-p", "-c", str(sum(counts.values())), "-P")
    reflector = open_reflector(key=ours)
    command += [str(reflector.port), "127.0.0.1"]
    try:
        peer = await with_key(command, SHORT_KEY)
        await asyncio.wait_for(peer.wait(), 60)  # without an answer it ends after five seconds
    finally:
        reflector.close()
    assert reflector.reflection.counts == counts


async def test_scapy_understands_what_we_answer(tmp_path: Path):
    """Scapy (GPL-2.0) is a tool of the tests, run as a program of its own; nothing that is shipped knows it."""
    reflector = open_reflector()
    program = """
import json, socket, sys, time
from scapy.contrib.stamp import STAMPSessionReflectorTestUnauthenticated, STAMPSessionSenderTestUnauthenticated
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
sock.settimeout(5)
asked = STAMPSessionSenderTestUnauthenticated(seq=0, ts=time.time(), ssid=99)
sock.send(bytes(asked))
told = STAMPSessionReflectorTestUnauthenticated(sock.recv(2048))
figures = (told.ssid, told.seq_sender, told.ts_sender - asked.ts, told.ts - told.ts_rx, told.ttl_sender)
print(json.dumps([float(each) for each in figures]))
"""
    try:
        scapy = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            str(reflector.port),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        )
        told, _ = await asyncio.wait_for(scapy.communicate(), 60)
    finally:
        reflector.close()
    session, number, echoed, held_s, ttl = json.loads(told)
    assert (session, number, ttl) == (99, 0, 64)
    assert abs(echoed) < 1e-6 and 0 <= held_s < 5


# -- the command -------------------------------------------------------------------------------------------


def test_the_command_measures_what_another_process_reflects(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef\n")
    port = free_port()
    nettrace = [sys.executable, "-m", "nettrace", "stamp", "--port", str(port), "--key-file", str(key)]
    clock = ["--clock-error", "0.001"]
    environment = {**os.environ, "NO_COLOR": "1"}
    answering = [*nettrace, "--reflect", "--listen", "127.0.0.1", *clock]
    reflector = subprocess.Popen(answering, stderr=subprocess.PIPE, env=environment)
    try:
        assert b"answering whoever has the key" in reflector.stderr.readline()
        asked = [*nettrace, "127.0.0.1", "-n", "3", "-i", "0.01", "-o", "ndjson", *clock]
        done = subprocess.run(asked, capture_output=True, timeout=60, env=environment, check=False)
        open_ = [*nettrace[:-2], "127.0.0.1", "-n", "1", "--timeout", "0.2"]
        refused = subprocess.run(open_, capture_output=True, timeout=60, env=environment, check=False)
    finally:
        reflector.terminate()
        reflector.wait(60)
        told = reflector.stderr.read()
        reflector.stderr.close()
    made = json.loads(done.stdout)
    assert (done.returncode, made["schema"], made["outcome"], made["sent"], made["received"]) == (
        0, "nettrace.stamp/1", "measured", 3, 3,
    )  # fmt: skip
    assert made["authenticated"] and made["out"]["lost"] == made["back"]["lost"] == 0
    assert made["own_clock_error_ms"] == 0.001
    assert refused.returncode == 3 or refused.returncode == 1
    assert b"4 answered" in told and b"short" in told


def test_a_reflector_for_everybody_is_refused():
    command = [sys.executable, "-m", "nettrace", "stamp", "--reflect", "--port", str(free_port())]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"neither key nor network" in done.stderr


def test_short_requests_get_nothing():
    """A TWAMP-Light sender may send 14 octets and would get 44: that is an amplifier (RFC 8762, 4.6 leaves it open)."""
    short = build_request(Request(number=0, sent=1, estimate=ErrorEstimate(1, synchronised=True)))[:14]

    async def ask() -> dict[str, int]:
        reflector = open_reflector()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(short, ("127.0.0.1", reflector.port))
            while not reflector.reflection.counts:  # noqa: ASYNC110 - it has no event to offer
                await asyncio.sleep(0)
        reflector.close()
        return dict(reflector.reflection.counts)

    assert asyncio.run(ask()) == {"short": 1}
