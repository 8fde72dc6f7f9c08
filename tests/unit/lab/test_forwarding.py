"""The forwarder against a slow walk: hop by hop, one TTL at a time, over the routing tables alone."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nettrace.lab import icmp
from nettrace.lab.fabric import Host, Router, interface_end
from nettrace.lab.forwarding import INTERNET, Forwarder
from nettrace.lab.paths import Paths, flow_hash
from nettrace.lab.routing import Conditions, Routes, router_for
from nettrace.lab.topology import Topology
from nettrace.lab.world import Event
from nettrace.lab.worldfile import load, parse, read

WORLD = load("small")
TOPOLOGY = Topology(WORLD)
ROUTES = Routes(TOPOLOGY)
NOW = 1_000_000_000
VANTAGES = sorted(TOPOLOGY.vantages)
OPEN = ["west.lab", "quiet.lab", "slow.lab", "edge.lab"]


def forwarder(routes: Routes = ROUTES) -> Forwarder:
    return Forwarder(Paths(routes), WORLD.seed)


def udp4(
    source: bytes, destination: bytes, ttl: int, ports: tuple[int, int], size: int = 40, df: int = 0
) -> bytes:
    body = struct.pack("!HHHH", *ports, 8 + size, 0) + bytes(size)
    head = bytearray(icmp.header4(source, destination, ttl, 17, len(body), 7))
    if df:
        head[6] |= 0x40
        head[10:12] = b"\0\0"
        head[10:12] = icmp.checksum(bytes(head)).to_bytes(2)
    return bytes(head) + body


def udp6(source: bytes, destination: bytes, ttl: int, label: int) -> bytes:
    body = struct.pack("!HHHH", 61_000, 33_434, 16, 0) + bytes(8)
    head = icmp.header6(source, destination, ttl, 17, len(body))
    return struct.pack("!I", 6 << 28 | label) + head[4:] + body


def slow_walk(here: Host, there: Host, flow: int, ttl: int) -> Router | None:
    """Which router expires the packet, or None when it arrives: the book's forwarding loop."""
    group = here.groups[0]
    goal = ROUTES.nearest(group, there.groups)
    assert goal is not None
    inside: set[int] = set()
    links, _ = ROUTES.walk(group, goal, flow)
    groups = [group, *(link.far for link in links)]
    for index in range(1, len(groups) - 1):  # a router between two of its own network is inside a tunnel
        asn = groups[index].network.asn
        if (
            groups[index].network.mpls == "invisible"
            and asn == groups[index - 1].network.asn == groups[index + 1].network.asn
        ):
            inside.add(index)
    for index, group in enumerate(groups):
        if index in inside:
            continue
        ttl -= 1
        if ttl == 0:
            return router_for(group, flow)
    return None


@settings(max_examples=300, deadline=None)
@given(
    vantage=st.sampled_from(VANTAGES),
    target=st.sampled_from(OPEN),
    ttl=st.integers(1, 40),
    ports=st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)),
)
def test_a_packet_ends_where_the_slow_walk_ends(
    vantage: str, target: str, ttl: int, ports: tuple[int, int]
) -> None:
    here, there = TOPOLOGY.vantages[vantage], TOPOLOGY.targets[target]
    packet = udp4(here.address4, there.address4, ttl, ports)
    flow = flow_hash(here.address4, there.address4, 17, packet[20:24])
    expires = slow_walk(here, there, flow, ttl)
    made = forwarder().handle(packet, NOW)
    if expires is None:
        ((due, port, delivered),) = made
        assert port == INTERNET
        assert icmp.checksum(delivered[:20]) == 0
        assert delivered[20:] == packet[20:]
        assert 0 < ttl - delivered[8] <= ttl
    elif expires.silent:
        assert made == []
        return
    else:
        ((due, port, answer),) = made
        assert port == vantage
        assert answer[12:16] in expires.addresses.values()
        assert answer[16:20] == here.address4
        assert answer[20:22] == b"\x0b\0"
        quoted = answer[28:56]
        assert quoted[12:24] == packet[12:24] and quoted[8] == 1
        assert icmp.checksum(quoted[:20]) == 0 and icmp.checksum(answer[20:]) == 0
    assert due > NOW


