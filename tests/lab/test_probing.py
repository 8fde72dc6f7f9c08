"""Real packets through network namespaces: what routers say is what is told, with rights and without."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

pytestmark = [pytest.mark.lab, pytest.mark.root]

MINE = f"nt{os.getpid()}"
HERE, PUPPET = f"{MINE}-here", f"{MINE}-puppet"
CHAIN = [f"{MINE}-{name}" for name in ("start", "r1", "r2", "r3", "end")]
HOST4, HOST6 = "198.18.0.1", "2001:db8:ffff::1"
NODE4, NODE6 = "10.99.1.1", "2001:db8:1::1"
METHODS = ["icmp", "udp", "tcp"]
ANSWERED_MS, SILENT_MS = 20_000, 600
"""How long an answer is waited for: where each comes (and says whose it is) nobody waits that long."""

# A user-space router: it answers probes as its script says, by their TTL, whatever the kernel would have said.
PUPPET_PROGRAM = """
import json, os, socket, sys
from nettrace.measure.packets.icmp import build_error
from nettrace.measure.packets.ip import build_ipv4, build_ipv6, packed
from nettrace.measure.packets.quoted import build_extensions
from nettrace.model.path import Label, ReplyKind
script = {int(ttl): rule for ttl, rule in json.loads(sys.argv[1]).items()}
heard = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
heard.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE: a puppet must not miss its cue
heard.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
out4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
out6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
print("ready", flush=True)
while True:
    data, (_, protocol, kind, *_) = heard.recvfrom(4096)
    v6 = protocol == 0x86DD
    if kind == socket.PACKET_OUTGOING or protocol not in (0x0800, 0x86DD):
        continue
    source, target = (data[8:24], data[24:40]) if v6 else (data[12:16], data[16:20])
    if target not in (packed("198.18.0.1"), packed("2001:db8:ffff::1")):
        continue
    ttl = data[7] if v6 else data[8]
    rule = script.get(ttl, script[max(script)] if ttl > max(script) else None)
    if not rule:
        continue
    router = packed(rule["from"][v6])
    addresses = router + source if v6 else b""
    labels = build_extensions(tuple(Label(*label) for label in rule.get("labels", ())))
    header = 40 if v6 else 20
    def error(quote, by=None):
        router = by or packed(rule["from"][v6])
        addresses = router + source if v6 else b""
        message = build_error(
            ReplyKind(rule["kind"]), quote, code=rule.get("code", 0), addresses=addresses,
            extensions=labels if rule.get("labels") else b"", mtu_bytes=rule.get("mtu", 0),
        )
        build = build_ipv6 if v6 else build_ipv4
        return build(router, source, 58 if v6 else 1, message)
    # Quoted with the TTL it had on arrival: one, as a real router that is not the first would see it.
    quote = bytearray(data)
    quote[7 if v6 else 8] = 1
    out, to = (out6, (str(socket.inet_ntop(socket.AF_INET6, source)), 0)) if v6 else (out4, (socket.inet_ntoa(source), 0))
    for _ in range(rule.get("forged", 0)):
        fake = bytearray(quote)
        at = header + 8
        fake[4:6] = os.urandom(2) if not v6 else fake[4:6]
        fake[at - 2:at] = os.urandom(2)
        fake[at:at + 6] = os.urandom(6)
        if data[6 if v6 else 9] == 6:
            fake[header + 4:header + 8] = os.urandom(4)
        out.sendto(error(bytes(fake)), to)
    for number in range(rule.get("nameless", 0)):
        fake = bytearray(quote[:header + 8])
        fake[-2:] = os.urandom(2)  # all that an outsider cannot know: the checksum
        liar = bytes((203, 0, 113, 100 + number)) if not v6 else packed(f"2001:db8:aa::{100 + number:x}")
        out.sendto(error(bytes(fake), liar), to)
    cut = rule.get("quote")
    for _ in range(rule.get("copies", 1)):
        out.sendto(error(bytes(quote[:header + cut] if cut else quote)), to)
"""

# Everything is imported before rights are dropped: the interpreter may lie where others cannot read.
TRACER = """
import encodings.idna, json, os, sys
from nettrace.measure.probing.path import trace
from nettrace.measure.probing.ping import Driving, ProbeTarget, ping
from nettrace.measure.tracing.ping import PingOptions
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.measurement import Method
from nettrace.wire.documents import document
task, address, method, drop, wait_ms = json.loads(sys.argv[1])
if drop:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
targets = [ProbeTarget(each, each) for each in address.split()]
if task == "trace":
    options = TraceOptions(method=Method(method), timeout_ns=wait_ms * 1_000_000, retry_ns=200_000_000)
    made = trace(targets, options, driving=Driving(raw=not drop))
