"""Real packets in the small world, with Debian's tools and the kernel as witnesses against the truth."""

import math
import re
import sys

import pytest

from nettrace.lab.session import RunningLab
from nettrace.lab.truth import TruePath
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method
from nettrace.model.path import Flow

pytestmark = pytest.mark.lab
SOURCE, DESTINATION = 61_007, 33_434
SLACK_MS = 60.0
"""These tests prove that delays are not too short, and right to the order; `./dev bench lab` proves precision."""


def fixed_flow(label: int = 0) -> Flow:
    return Flow(
        number=0,
        method=Method.UDP,
        source_port=SOURCE,
        destination_port=DESTINATION,
        icmp_identifier=1,
        icmp_checksum=1,
        ipv6_flow_label=label,
    )


def traceroute(lab: RunningLab, vantage: str, target: str, *more: str) -> dict[int, tuple[str, float, str]]:
    """TTL -> (address, ms, rest) as Debian's traceroute saw it, one probe at a time with one constant flow."""
    command = ["traceroute", "-n", "-q", "1", "-w", "3", "-m", "14", "-U", "-p", str(DESTINATION)]
    command += [f"--sport={SOURCE}", "-e", *more, target]
    done = lab.run(vantage, command)
    assert done.returncode == 0, done.stderr
    found: dict[int, tuple[str, float, str]] = {}
    for line in done.stdout.splitlines()[1:]:
        match = re.match(r"\s*(\d+)\s+([0-9a-f.:]+)\s*(.*?)\s+([0-9.]+) ms\s*(.*)", line)
        if match:
            found[int(match[1])] = (match[2], float(match[4]), match[3] + match[5])
    return found


def assert_true(found: dict[int, tuple[str, float, str]], path: TruePath, address: str) -> None:
    loud = {hop.ttl: hop for hop in path.hops if not hop.silent}
    assert {ttl: answer[0] for ttl, answer in found.items() if ttl <= len(path.hops)} == {
        ttl: hop.address for ttl, hop in loud.items()
    }
    assert found[len(path.hops) + 1][0] == address
    for ttl, hop in loud.items():
        assert hop.rtt_ns / 1e6 <= found[ttl][1] < hop.rtt_ns / 1e6 + SLACK_MS
        assert all(f"L={label}," in found[ttl][2] for label in hop.labels)
    assert path.rtt_ns / 1e6 <= found[len(path.hops) + 1][1]


@pytest.mark.tool("traceroute")
@pytest.mark.parametrize(
    ("vantage", "target"),
    [("nyc", "west.lab"), ("lon", "west.lab"), ("nyc", "quiet.lab"), ("lon", "edge.lab")],
)
def test_traceroute_finds_the_true_path(small_lab: RunningLab, vantage: str, target: str) -> None:
    oracle = small_lab.oracle()
    address = oracle.pair(vantage, target)["address"]
    path = oracle.path(vantage, target, fixed_flow())
    assert_true(traceroute(small_lab, vantage, address), path, address)


@pytest.mark.tool("traceroute")
def test_traceroute_finds_the_true_ipv6_path(small_lab: RunningLab) -> None:
    oracle = small_lab.oracle()
    address = oracle.pair("nyc", "west.lab", 6)["address"]
    path = oracle.path("nyc", "west.lab", fixed_flow(label=0x12345), 6)
    assert_true(traceroute(small_lab, "nyc", address, "-6", "-l", str(0x12345)), path, address)


@pytest.mark.tool("ping")
@pytest.mark.parametrize("family", ["-4", "-6"])
def test_ping_by_name_takes_as_long_as_the_path(small_lab: RunningLab, family: str) -> None:
    path = small_lab.oracle().path("nyc", "west.lab", flow_for("x", Method.ICMP), int(family[1]))
    done = small_lab.run("nyc", ["ping", family, "-n", "-c", "5", "-i", "0.2", "west.lab"])
    times = [float(text) for text in re.findall(r"time=([0-9.]+) ms", done.stdout)]
    ttls = {int(text) for text in re.findall(r"ttl=(\d+)", done.stdout)}
    assert len(times) == 5, done.stdout + done.stderr
    assert path.rtt_ns / 1e6 <= min(times) < path.rtt_ns / 1e6 + SLACK_MS
    assert ttls == {64 - len(path.hops)}