@given(label=st.integers(1, 0xFFFFF), ports=st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)))
def test_an_ipv6_flow_label_alone_holds_the_path(label: int, ports: tuple[int, int]) -> None:
    here, there = TOPOLOGY.vantages["nyc"].address6, TOPOLOGY.targets["west.lab"].address6
    assert here and there
    packet = udp6(here, there, 5, label)
    other = packet[:40] + struct.pack("!HH", *ports) + packet[44:]
    answers = [forwarder().handle(each, NOW)[0][2][8:24] for each in (packet, other)]
    assert answers[0] == answers[1]


def test_delays_are_those_of_the_path_there_and_back() -> None:
    here, there = TOPOLOGY.vantages["nyc"], TOPOLOGY.targets["west.lab"]
    packet = udp4(here.address4, there.address4, 64, (61_000, 33_434))
    ((due, _, delivered),) = forwarder().handle(packet, NOW)
    path = Paths(ROUTES).forward(
        here.address4, there.address4, flow_hash(here.address4, there.address4, 17, packet[20:24])
    )
    assert due - NOW == path.delay_ns
    assert delivered[8] == 64 - len(path.hops)
    for hop in path.hops:
        assert hop.back is not None
        ((due, _, answer),) = forwarder().handle(
            packet[:8] + bytes((path.hops.index(hop) + 1,)) + packet[9:], NOW
        )
        assert due - NOW == hop.forward_ns + hop.back.delay_ns
        assert answer[8] == hop.router.reply_ttl - hop.back.hops


def test_an_answer_travels_back_to_its_vantage() -> None:
    here, there = TOPOLOGY.vantages["lon"], TOPOLOGY.targets["edge.lab"]
    ((_, port, delivered),) = forwarder().handle(udp4(there.address4, here.address4, 64, (443, 61_000)), NOW)
    assert port == "lon"
    assert delivered[8] == 64 - 4  # London's edge answered, not New York's


def test_dark_prohibited_refused_and_filtered_hosts_differ() -> None:
    here = TOPOLOGY.vantages["nyc"].address4

    def ask(target: str, protocol: int = 17, port: int = 33_434) -> list[bytes]:
        there = TOPOLOGY.targets[target].address4
        segment = struct.pack("!HHIIBBHHH", 61_000, port, 1, 0, 0x50, 0x02, 1000, 0, 0)
        packet = icmp.header4(here, there, 64, protocol, 20, 1) + segment
        return [answer for _, _, answer in forwarder().handle(packet, NOW)]

    assert ask("dark.lab") == []
    (walled,) = ask("walled.lab")
    assert walled[20:22] == b"\3\15"
    (refused,) = ask("quiet.lab", 6, 81)
    assert refused[9] == 6 and refused[33] == 0x14
    assert ask("quiet.lab", 6, 82) == []
    (open_,) = ask("quiet.lab", 6, 443)
    assert open_[12:16] == here


def test_nowhere_is_net_unreachable_from_the_first_router() -> None:
    here = TOPOLOGY.vantages["nyc"].address4
    ((_, port, answer),) = forwarder().handle(udp4(here, bytes((203, 0, 113, 1)), 64, (1, 2)), NOW)
    assert port == "nyc" and answer[12] == 10 and answer[20:22] == b"\3\0"


def test_errors_are_never_answered_with_errors() -> None:
    here, there = TOPOLOGY.vantages["nyc"].address4, TOPOLOGY.targets["west.lab"].address4
    error = icmp.error4(udp4(there, here, 1, (1, 2)), here, icmp.TIME_EXCEEDED, ttl=2, number=1)
    assert forwarder().handle(error, NOW) == []