else:
    options = PingOptions(method=Method(method), count=20, interval_ns=10_000_000, timeout_ns=wait_ms * 1_000_000)
    made = ping(targets, options, driving=Driving(raw=not drop))
print(json.dumps([document(one) for one in made]))
"""

# Takes its own interface away in the middle of a round, and gives it back.
UNPLUGGER = """
import json, subprocess, sys
from nettrace.measure.probing.engine import Engine
from nettrace.measure.probing.sockets import Sockets
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.model.measurement import Method, SampleState
from nettrace.wire.documents import document
def ip(words):
    subprocess.run(["ip", *words.split()], check=True)
raw = json.loads(sys.argv[1])
with Sockets(raw=raw) as sockets:
    engine = Engine(sockets)
    options = PingOptions(method=Method.UDP, count=40, interval_ns=20_000_000, timeout_ns=20_000_000_000)
    machine = PingRound("10.99.2.2", "10.99.2.2", options)
    engine.add(machine)
    down = up = False
    while engine.unfinished:
        until = engine.step()
        states = [sample.state for sample in machine.result().samples]
        if not down and states.count(SampleState.ANSWERED) >= 10:
            ip("link set nt-here down"); down = True
        reasons = [s.reason for s in machine.result().samples]
        if down and not up and reasons.count("no route from this host") >= 10:
            ip("link set nt-here up"); ip("route add default via 10.99.1.2"); up = True
        engine.wait(until)
    print(json.dumps([document(machine.result()), [s.reason for s in machine.result().samples]]))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def within(name: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, *words]


def settings(name: str, **values: object) -> None:
    pairs = [f"{key.replace('__', '.')}={value}" for key, value in values.items()]
    subprocess.run(within(name, "sysctl", "-qw", *pairs), check=True, capture_output=True)


OPEN = {
    "net__ipv6__conf__default__accept_dad": 0,  # else the first second of every link is deaf
    "net__ipv4__icmp_ratelimit": 0,
    "net__ipv6__icmp__ratelimit": 0,
    "net__ipv4__icmp_msgs_per_sec": 1_000_000,
    "net__ipv4__icmp_msgs_burst": 100_000,
}


@pytest.fixture(scope="module")
def namespaces() -> Iterator[ExitStack]:
    """Makes namespaces and takes every one of them away again."""
    with ExitStack() as stack:
        yield stack


def namespace(stack: ExitStack, name: str) -> None:
    ip("netns", "add", name)
    stack.callback(ip, "netns", "del", name)
    ip("-n", name, "link", "set", "lo", "up")
    settings(name, **OPEN)


def link(left: str, left_device: str, right: str, right_device: str, number: int) -> None:
    """A cable with 10.99.N.1 and 2001:db8:N::1 at its left end and .2 and ::2 at its right end."""
    ip(
        "link",
        "add",
        left_device,
        "netns",
        left,
        "type",
        "veth",
        "peer",
        "name",
        right_device,
        "netns",
        right,
    )
    for name, device, last in ((left, left_device, 1), (right, right_device, 2)):
        ip("-n", name, "link", "set", device, "up")
        ip("-n", name, "addr", "add", f"10.99.{number}.{last}/24", "dev", device)
        ip("-n", name, "-6", "addr", "add", f"2001:db8:{number}::{last}/64", "dev", device, "nodad")


