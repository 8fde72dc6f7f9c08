"""A million forged, mutated and random replies: none is taken for an answer, nothing crashes."""

from itertools import product
from random import Random

import pytest

from nettrace.measure.packets import icmp, ip, tcp
from nettrace.measure.packets.checksum import checksum, pseudo_sum
from nettrace.measure.packets.probe import signature, template
from nettrace.measure.packets.tag import TAG_BITS, TAG_LIMIT, TagCipher
from nettrace.measure.tracing.answer import Answer
from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.match import Matcher
from nettrace.measure.tracing.pending import Pending
from nettrace.model.measurement import Method
from nettrace.model.path import ReplyKind

HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE = {4: "198.18.0.1", 6: "2001:db8:ffff::2"}
ROUTER = {4: ip.packed("203.0.113.7"), 6: ip.packed("2001:db8:f::7")}
KINDS = list(product(Method, (4, 6)))
UNDER_WAY = 64


class Scene:
    """64 probes under way in each of the six flows, and a router's error about one to work on."""

    def __init__(self, method: Method, version: int) -> None:
        self.version = version
        self.method = method
        self.cipher = TagCipher(b"what the forger does not know...")
        self.pending = Pending(slot_bits=10)
        self.matcher = Matcher(self.cipher, self.pending.signature)
        for other, family in KINDS:
            flow = signature(THERE[family], flow_for(THERE[family], other))
            tags = [self.pending.take(flow) for _ in range(UNDER_WAY)]
            if (other, family) == (method, version):
                self.flow, self.tag = flow, tags[7] or 0
        self.template = template(HERE[version], method)
        self.header = 20 if version == 4 else 40
        self.quote_at = self.header + 8
        self.transport_at = self.quote_at + self.header
        probe = self.template.packet(self.flow, 1, self.cipher.hide(self.tag))
        here = ip.packed(HERE[version])
        if version == 4:
            message = icmp.build_error(ReplyKind.TIME_EXCEEDED, probe)
            self.genuine = ip.build_ipv4(ROUTER[4], here, ip.ICMP, message)
        else:
            message = icmp.build_error(ReplyKind.TIME_EXCEEDED, probe, addresses=ROUTER[6] + here)
            self.genuine = ip.build_ipv6(ROUTER[6], here, ip.ICMPV6, message)
        size = len(self.genuine) - self.header
        self.pseudo = pseudo_sum(ROUTER[6], here, ip.ICMPV6, size) if version == 6 else 0

    def seal(self, packet: bytearray) -> None:
        """The forger computes the ICMP checksum right."""
        at = self.header + 2
        packet[at : at + 2] = b"\0\0"
        packet[at : at + 2] = checksum(packet[self.header :], self.pseudo).to_bytes(2)

    def verified(self) -> list[range]:
        """Byte ranges of the reply that no change survives, with the tag's copies left out."""
        quote, transport = self.quote_at, self.transport_at
        if self.version == 4:
            ranges = [range(quote, quote + 1), range(quote + 9, quote + 10), range(quote + 16, quote + 20)]
        else:
            ranges = [range(quote + 6, quote + 7), range(quote + 24, quote + 40)]
        if self.method is Method.ICMP:
            return [*ranges, range(transport, transport + 1), range(transport + 4, transport + 6)]
        return [*ranges, range(transport, transport + 4)]

    def tags(self) -> list[list[range]]:
        """Where the tag stands; one whole copy must be untouched."""
        quote, transport = self.quote_at, self.transport_at
        if self.method is Method.TCP:
            return [[range(transport + 4, transport + 8)]]
        payload = [range(transport + 10, transport + 14)]
        if self.version == 6:
            return [payload]
        return [[range(quote + 4, quote + 6), range(transport + 6, transport + 8)], payload]

    def may_be_accepted(self, touched: set[int]) -> bool:
        def free(spans: list[range]) -> bool:
            return all(position not in touched for span in spans for position in span)

        return free(self.verified()) and any(free(copy) for copy in self.tags())