def test_a_rate_limited_router_answers_its_burst_and_then_its_rate() -> None:
    here, there = TOPOLOGY.vantages["lon"], TOPOLOGY.targets["slow.lab"]
    packet = udp4(here.address4, there.address4, 5, (61_000, 33_434))
    router = forwarder()
    burst = [len(router.handle(packet, NOW + number)) for number in range(20)]
    assert sum(burst) == 3 and burst[:3] == [1, 1, 1]
    assert router.counters.throttled == 17
    later = [len(router.handle(packet, NOW + 1_000_000_000 + number)) for number in range(5)]
    assert later == [1, 0, 0, 0, 0]


def test_a_packet_too_big_is_told_or_cut() -> None:
    routes = Routes(
        TOPOLOGY, Conditions().after(Event(kind="cut", subject="plains-1"))
    )  # over southern-1, MTU 1400
    here, there = TOPOLOGY.vantages["nyc"].address4, TOPOLOGY.targets["west.lab"].address4
    ((_, port, told),) = forwarder(routes).handle(udp4(here, there, 64, (1, 2), 1450, df=1), NOW)
    assert port == "nyc" and told[20:22] == b"\3\4" and int.from_bytes(told[26:28]) == 1400
    pieces = forwarder(routes).handle(udp4(here, there, 64, (1, 2), 1450), NOW)
    assert len(pieces) == 2 and all(len(piece) <= 1400 for _, _, piece in pieces)


def test_losses_and_jitter_follow_the_seed_and_never_reorder_a_flow() -> None:
    congested = Event(kind="congest", subject="east-1", jitter_ms=5.0, loss=0.2)
    routes = Routes(TOPOLOGY, Conditions().after(congested))
    here, there = TOPOLOGY.vantages["nyc"].address4, TOPOLOGY.targets["west.lab"].address4

    def run() -> list[int]:
        router = forwarder(routes)
        packet = udp4(here, there, 64, (1, 2))
        return [
            due for number in range(2000) for due, _, _ in router.handle(packet, NOW + number * 1_000_000)
        ]

    dues = run()
    assert dues == run()
    assert dues == sorted(dues)
    assert 0.75 < len(dues) / 2000 < 0.85


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_noise_never_harms_the_router(noise: bytes) -> None:
    here, there = TOPOLOGY.vantages["nyc"].address4, TOPOLOGY.targets["west.lab"].address4
    for packet in (
        noise,
        b"\x45" + noise,
        udp4(here, there, 3, (1, 2))[: 20 + len(noise) % 20] + noise,
        b"\x60" + noise,
    ):
        if packet:
            forwarder().handle(packet, NOW)


def test_a_router_can_be_asked_itself() -> None:
    here = TOPOLOGY.vantages["nyc"].address4
    path = Paths(ROUTES).forward(here, TOPOLOGY.targets["west.lab"].address4, 1)
    hop = path.hops[5]
    ((due, port, delivered),) = forwarder().handle(udp4(here, hop.address, 64, (1, 2)), NOW)
    assert port == INTERNET and 64 - delivered[8] <= 6 and due - NOW < path.delay_ns
    ((_, port, _),) = forwarder().handle(udp4(hop.address, here, 64, (1, 2)), NOW)
    assert port == "nyc"


def test_the_same_seed_chooses_the_same_silent_routers() -> None:
    text = read("small").replace("silent = []", "silent_share = 0.5")
    chosen = [
        {router.name for group in Topology(parse(text)).groups for router in group.routers if router.silent}
        for _ in range(2)
    ]
    assert chosen[0] == chosen[1]
    other = Topology(parse(text.replace("seed = 7", "seed = 8")))
    assert chosen[0] != {router.name for group in other.groups for router in group.routers if router.silent}


def test_an_interface_faces_the_group_the_packet_came_from() -> None:
    for link in TOPOLOGY.links:
        for router in link.far.routers:
            assert (interface_end(link), 4) in router.addresses
