"""What the command line says of the small world, against what is true there: every method, flow and IP version."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cli.program import PATIENCE_S, PROGRAM, Done, check_shape, run
from tests.lab.contract import OPEN, SILENT_S, SLACK_MS, at, check_times, check_trace, side_by_side, truth_of

from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

pytestmark = pytest.mark.lab

METHODS = ["icmp", "udp", "tcp"]
BURST_S = 0.1
"""The allowance of the pacer: two ticks of 50 ms."""


@pytest.fixture(scope="module")
def lab(lab_permitted: None) -> Iterator[RunningLab]:
    with RunningLab.start("small", name=f"contract-{os.getpid()}") as running:
        yield running


@pytest.fixture(scope="module")
def oracle(lab: RunningLab) -> Oracle:
    return lab.oracle()


WAYS = [(method, version) for method in METHODS for version in (4, 6)]


@pytest.mark.root
@pytest.mark.parametrize("vantage", ["nyc", "lon"])
def test_trace_finds_the_true_hops(lab: RunningLab, oracle: Oracle, vantage: str) -> None:
    def run_of(method: str, version: int) -> Callable[[], Done]:
        # Its routers answer once a second: only one of the traces that run at once may ask them.
        slow = ["slow.lab"] if (method, version) == ("udp", 4) else []
        return lambda: at(lab, vantage, "trace", *OPEN, *slow, "--method", method, f"-{version}")

    for (method, version), done in zip(WAYS, side_by_side([run_of(*way) for way in WAYS]), strict=True):
        assert (done.code, done.err) == (0, "")
        assert len(done.rows) == len(OPEN) + ((method, version) == ("udp", 4))
        for row in done.rows:
            assert row["method"] == method
            assert (":" in row["address"]) == (version == 6)
            assert row["address"] in row["resolved"]
            check_trace(row, truth_of(oracle, vantage, row))


@pytest.mark.root
def test_every_flow_finds_its_own_path_and_always_the_same(lab: RunningLab, oracle: Oracle) -> None:
    def run_of(number: int) -> Callable[[], Done]:
        return lambda: at(lab, "nyc", "trace", "west.lab", "west.lab", "--flow", str(number), "-q", "3", "-4")

    paths: set[tuple[str, ...]] = set()
    for number, done in enumerate(side_by_side([run_of(number) for number in range(4)])):
        first, second = done.rows
        for row in (first, second):
            assert row["flow"] == number
            check_trace(row, truth_of(oracle, "nyc", row))
            assert {len(hop["rtt_ms"]) for hop in row["hops"]} == {3}
        paths.add(tuple(hop["address"] for hop in first["hops"]))
    assert len(paths) > 1, "four flows and one path: --flow changes nothing"


@pytest.mark.root
def test_sweep_finds_the_same_truth(lab: RunningLab, oracle: Oracle) -> None:
    addresses = [oracle.pair("lon", target, version)["address"] for target in OPEN for version in (4, 6)]

    def run_of(method: str) -> Callable[[], Done]:
        words = [*lab.prefix("lon"), *PROGRAM, "sweep", "-f", "-", "--method", method, "--flow", "2"]
        return lambda: run(words, input="\n".join(addresses).encode())

    for method, done in zip(METHODS, side_by_side([run_of(method) for method in METHODS]), strict=True):
        assert (done.code, done.err) == (0, "")
        assert set(done.by_target) == set(addresses)
        for row in done.rows:
            assert (row["method"], row["flow"]) == (method, 2)
            check_trace(row, truth_of(oracle, "lon", row))


@pytest.mark.root
def test_multipath_finds_every_branch(lab: RunningLab, oracle: Oracle) -> None:
    row = at(lab, "nyc", "trace", "west.lab", "-4", "--multipath").row
    found = {balance["ttl"]: set(balance["addresses"]) for balance in row["balances"]}
    true = {ttl: each for ttl, each in oracle.branches("nyc", "west.lab").items() if len(each) > 1}
    assert found.items() <= true.items()
    assert len(found) >= len(true) / 2, (
        "each missed branch has a chance of a few percent, the flows being fixed"
    )
    assert all(balance["confidence"] > 0.9 for balance in row["balances"])


@pytest.mark.root
def test_no_connection_request_is_called_lost_because_another_one_of_ours_was_in_its_way(
    lab: RunningLab, oracle: Oracle
) -> None:
    """A host that holds a connection half open names no other request: several a round trip, and two traces at once."""
    address = oracle.pair("lon", "west.lab", 4)["address"]
    done = at(lab, "lon", "trace", "west.lab", address, "-4", "--method", "tcp", "-q", "4")
    assert [row["address"] for row in done.rows] == [address, address]
    for row in done.rows:
        check_trace(row, truth_of(oracle, "lon", row))
        assert len(row["hops"][-1]["rtt_ms"]) >= 4
        assert None not in row["hops"][-1]["rtt_ms"]


@pytest.mark.root
def test_ping_measures_the_true_round_trip_and_says_who_does_not_answer(
    lab: RunningLab, oracle: Oracle
) -> None:
    hosts = [*OPEN, "dark.lab", "walled.lab", "nobody.lab"]

    def run_of(method: str, version: int) -> Callable[[], Done]:
        words = ("-n", "4", "-i", "0.02", "--timeout", SILENT_S, "--method", method, f"-{version}")
        return lambda: at(lab, "nyc", "ping", *hosts, *words)

    for (method, version), done in zip(WAYS, side_by_side([run_of(*way) for way in WAYS]), strict=True):
        assert done.code == 6
        for row in done.rows:
            check_shape(row)
            assert row["method"] == method
        check_pings(done.by_target, oracle, method, version)


def check_pings(rows: dict[str, Any], oracle: Oracle, method: str, version: int) -> None:
    for target in OPEN:
        if method == "tcp" and target == "resolver.lab":
            continue  # it listens on port 53 only
        row = rows[target]
        assert (row["outcome"], row["sent"], row["received"], row["clock"]) == ("measured", 4, 4, "kernel")
        flow = flow_for(row["address"], Method(method), 0, row["port"])
        check_times(row["rtt_ms"], oracle.path("nyc", row["address"], flow, version).rtt_ns)
    assert (rows["dark.lab"]["reason"], rows["dark.lab"]["rtt_ms"]) == ("timeout", [None] * 4)
    assert rows["nobody.lab"]["reason"] == "dns"
    if version == 4:
        assert rows["walled.lab"]["reason"] == "unreachable"
    else:
        assert (rows["walled.lab"]["reason"], rows["walled.lab"]["address"]) == ("dns", None)


@pytest.mark.root
def test_trace_says_how_a_path_ends_that_does_not_arrive(lab: RunningLab, oracle: Oracle) -> None:
    done = at(lab, "nyc", "trace", "dark.lab", "walled.lab", "nobody.lab", "-4", "--timeout", SILENT_S)
    assert done.code == 1
    for row in done.rows:
        check_shape(row)
        assert row["outcome"] == "failed"
    dark, walled, nobody = (done.by_target[f"{name}.lab"] for name in ("dark", "walled", "nobody"))
    assert (dark["reason"], walled["reason"], nobody["reason"]) == ("timeout", "unreachable", "dns")
    assert walled["hops"][-1]["annotation"] == "!X"
    true = [None if hop.silent else hop.address for hop in truth_of(oracle, "nyc", dark).hops]
    found = [hop["address"] for hop in dark["hops"]]
    assert found[: len(true)] == true
    assert set(found[len(true) :]) <= {None}
    assert nobody["hops"] == []


@pytest.mark.root
def test_max_ttl_ends_the_list_there(lab: RunningLab, oracle: Oracle) -> None:
    done = at(lab, "nyc", "trace", "west.lab", "-4", "--max-ttl", "3", "--timeout", "20")
    row = done.row
    check_shape(row)
    assert done.code == 1
    assert (row["reached"], row["stop"], row["rtt_ms"]) == (False, "max_ttl", None)
    assert [hop["address"] for hop in row["hops"]] == [
        hop.address for hop in truth_of(oracle, "nyc", row).hops[:3]
    ]


def test_http_stages_are_the_true_ones_each_by_itself(lab: RunningLab, oracle: Oracle) -> None:
    urls = ["https://edge.lab/", "https://west.lab/", "http://west.lab/"]
    done = at(lab, "nyc", "http", *urls, "-n", "2", "--keepalive", "-4", "-i", "0")
    assert (done.code, done.err) == (0, "")
    assert [row["url"] for row in done.rows] == [url for url in urls for _ in range(2)]
    for row in done.rows:
        check_shape(row)
        pair = oracle.pair("nyc", row["target"])
        secure = row["url"].startswith("https")
        assert (row["outcome"], row["status"], row["clock"]) == ("measured", 200, "kernel")
        assert row["tls_version"] == ("TLSv1.3" if secure else None)
        answer_ms = pair["rtt_ms"] + pair["first_byte_wait_ms"]
        assert answer_ms <= row["ttfb_ms"] < answer_ms + SLACK_MS
        if row["reused"]:
            assert row["dns_ms"] is row["connect_ms"] is row["tls_ms"] is None
        else:
            check_times([row["connect_ms"]], round(pair["rtt_ms"] * 1e6))
            assert (row["tls_ms"] is not None) is secure
            parts = [row[name] or 0.0 for name in ("dns_ms", "connect_ms", "tls_ms", "ttfb_ms")]
            assert row["total_ms"] >= sum(parts) - 0.5
    assert [row["reused"] for row in done.rows] == [False, True] * 3


def test_a_certificate_nobody_vouches_for_is_a_tls_failure(lab: RunningLab) -> None:
    unknown = ("http", "https://west.lab/", "-4", "--ca", "/etc/ssl/certs/ca-certificates.crt")
    if not os.path.exists(unknown[-1]):  # noqa: PTH110
        unknown = ("http", "https://198.18.3.10/", "-4")
    done = at(lab, "nyc", *unknown)
    check_shape(done.row)
    assert (done.code, done.row["reason"]) == (1, "tls")
    assert at(lab, "nyc", *unknown[:3], "--insecure").row["status"] == 200


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_websocket_pings_take_the_true_round_trip(lab: RunningLab, oracle: Oracle, scheme: str) -> None:
    done = at(lab, "nyc", "ws", f"{scheme}://west.lab/", "-n", "3", "-i", "0.02", "-4")
    row = done.row
    check_shape(row)
    assert (done.code, row["outcome"], row["received"]) == (0, "measured", 3)
    check_times(row["rtt_ms"], oracle.path("nyc", "west.lab", flow_for("x", Method.TCP), 4).rtt_ns)


def test_dns_answers_with_the_true_addresses(lab: RunningLab, oracle: Oracle) -> None:
    pair = oracle.pair("nyc", "resolver.lab")
    done = at(lab, "nyc", "dns", "west.lab", "nobody.lab", "--server", pair["address"], "-i", "0")
    found, missing = done.rows
    for row in done.rows:
        check_shape(row)
        check_times([row["rtt_ms"]], round(pair["rtt_ms"] * 1e6))
    assert done.code == 6
    assert [each["data"] for each in found["answers"]] == [oracle.pair("nyc", "west.lab")["address"]]
    assert (missing["outcome"], missing["reason"], missing["rcode"]) == ("failed", "dns", "NXDOMAIN")


def test_alone_it_ranks_a_dozen_venues_though_none_is_in_this_world(lab: RunningLab) -> None:
    done = at(lab, "nyc", "--from", "New York", "-o", "ndjson")
    assert (done.code, len(done.rows)) == (1, 12)
    for row in done.rows:
        assert (row["schema"], row["outcome"], row["reason"]) == ("nettrace.snapshot/1", "failed", "dns")


@pytest.mark.root
def test_an_interrupted_trace_hands_out_the_hops_it_has(lab: RunningLab, oracle: Oracle) -> None:
    words = [*lab.prefix("nyc"), *PROGRAM, "trace", "west.lab", "dark.lab", "-4", "--timeout", "50"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    dark = json.loads(out)
    check_shape(dark)
    assert process.returncode == 130
    assert (first["target"], dark["target"], dark["reason"]) == ("west.lab", "dark.lab", "aborted")
    true = [hop.address for hop in truth_of(oracle, "nyc", dark).hops]
    assert dark["hops"][0]["address"] == true[0]
    assert all(hop["address"] in {None, *true} for hop in dark["hops"])


SNIFFER = """
import socket, struct, sys, select
heard = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
heard.setsockopt(socket.SOL_SOCKET, 35, 1)
print("ready", flush=True)
while True:
    ready, _, _ = select.select([heard, sys.stdin], [], [])
    if sys.stdin in ready and heard not in ready:
        break
    data, extra, _, (_, protocol, kind, *_) = heard.recvmsg(200, 64)
    mine = data[9] in (1, 17) and data[16:18] == bytes((198, 18)) or data[16:18] == bytes((100, 64))
    if kind == socket.PACKET_OUTGOING and protocol == 0x0800 and mine:
        seconds, ns = struct.unpack("qq", extra[0][2][:16])
        port = int.from_bytes(data[22:24])
        if data[9] == 1 or port != 53:
            print(seconds * 10**9 + ns, flush=True)