def forged(scene: Scene, guesses: int, random: Random) -> list[Answer]:
    """The forger knows flow, router and format of everything; the tag it must guess."""
    packet = bytearray(scene.genuine)
    accepted: list[Answer] = []
    for _ in range(guesses):
        scene.template.write(packet, scene.quote_at, scene.flow, 1, random.getrandbits(TAG_BITS))
        scene.seal(packet)
        answer = scene.matcher.match(packet)
        if answer is not None:
            accepted.append(answer)
    return accepted


@pytest.mark.slow
@pytest.mark.parametrize(("method", "version"), KINDS)
def test_a_hundred_thousand_forged_errors_for_each_kind_of_probe(method: Method, version: int) -> None:
    scene = Scene(method, version)
    assert scene.matcher.match(scene.genuine) is not None
    assert forged(scene, 100_000, Random(f"{method}{version}")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("method", "version"), KINDS)
def test_fifty_thousand_mutations_of_a_genuine_answer(method: Method, version: int) -> None:
    """Accepted only where the change left everything alone that proves the answer, and for the same probe."""
    scene = Scene(method, version)
    random = Random(f"mutate {method}{version}")
    size = len(scene.genuine)
    survived = 0
    for number in range(50_000):
        packet = bytearray(scene.genuine)
        touched: set[int] = set()
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(scene.header, size)
            packet[at] ^= random.randrange(1, 256)
            touched.add(at)
        touched = {at for at in touched if packet[at] != scene.genuine[at]}
        if number & 3:
            scene.seal(packet)
        answer = scene.matcher.match(packet[: random.randrange(size)] if number % 5 == 0 else packet)
        if answer is not None:
            assert answer.tag == scene.tag
            assert scene.may_be_accepted(touched)
            survived += 1
    assert survived > 1000


@pytest.mark.slow
def test_a_hundred_thousand_random_packets() -> None:
    scene = Scene(Method.UDP, 4)
    random = Random(1)
    for _ in range(100_000):
        packet = bytearray(random.randbytes(random.randrange(120)))
        if packet:
            packet[0] = random.choice((0x45, 0x46, 0x60))
        assert scene.matcher.match(packet) is None
        assert scene.matcher.match_ipv6(packet, 0, len(packet), 58, bytes(16), None) is None


@pytest.mark.slow
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", [Method.TCP, Method.ICMP])
def test_twenty_five_thousand_forged_replies_of_the_destination(method: Method, version: int) -> None:
    """Echo replies and SYN-ACKs from the right address to the right port, the tag guessed."""
    scene = Scene(method, version)
    random = Random(f"destination {method}{version}")
    here, there = ip.packed(HERE[version]), ip.packed(THERE[version])
    flow = flow_for(THERE[version], method)
    build = ip.build_ipv4 if version == 4 else ip.build_ipv6
    for _ in range(25_000):
        guess = random.randrange(TAG_LIMIT)
        if method is Method.TCP:
            body = tcp.build_tcp(
                there,
                here,
                flow.destination_port,
                flow.source_port,
                sequence=0,
                acknowledgment=guess + 1,
                flags=tcp.SYN | tcp.ACK,
            )
            protocol = ip.TCP
        else:
            payload = b"\0\0" + guess.to_bytes(4) + bytes(50)
            addresses = there + here if version == 6 else b""
            body = icmp.build_echo(
                flow.icmp_identifier, guess & 0x7FFF, payload, request=False, addresses=addresses
            )
            protocol = ip.ICMP if version == 4 else ip.ICMPV6
        assert scene.matcher.match(build(there, here, protocol, body)) is None


def test_the_same_in_short() -> None:
    """What runs everywhere, also where slow tests do not."""
    for method, version in KINDS:
        assert forged(Scene(method, version), 2_000, Random(3)) == []
