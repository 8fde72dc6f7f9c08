"""A sweep's packets and their answers: true checksums, one flow a target, nothing accepted that was not asked."""

import socket
import struct
from collections.abc import Iterable
from random import Random

import pytest

from nettrace.measure.kernel.ring import IN_NAME, IN_PACKET, OUT_NAME, OUT_PACKET, Inbox, Outbox, address_of
from nettrace.measure.packets.checksum import checksum, pseudo_sum
from nettrace.measure.packets.icmp import build_error
from nettrace.measure.packets.ip import build_ipv4
from nettrace.measure.packets.quoted import build_extensions
from nettrace.measure.sweeping import targets
from nettrace.measure.sweeping.packets import PROTOCOL, Packets, Target
from nettrace.measure.sweeping.replies import Replies
from nettrace.measure.sweeping.targets import Targets
from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.sweep import DIRECT, EXTENDED, Record
from nettrace.measure.tracing.sweep_table import SLOTS
from nettrace.model.measurement import Method
from nettrace.model.path import Label, ReplyKind

HERE = {4: "10.200.0.1", 6: "fd00:200::1"}
KINDS = [(method, version) for method in Method for version in (4, 6)]
FIRST_SLOT = 40_000


def packets_of(method: Method, version: int) -> Packets:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    source = socket.inet_pton(family, HERE[version])
    return Packets(method, version, None, 0, lambda _: source)


def addresses(version: int, count: int = 20) -> list[str]:
    return [f"10.201.3.{n}" if version == 4 else f"fd00:201::{n:x}" for n in range(1, count + 1)]


def composed(packets: Packets, targets: list[Target], ttls: bytes) -> list[tuple[bytes, bytes]]:
    """(socket address, packet) of one probe to each target, in slots from FIRST_SLOT on."""
    family = socket.AF_INET if packets.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as unused:
        outbox = Outbox(unused, batch=len(targets), packet_bytes=packets.stride - OUT_PACKET)
    rows = range(len(targets))
    packets.compose(outbox, FIRST_SLOT, rows, ttls, [t.template for t in targets], [t.total for t in targets])
    made: list[tuple[bytes, bytes]] = []
    for row in rows:
        slot = bytes(outbox.view[row * outbox.stride : (row + 1) * outbox.stride])
        made.append((slot[OUT_NAME:OUT_PACKET], slot[OUT_PACKET : OUT_PACKET + packets.layout.size]))
    return made


@pytest.mark.parametrize(("method", "version"), KINDS)
def test_every_packet_has_its_target_its_ttl_its_flow_and_a_true_checksum(
    method: Method, version: int
) -> None:
    packets = packets_of(method, version)
    names = addresses(version)
    ttls = bytes(range(1, len(names) + 1))
    for index, (name, packet) in enumerate(composed(packets, [packets.target(a) for a in names], ttls)):
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        destination = socket.inet_pton(family, names[index])
        ends = packet[12:20] if version == 4 else packet[8:40]
        transport = packet[packets.layout.transport :]
        assert address_of(name)[0] == names[index]
        assert ends == socket.inet_pton(family, HERE[version]) + destination
        assert packet[8 if version == 4 else 7] == ttls[index]
        assert packet[9 if version == 4 else 6] == PROTOCOL[method, version]
        half = len(ends) // 2
        pseudo = pseudo_sum(ends[:half], ends[half:], PROTOCOL[method, version], len(transport))
        assert checksum(transport, 0 if (method, version) == (Method.ICMP, 4) else pseudo) == 0
        flow = flow_for(names[index], method)
        if method is Method.ICMP:
            assert struct.unpack("!xxHH", transport[:6]) == (flow.icmp_checksum, flow.icmp_identifier)
        else:
            assert struct.unpack("!HH", transport[:4]) == (flow.source_port, flow.destination_port)
        if version == 6:
            assert int.from_bytes(packet[:4]) & 0xFFFFF == flow.ipv6_flow_label


@pytest.mark.parametrize(("method", "version"), KINDS)
def test_probes_of_one_target_differ_only_where_no_load_balancer_looks(method: Method, version: int) -> None:
    packets = packets_of(method, version)
    target = packets.target(addresses(version)[0])
    (_, first), (_, second) = composed(packets, [target, target], b"\3\3")
    at = packets.layout.transport
    assert first != second
    assert first[at : at + 4] == second[at : at + 4]
    assert first[:4] == second[:4]
    assert first[packets.layout.destination : at] == second[packets.layout.destination : at]