@pytest.mark.tool("ping")
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("walled.lab", "Packet filtered"),
        ("203.0.113.1", "Destination Net Unreachable"),
        ("dark.lab", "100% packet loss"),
    ],
)
def test_hosts_that_do_not_answer_say_so_each_in_its_way(
    small_lab: RunningLab, target: str, words: str
) -> None:
    done = small_lab.run("nyc", ["ping", "-4", "-c", "1", "-W", "3", target])
    assert words in done.stdout


def test_ports_are_open_refused_or_filtered(small_lab: RunningLab) -> None:
    program = """
import socket
for port in (443, 81, 82):
    try:
        socket.create_connection(("quiet.lab", port), 0.8 if port == 82 else 30).close()
        print(port, "open")
    except OSError as error:
        print(port, type(error).__name__)
"""
    done = small_lab.run("nyc", [sys.executable, "-c", program])
    assert done.stdout.split("\n")[:3] == ["443 open", "81 ConnectionRefusedError", "82 TimeoutError"], (
        done.stderr
    )


def test_https_is_answered_near_and_its_first_byte_comes_from_afar(small_lab: RunningLab) -> None:
    program = """
import json, ssl, time, urllib.request
started = time.monotonic()
with urllib.request.urlopen("https://edge.lab/hello") as answer:
    print(answer.headers["x-served-by"], time.monotonic() - started, json.load(answer)["path"])
"""
    for vantage in ("nyc", "lon"):
        done = small_lab.run(vantage, [sys.executable, "-c", program])
        served_by, seconds, path = done.stdout.split()
        assert (served_by, path) == (f"edge-{vantage}", "/hello"), done.stderr
        assert float(seconds) * 1000 >= small_lab.oracle().pair(vantage, "edge.lab")["first_byte_wait_ms"]


def test_websockets_answer_pings(small_lab: RunningLab) -> None:
    program = """
import time
from websockets.sync.client import connect
with connect("wss://west.lab/") as socket:
    started = time.monotonic()
    assert socket.ping().wait(30)
    print(time.monotonic() - started)
    socket.send("hello")
    print(socket.recv(30))
"""
    done = small_lab.run("nyc", [sys.executable, "-c", program])
    seconds, echoed = done.stdout.split()
    assert echoed == "hello", done.stderr
    assert (
        float(seconds) * 1e9 >= small_lab.oracle().path("nyc", "west.lab", flow_for("x", Method.TCP)).rtt_ns
    )


def test_names_lead_to_addresses_and_back(small_lab: RunningLab) -> None:
    oracle = small_lab.oracle()
    hop = oracle.path("nyc", "west.lab", fixed_flow()).hops[4]
    program = f"""
import socket
print(sorted({{entry[4][0] for entry in socket.getaddrinfo("west.lab", 443)}}))
print(socket.gethostbyaddr("{hop.address}")[0])
"""
    done = small_lab.run("nyc", [sys.executable, "-c", program])
    addresses, name = done.stdout.splitlines()
    assert all(oracle.pair("nyc", "west.lab", version)["address"] in addresses for version in (4, 6))
    assert name.endswith(hop.name)


@pytest.mark.tool("ping")
def test_a_rate_limited_router_lets_its_burst_through(small_lab: RunningLab) -> None:
    done = small_lab.run(
        "lon", ["ping", "-4", "-n", "-t", "5", "-c", "20", "-i", "0.01", "-W", "1", "slow.lab"]
    )
    answers = done.stdout.count("Time to live exceeded")
    took = re.search(r"time (\d+)ms", done.stdout)
    assert took is not None, done.stdout
    assert 3 <= answers <= 3 + math.ceil(int(took[1]) / 1000), done.stdout  # one more a second


def test_nothing_of_the_host_is_visible_inside(small_lab: RunningLab) -> None:
    program = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
    done = small_lab.run("nyc", [sys.executable, "-c", program])
    assert done.stdout.strip() == "['lo', 'wire0']", done.stderr
