"""A sweep through the small world: every method and IP version against the lab's truth, with and without rights."""

import json
import sys
from typing import Any

import pytest
from tests.cli.program import PATIENCE_S

from nettrace.lab.session import RunningLab
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

pytestmark = pytest.mark.lab

TARGETS = ["west.lab", "quiet.lab", "edge.lab"]


def sweep(lab: RunningLab, vantage: str, targets: list[str], *more: str) -> dict[str, dict[str, Any]]:
    words = [sys.executable, "-m", "nettrace", "sweep", "-f", "-", "-o", "ndjson", *more]
    done = lab.run(vantage, words, input="\n".join(targets) + "\n")
    assert done.returncode in {0, 1, 6}, done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    return {document["target"]: document for document in documents}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", list(Method))
def test_every_hop_that_answers_is_the_true_one(small_lab: RunningLab, method: Method, version: int) -> None:
    oracle = small_lab.oracle()
    addresses = [oracle.pair("nyc", target, version)["address"] for target in TARGETS]
    found = sweep(small_lab, "nyc", addresses, "--method", method)
    for target, address in zip(TARGETS, addresses, strict=True):
        path = oracle.path("nyc", target, flow_for(address, method), version)
        true = {hop.ttl: hop.address for hop in path.hops if not hop.silent}
        hops = found[address]["hops"]
        said = {hop["ttl"]: hop["address"] for hop in hops if hop["address"]}
        assert found[address]["reached"], found[address]
        assert said == {**true, len(path.hops) + 1: address}
        assert found[address]["clock"] == "kernel"
        for hop in path.hops:
            times = [time for time in hops[hop.ttl - 1]["rtt_ms"] if time is not None]
            assert all(time >= hop.rtt_ns / 1e6 for time in times)


WAYS = {
    "rings": "",
    "no rings": "leg.open_rings = lambda *_: None",
    "rings given up": "departures.stamps_departures = lambda _: False",
    "rings that show nothing": "rings.departing = lambda *_: [(6, 0, 0, 0)]",
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("method", [Method.UDP, Method.ICMP])
def test_stamps_come_from_packet_rings_or_where_those_are_of_no_use_from_sockets(
    small_lab: RunningLab, method: Method, way: str
) -> None:
    oracle = small_lab.oracle()
    address = oracle.pair("nyc", "west.lab")["address"]
    program = (
        "import sys\n"
        "from nettrace.measure.sweeping import departures, leg, rings\n"
        "from nettrace.measure.sweeping.request import SweepRequest\n"
        "from nettrace.measure.sweeping.run import Run\n"
        f"{WAYS[way]}\n"
        "from nettrace.model.measurement import Method\n"
        f"run = Run(['{address}'] * 20, SweepRequest(Method('{method}'), rate_pps=400))\n"
        "lines = [each.line()[0] for step in run.steps() for each in step]\n"
        "print(type(run._legs[4].departures).__name__)\n"
        "sys.stdout.writelines(lines)\n"
        "run.close()\n"
    )
    done = small_lab.run("nyc", [sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    used, *lines = done.stdout.splitlines()
    assert used == ("RingDepartures" if way == "rings" else "QueuedDepartures")
    path = oracle.path("nyc", "west.lab", flow_for(address, method))
    true = {hop.ttl: hop.address for hop in path.hops if not hop.silent} | {len(path.hops) + 1: address}
    documents = [json.loads(line) for line in lines]
    assert len(documents) == 20
    for document in documents:
        assert {hop["ttl"]: hop["address"] for hop in document["hops"] if hop["address"]} == true
        for said, hop in zip(document["hops"], path.hops, strict=False):
            for time, bar in zip(said["rtt_ms"], said["error_ms"], strict=True):
                assert time is None or time + bar >= hop.rtt_ns / 1e6
    clocks = {document["clock"] for document in documents}
    if way in {"rings", "no rings"}:
        assert clocks == {"kernel"}


def test_without_raw_sockets_the_path_is_the_same(small_lab: RunningLab) -> None:
    address = small_lab.oracle().pair("nyc", "west.lab")["address"]
    (with_rights,) = sweep(small_lab, "nyc", [address]).values()
    (without,) = sweep(small_lab, "nyc", [address], "--no-raw").values()
    assert without["reached"]
    assert [hop["address"] for hop in without["hops"]] == [hop["address"] for hop in with_rights["hops"]]


def test_names_keep_their_name_and_bad_ones_fail_alone(small_lab: RunningLab) -> None:
    found = sweep(small_lab, "nyc", ["west.lab", "no-such-name.lab", "203.0.113.1"], "-4")
    assert found["west.lab"]["reached"]
    assert found["west.lab"]["address"] in found["west.lab"]["resolved"]
    assert (found["no-such-name.lab"]["outcome"], found["no-such-name.lab"]["reason"]) == ("failed", "dns")
    assert found["203.0.113.1"]["outcome"] == "failed"


def test_a_silent_target_is_followed_to_its_last_router(small_lab: RunningLab) -> None:
    oracle = small_lab.oracle()
    address = oracle.pair("nyc", "dark.lab")["address"]
    path = oracle.path("nyc", "dark.lab", flow_for(address, Method.UDP))
    (found,) = sweep(small_lab, "nyc", [address]).values()
    said = {hop["ttl"]: hop["address"] for hop in found["hops"] if hop["address"]}
    assert said == {hop.ttl: hop.address for hop in path.hops if not hop.silent}
    assert (found["reached"], found["stop"], found["reason"]) == (False, "gap", "timeout")


def test_labels_of_tunnels_are_told(small_lab: RunningLab) -> None:
    oracle = small_lab.oracle()
    for target in TARGETS:
        address = oracle.pair("nyc", target)["address"]
        path = oracle.path("nyc", target, flow_for(address, Method.UDP))
        true = {hop.ttl: list(hop.labels) for hop in path.hops if hop.labels and not hop.silent}
        (found,) = sweep(small_lab, "nyc", [address]).values()
        said = {hop["ttl"]: [one["label"] for one in hop["mpls"]] for hop in found["hops"] if hop["mpls"]}
        assert said == true


INTERRUPTED = """
import signal, socket, subprocess, sys, time
from pathlib import Path
dark = sys.argv[1]
heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
words = [sys.executable, "-m", "nettrace", "sweep", dark, "-o", "ndjson", "--timeout", "50"]
child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
packet = heard.recv(2048)
while packet[20] != 11 or packet[44:48] != socket.inet_aton(dark):
    packet = heard.recv(2048)
def rests():
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(status.partition("\\nvoluntary_ctxt_switches:")[2].split()[0])
begun = rests()
while rests() < begun + 2:
    time.sleep(0.01)
child.send_signal(signal.SIGINT)
print(child.stdout.read(), end="")
sys.exit(child.wait())
"""
"""A router has answered, and the sweep, which reads all there is between two rests, has rested twice since: it knows."""


def test_an_interrupt_hands_out_what_is_known(small_lab: RunningLab) -> None:
    address = small_lab.oracle().pair("nyc", "dark.lab")["address"]
    done = small_lab.run("nyc", [sys.executable, "-c", INTERRUPTED, address], timeout=PATIENCE_S)
    assert done.returncode == 130, done.stderr
    document = json.loads(done.stdout)
    assert (document["outcome"], document["reason"], document["stop"]) == (
        "not_measured",
        "aborted",
        "aborted",
    )
    assert any(hop["address"] for hop in document["hops"])