# -- replies ---------------------------------------------------------------------------------------------------


class Ears:
    """An inbox filled by hand."""

    def __init__(self, method: Method, version: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            self.inbox = Inbox(unused, batch=64, packet_bytes=320)
        self.extras: dict[int, tuple[tuple[Label, ...], int | None]] = {}
        self.replies = Replies(method, version, self.inbox, self.extras)
        self.version = version

    def hear(self, *heard: tuple[bytes, bytes], stamped: bool = True) -> list[Record]:
        """The records of (source, message) pairs as the kernel would deliver them."""
        inbox = self.inbox
        for index, (source, message) in enumerate(heard):
            start = index * inbox.stride
            inbox.view[start : start + inbox.stride] = bytes(inbox.stride)
            if stamped:
                struct.pack_into("=QiiqQqQqQ", inbox.data, start, 64, 1, 37, 1000, index, 0, 0, 0, 0)
            inbox.control_sizes[index] = 64 if stamped else 0
            packet = message
            if self.version == 4:
                packet = build_ipv4(source, socket.inet_aton(HERE[4]), 1, message)
            else:
                inbox.view[start + IN_NAME + 8 : start + IN_NAME + 24] = source
            packet = packet[: inbox.packet_bytes]
            inbox.view[start + IN_PACKET : start + IN_PACKET + len(packet)] = packet
            inbox.sizes[index] = len(packet)
        return list(self.replies.records(inbox, len(heard)))


ROUTER = {4: socket.inet_aton("11.0.0.7"), 6: socket.inet_pton(socket.AF_INET6, "fd00:202::7")}


def error_about(
    packet: bytes, version: int, kind: ReplyKind = ReplyKind.TIME_EXCEEDED, **more: object
) -> bytes:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    ends = b"" if version == 4 else ROUTER[6] + socket.inet_pton(family, HERE[6])
    return build_error(kind, packet, addresses=ends, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "version"), KINDS)
def test_an_error_is_traced_back_to_slot_target_and_secret(method: Method, version: int) -> None:
    packets = packets_of(method, version)
    target = packets.target(addresses(version)[0])
    ((_, packet),) = composed(packets, [target], b"\7")
    ears = Ears(method, version)
    for quote in (packet, packet[:28] if version == 4 else packet):
        ((seconds, ns, source, _, slot, ttl, about, mark),) = ears.hear(
            (ROUTER[version], error_about(quote, version))
        )
        assert (seconds, ns, slot, ttl) == (1000, 0, FIRST_SLOT, 7)
        assert ears.replies.addresses.text(source) == ("11.0.0.7" if version == 4 else "fd00:202::7")
        assert about == target.destination
        assert mark == (target.mark if method is Method.UDP else packets.marks[FIRST_SLOT])


def test_a_ring_of_everyday_replies_is_read_at_once_and_any_other_one_by_one_alike() -> None:
    packets = packets_of(Method.UDP, 4)
    targets = [packets.target(address) for address in addresses(4)]
    errors = [
        (ROUTER[4], error_about(packet[: 28 + 4 * (index % 5)], 4))
        for index, (_, packet) in enumerate(composed(packets, targets, bytes(range(1, 21))))
    ]
    ears = Ears(Method.UDP, 4)
    at_once = ears.hear(*errors)
    extended = error_about(
        composed(packets, targets[:1], b"\1")[0][1], 4, extensions=build_extensions((Label(99, 0, True, 1),))
    )
    one_by_one = ears.hear(*errors, (ROUTER[4], extended))
    assert len(at_once) == 20
    assert one_by_one[:20] == at_once


@pytest.mark.parametrize("version", [4, 6])
def test_labels_and_mtu_come_beside_the_record(version: int) -> None:
    packets = packets_of(Method.UDP, version)
    ((_, packet),) = composed(packets, [packets.target(addresses(version)[0])], b"\1")
    labels = (Label(24_001, 5, True, 1),)
    ears = Ears(Method.UDP, version)
    (record,) = ears.hear(
        (ROUTER[version], error_about(packet, version, extensions=build_extensions(labels)))
    )
    assert record[3] & EXTENDED
    assert ears.extras[record[4]] == (labels, None)
    (record,) = ears.hear(
        (ROUTER[version], error_about(packet, version, ReplyKind.PACKET_TOO_BIG, mtu_bytes=1400))
    )
    assert ears.extras[record[4]] == ((), 1400)