"""


@pytest.mark.root
@pytest.mark.parametrize(
    "words",
    [
        ("ping", "-n", "20", "-i", "0", "--timeout", "0.3"),
        ("trace", "--timeout", "0.3", "--max-ttl", "6"),
        ("sweep", "--timeout", "0.3", "--max-ttl", "6"),
    ],
    ids=lambda words: words[0],
)
def test_the_rate_is_kept_over_any_stretch_of_time(lab: RunningLab, words: tuple[str, ...]) -> None:
    rate = 200
    with subprocess.Popen(
        [*lab.prefix("nyc"), sys.executable, "-c", SNIFFER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as sniffer:  # fmt: skip
        assert sniffer.stdin is not None
        assert sniffer.stdout is not None
        assert sniffer.stdout.readline() == "ready\n"
        targets = [f"100.64.0.{last}" for last in range(1, 13)]
        done = at(lab, "nyc", *words, "--rate", str(rate), *targets)
        sniffer.stdin.close()
        times = [int(line) for line in sniffer.stdout.read().split()]
    assert len(done.rows) == 12
    assert len(times) > 50, "a sniffer that hears little proves little"
    for first, start in enumerate(times):
        for count, end in enumerate(times[first:], start=1):
            # Packets of one handful leave the queues of a busy host some milliseconds apart.
            allowed = rate * ((end - start) / 1e9 + BURST_S + 0.02) + 1
            assert count <= allowed, f"{count} packets in {(end - start) / 1e6} ms"


def test_a_server_that_keeps_silent_is_a_timeout(lab: RunningLab) -> None:
    done = at(lab, "nyc", "dns", "west.lab", "--server", "198.18.4.11", "--timeout", "0.3")
    assert (done.code, done.row["reason"]) == (1, "timeout")