@pytest.fixture(scope="module")
def chain(namespaces: ExitStack) -> str:
    """here - r1 - r2 - r3 - end: real kernels all the way; the name of the first namespace."""
    names = CHAIN
    for name in names:
        namespace(namespaces, name)
    for number, (left, right) in enumerate(pairwise(names), 1):
        link(left, f"nt-l{number}", right, f"nt-r{number}", number)
    for at, name in enumerate(names):
        settings(name, net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        for number in range(1, len(names)):
            if number in (at, at + 1):
                continue
            towards, last = (at, 1) if number < at else (at + 1, 2)
            ip("-n", name, "route", "add", f"10.99.{number}.0/24", "via", f"10.99.{towards}.{last}")
            ip(
                "-n",
                name,
                "-6",
                "route",
                "add",
                f"2001:db8:{number}::/64",
                "via",
                f"2001:db8:{towards}::{last}",
            )
    settings(names[0], net__ipv4__ping_group_range="0 2147483647")
    return names[0]


@pytest.fixture(scope="module")
def stage(namespaces: ExitStack) -> str:
    """A namespace whose only neighbour is the one a puppet router plays in."""
    namespace(namespaces, HERE)
    namespace(namespaces, PUPPET)
    link(HERE, "nt-here", PUPPET, "nt-there", 1)
    ip("-n", HERE, "route", "add", "default", "via", "10.99.1.2")
    ip("-n", HERE, "-6", "route", "add", "default", "via", "2001:db8:1::2")
    settings(HERE, net__ipv4__ping_group_range="0 2147483647")
    ip("-n", PUPPET, "route", "add", "blackhole", "198.18.0.0/16")
    ip("-n", PUPPET, "-6", "route", "add", "blackhole", "2001:db8:ffff::/48")
    # So that the puppet's raw packets go out at once, in order, with no address to be resolved before.
    for other in ("10.99.1.2", "2001:db8:1::2"):
        subprocess.run(within(HERE, "ping", "-c1", "-W5", other), check=True, capture_output=True)
    return HERE


def child(name: str, program: str, *arguments: object) -> Any:
    words = within(name, sys.executable, "-c", program, *(json.dumps(argument) for argument in arguments))
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def play(
    script: dict[int, dict[str, object]], address: str, method: str, *, drop: bool, wait_ms: int = ANSWERED_MS
) -> Any:
    """What a tracer says while the puppet router plays the script."""
    words = within(PUPPET, sys.executable, "-c", PUPPET_PROGRAM, json.dumps(script))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as puppet:
        try:
            assert puppet.stdout is not None
            assert puppet.stdout.readline() == "ready\n"
            (made,) = child(HERE, TRACER, ["trace", address, method, drop, wait_ms])
            return made
        finally:
            puppet.kill()


def hop(number: int, **more: object) -> dict[str, object]:
    return {"from": [f"203.0.113.{number}", f"2001:db8:aa::{number}"], "kind": "time_exceeded", **more}


def end(**more: object) -> dict[str, object]:
    return {"from": [HOST4, HOST6], "kind": "unreachable", "code": 3, **more}


PATH: dict[int, dict[str, object]] = {1: hop(1), 2: hop(2), 3: hop(3), 4: end()}
END6 = end(code=4)


def addresses(trace: Any) -> list[str | None]:
    return [each["address"] for each in trace["hops"]]


RIGHTS = pytest.mark.parametrize("drop", [False, True], ids=["root", "nobody"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("address", "hops"),
    [
        ("10.99.4.2", ["10.99.1.2", "10.99.2.2", "10.99.3.2", "10.99.4.2"]),
        ("2001:db8:4::2", ["2001:db8:1::2", "2001:db8:2::2", "2001:db8:3::2", "2001:db8:4::2"]),
    ],
    ids=["v4", "v6"],
)
@RIGHTS
def test_the_path_is_the_path(chain: str, address: str, hops: list[str], method: str, drop: bool) -> None:
    (trace,) = child(chain, TRACER, ["trace", address, method, drop, ANSWERED_MS])
    assert trace["reached"]
    assert addresses(trace) == hops
    assert trace["clock"] == ("mixed" if drop and method == "tcp" else "kernel")


@RIGHTS
def test_targets_with_one_icmp_identifier_do_not_take_each_others_answers(chain: str, drop: bool) -> None:
    first_with: dict[int, str] = {}
    for number in range(0x1000, 0x9000):
        address = f"2001:db8:4::{number:x}"
        twin = first_with.setdefault(flow_for(address, Method.ICMP).icmp_identifier, address)
        if twin != address:
            break
    for each in (twin, address):
        ip("-n", CHAIN[-1], "-6", "addr", "replace", f"{each}/64", "dev", "nt-r4", "nodad")
    traces = child(chain, TRACER, ["trace", f"{twin} {address}", "icmp", drop, ANSWERED_MS])
    routers = ["2001:db8:1::2", "2001:db8:2::2", "2001:db8:3::2"]
    assert {trace["target"]: addresses(trace) for trace in traces} == {
        each: [*routers, each] for each in (twin, address)
    }


@pytest.mark.parametrize(("code", "mark"), [(0, "!N"), (1, "!H"), (10, "!X"), (13, "!X")])
@pytest.mark.parametrize("method", METHODS)
@RIGHTS
def test_refusals_carry_their_code(stage: str, code: int, mark: str, method: str, drop: bool) -> None:
    script = {1: hop(1), 2: hop(2), 3: hop(3, kind="unreachable", code=code)}
    trace = play(script, HOST4, method, drop=drop)
    assert (trace["outcome"], trace["reason"], trace["stop"]) == ("failed", "unreachable", "unreachable")
    assert addresses(trace) == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
    assert trace["hops"][-1]["annotation"] == mark


@pytest.mark.parametrize("address", [HOST4, HOST6])
@RIGHTS
def test_port_unreachable_from_a_router_of_the_path_is_no_arrival(
    stage: str, address: str, drop: bool
) -> None:
    filtered = hop(3, kind="unreachable", code=4 if address == HOST6 else 3)
    trace = play({1: hop(1), 2: hop(2), 3: hop(3), 4: filtered}, address, "udp", drop=drop)
    assert (trace["outcome"], trace["reason"], trace["reached"]) == ("failed", "unreachable", False)
    assert (len(trace["hops"]), trace["rtt_ms"], trace["answered_from"]) == (4, None, None)


@pytest.mark.parametrize("method", METHODS)
@RIGHTS
def test_a_silent_destination_hides_no_router(stage: str, method: str, drop: bool) -> None:
    trace = play({**PATH, 4: {}}, HOST4, method, drop=drop, wait_ms=SILENT_MS)
    assert (trace["outcome"], trace["reason"], trace["stop"]) == ("failed", "timeout", "gap")
    assert addresses(trace)[:3] == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
    assert not any(addresses(trace)[3:])


@pytest.mark.parametrize("method", ["icmp", "udp"])
@pytest.mark.parametrize("address", ["10.99.4.2", "2001:db8:4::2"])
@RIGHTS
def test_every_ping_is_answered_and_stamped_at_both_ends(
    chain: str, address: str, method: str, drop: bool
) -> None:
    (ping,) = child(chain, TRACER, ["ping", address, method, drop, ANSWERED_MS])
    assert (ping["outcome"], ping["sent"], ping["received"], ping["clock"]) == ("measured", 20, 20, "kernel")
    assert set(ping["grades"]) == {"K"}


@pytest.mark.parametrize("method", METHODS)
@RIGHTS
def test_mpls_labels_are_told(stage: str, method: str, drop: bool) -> None:
    script = {**PATH, 2: hop(2, labels=[[1234, 5, False, 1], [99, 0, True, 254]])}
    trace = play(script, HOST4, method, drop=drop)
    assert addresses(trace) == ["203.0.113.1", "203.0.113.2", "203.0.113.3", HOST4]
    assert trace["hops"][1]["mpls"] == [
        {"label": 1234, "tc": 5, "s": False, "ttl": 1},
        {"label": 99, "tc": 0, "s": True, "ttl": 254},
    ]


@pytest.mark.parametrize("method", METHODS)
@RIGHTS
def test_routers_that_quote_eight_bytes_lose_no_hop(stage: str, method: str, drop: bool) -> None:
    script = {ttl: {**rule, "quote": 8} for ttl, rule in PATH.items()}
    trace = play(script, HOST4, method, drop=drop, wait_ms=SILENT_MS)
    assert addresses(trace) == ["203.0.113.1", "203.0.113.2", "203.0.113.3", HOST4]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("address", [HOST4, HOST6])
@RIGHTS
def test_a_flood_of_forgeries_changes_nothing(stage: str, address: str, method: str, drop: bool) -> None:
    v6 = address == HOST6
    last = END6 if v6 else end()
    script = {ttl: {**rule, "forged": 300, "copies": 3} for ttl, rule in {**PATH, 4: last}.items()}
    # The forgeries claim to come from the routers themselves, with ports and addresses all right.
    trace = play(script, address, method, drop=drop)
    routers = [rule["from"][v6] for rule in script.values()]  # type: ignore[index]
    assert addresses(trace) == routers
    assert all(not each.get("also") for each in trace["hops"])


@pytest.mark.parametrize("address", [HOST4, HOST6])
@RIGHTS
def test_forgers_who_quote_no_more_than_ports_change_nothing(stage: str, address: str, drop: bool) -> None:
    v6 = address == HOST6
    script = {ttl: {**rule, "nameless": 20} for ttl, rule in {**PATH, 4: END6 if v6 else end()}.items()}
    trace = play(script, address, "udp", drop=drop)
    assert addresses(trace) == [rule["from"][v6] for rule in script.values()]  # type: ignore[index]
    assert trace["reached"]


@pytest.fixture
def cable() -> Iterator[str]:
    """A namespace of its own to be unplugged: its link takes addresses and routes with it when it goes."""
    with ExitStack() as stack:
        near, far = f"{MINE}-near", f"{MINE}-far"
        namespace(stack, near)
        namespace(stack, far)
        link(near, "nt-here", far, "nt-there", 1)
        ip("-n", near, "route", "add", "default", "via", "10.99.1.2")
        ip("-n", far, "addr", "add", "10.99.2.2/32", "dev", "lo")
        yield near


@pytest.mark.parametrize("raw", [True, False], ids=["root", "error queue"])
def test_an_interface_that_goes_and_comes_back(cable: str, raw: bool) -> None:
    ping, reasons = child(cable, UNPLUGGER, raw)
    assert ping["outcome"] == "measured"
    assert ping["sent"] == ping["received"], "a probe counted as sent and lost while there was no interface"
    assert ping["not_measured"] >= 10
    assert reasons[-1] is None, "nothing was measured after the interface came back"
    assert "no route from this host" in reasons