@pytest.mark.parametrize("version", [4, 6])
def test_an_echo_reply_must_come_from_the_target_with_its_secret(version: int) -> None:
    packets = packets_of(Method.ICMP, version)
    address = addresses(version)[0]
    target = packets.target(address)
    ((_, packet),) = composed(packets, [target], b"\x20")
    message = packet[packets.layout.transport :]
    reply = bytes((0 if version == 4 else 129,)) + message[1:]
    source = socket.inet_pton(socket.AF_INET if version == 4 else socket.AF_INET6, address)
    ears = Ears(Method.ICMP, version)
    (record,) = ears.hear((source, reply))
    assert record[3] == DIRECT
    assert record[4] == FIRST_SLOT
    assert record[6] == target.destination
    assert record[7] == packets.marks[FIRST_SLOT]


def test_unstamped_replies_are_no_records() -> None:
    packets = packets_of(Method.UDP, 4)
    ((_, packet),) = composed(packets, [packets.target("10.201.0.1")], b"\1")
    assert Ears(Method.UDP, 4).hear((ROUTER[4], error_about(packet, 4)), stamped=False) == []


@pytest.mark.parametrize(("method", "version"), KINDS)
def test_noise_raises_nothing_and_never_shows_a_live_secret(method: Method, version: int) -> None:
    random = Random(7)
    packets = packets_of(method, version)
    target = packets.target(addresses(version)[0])
    ((_, packet),) = composed(packets, [target], b"\7")
    ears = Ears(method, version)
    genuine = error_about(packet, version)

    def noise() -> Iterable[tuple[bytes, bytes]]:
        for _ in range(64):
            if random.random() < 0.5:
                yield ROUTER[version], random.randbytes(random.randrange(120))
                continue
            bent = bytearray(genuine[: random.randrange(1, len(genuine))])
            for _ in range(random.randrange(1, 4)):
                bent[random.randrange(len(bent))] = random.randrange(256)
            yield ROUTER[version], bytes(bent)

    for _ in range(60):
        for record in ears.hear(*noise()):
            assert 0 <= record[4] <= SLOTS
            assert 0 <= record[5] <= 255


# -- targets ---------------------------------------------------------------------------------------------------


def test_every_target_is_dealt_out_once_in_random_order() -> None:
    names = [f"10.0.{n >> 8}.{n & 255}" for n in range(20_000)]
    targets, taken = Targets(names), []
    while not targets.done:
        taken += [pinned.target for pinned in targets.take(500)]
    assert sorted(taken) == sorted(names)
    assert taken != names


def test_a_stream_is_read_no_further_than_needed() -> None:
    read = 0

    def endless() -> Iterable[str]:
        nonlocal read
        while True:
            read += 1
            yield "10.0.0.1"

    targets = Targets(endless())
    assert len(targets.take(100)) == 100
    assert read <= 8192
    assert not targets.done


def test_names_are_resolved_beside_and_failures_say_why() -> None:
    targets, found = Targets(["localhost", "127.0.0.1", "no.such.name.invalid", "::1"], version=4), {}
    while not targets.done:
        found.update({pinned.target: pinned for pinned in targets.take(10)})
    targets.close()
    assert found["localhost"].address == "127.0.0.1"
    assert "127.0.0.1" in found["localhost"].resolved
    assert found["127.0.0.1"].resolved == ("127.0.0.1",)
    assert found["no.such.name.invalid"].address is None
    assert found["no.such.name.invalid"].problem
    assert found["::1"].problem == "::1 is not an IPv4 address"


def test_addresses_are_told_from_names() -> None:
    texts = ["198.18.0.1", "2001:db8::1", "example", "1.2.3", "1.2.3.4.5", "a:b", ""]
    assert [targets.address_of(text) for text in texts] == [
        "198.18.0.1",
        "2001:db8::1",
        None,
        None,
        None,
        None,
        None,
    ]
