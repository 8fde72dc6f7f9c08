"""Which answers are ours: every genuine one, no other."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import msgspec
import pytest

from nettrace.errors import Invalid
from nettrace.measure.packets import icmp, ip, tcp, udp
from nettrace.measure.packets.probe import Signature, signature, template
from nettrace.measure.packets.quoted import build_extensions
from nettrace.measure.packets.tag import TagCipher
from nettrace.measure.tracing.answer import Answer, QueuedError
from nettrace.measure.tracing.batch import match_ipv4_batch
from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.match import Matcher
from nettrace.measure.tracing.pending import Pending
from nettrace.model.measurement import Grade, Method
from nettrace.model.path import Label, ReplyKind

HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE = {4: "198.18.0.1", 6: "2001:db8:ffff::2"}
ROUTER = {4: ip.packed("203.0.113.7"), 6: ip.packed("2001:db8:f::7")}
KINDS = list(product(Method, (4, 6)))
ERRORS = [ReplyKind.TIME_EXCEEDED, ReplyKind.UNREACHABLE, ReplyKind.PACKET_TOO_BIG]
LABELS = (Label(24001, 1, False, 1), Label(125, 0, True, 255))


class Net:
    """A prober's side of the wire, and routers and hosts that answer it."""

    def __init__(self, secret: bytes = bytes(range(32)), slot_bits: int = 8) -> None:
        self.cipher = TagCipher(secret)
        self.pending = Pending(slot_bits)
        self.matcher = Matcher(self.cipher, self.pending.signature)

    def flow(self, method: Method, version: int) -> Signature:
        return signature(THERE[version], flow_for(THERE[version], method))

    def send(self, method: Method, version: int, ttl: int = 3, size: int = 56) -> tuple[int, bytes]:
        flow = self.flow(method, version)
        tag = self.pending.take(flow)
        assert tag is not None
        return tag, template(HERE[version], method, size).packet(flow, ttl, self.cipher.hide(tag))

    def error(self, quote: bytes, kind: ReplyKind = ReplyKind.TIME_EXCEEDED, **how: object) -> bytes:
        """A router's ICMP error about the quoted packet, as a whole packet."""
        version = quote[0] >> 4
        here, router = ip.packed(HERE[version]), ROUTER[version]
        if version == 4:
            return ip.build_ipv4(router, here, ip.ICMP, icmp.build_error(kind, quote, **how), ttl=61)  # pyright: ignore[reportArgumentType]
        message = icmp.build_error(kind, quote, addresses=router + here, **how)  # pyright: ignore[reportArgumentType]
        return ip.build_ipv6(router, here, ip.ICMPV6, message, hop_limit=61)


def from_host(version: int, protocol: int, body: bytes, source: str | None = None) -> bytes:
    there, here = ip.packed(source or THERE[version]), ip.packed(HERE[version])
    if version == 4:
        return ip.build_ipv4(there, here, protocol, body, ttl=57)
    return ip.build_ipv6(there, here, protocol, body, hop_limit=57)


def echo_reply(probe: bytes, source: str | None = None, **change: bytes | int) -> bytes:
    version = probe[0] >> 4
    at = 20 if version == 4 else 40
    identifier = int(change.get("identifier", int.from_bytes(probe[at + 4 : at + 6])))
    sequence = int(change.get("sequence", int.from_bytes(probe[at + 6 : at + 8])))
    addresses = ip.packed(source or THERE[6]) + ip.packed(HERE[6]) if version == 6 else b""
    message = icmp.build_echo(identifier, sequence, probe[at + 8 :], request=False, addresses=addresses)
    return from_host(version, ip.ICMP if version == 4 else ip.ICMPV6, message, source)


def segment(probe: bytes, flags: int, acknowledged: int = 1, source: str | None = None) -> bytes:
    version = probe[0] >> 4
    syn = tcp.parse_tcp(probe, 20 if version == 4 else 40)
    body = tcp.build_tcp(
        ip.packed(source or THERE[version]),
        ip.packed(HERE[version]),
        syn.destination_port,
        syn.source_port,
        sequence=99,
        acknowledgment=syn.sequence + acknowledged & 0xFFFFFFFF,
        flags=flags,
    )
    return from_host(version, ip.TCP, body, source)


class TestErrors:
    """ICMP errors that quote a probe."""

    @pytest.mark.parametrize(("method", "version"), KINDS)
    @pytest.mark.parametrize("kind", ERRORS)
    def test_an_error_about_a_probe_is_matched(self, method: Method, version: int, kind: ReplyKind) -> None:
        net = Net()
        others = [net.send(method, version) for _ in range(5)]
        tag, probe = net.send(method, version, ttl=3)
        mtu = 1280 if kind is ReplyKind.PACKET_TOO_BIG else None
        code = {ReplyKind.UNREACHABLE: 3, ReplyKind.PACKET_TOO_BIG: 4 if version == 4 else 0}.get(kind, 0)
        answer = net.matcher.match(net.error(probe, kind, code=code, mtu_bytes=mtu or 0))
        assert answer == Answer(
            tag=tag,
            kind=kind,
            source=ROUTER[version],
            code=code,
            reply_ttl=61,
            quoted_ttl=3,
            mtu_bytes=mtu,
        )
        assert tag not in {other for other, _ in others}

    @pytest.mark.parametrize("method", Method)
    def test_in_ipv4_eight_quoted_bytes_prove_whose_probe_it_was(self, method: Method) -> None:
        net = Net()
        tag, probe = net.send(method, 4)
        answer = net.matcher.match(net.error(probe[:28]))
        assert answer is not None
        assert (answer.tag, answer.rewritten) == (tag, False)

    @pytest.mark.parametrize("method", Method)
    def test_fewer_prove_nothing(self, method: Method) -> None:
        net = Net()
        _, probe = net.send(method, 4)
        for size in range(1, 28):
            assert net.matcher.match(net.error(probe[:size])) is None

    @pytest.mark.parametrize(("method", "needed"), [(Method.TCP, 48), (Method.UDP, 54), (Method.ICMP, 54)])
    def test_in_ipv6_the_quote_must_reach_the_tag(self, method: Method, needed: int) -> None:
        """RFC 4443 has routers quote as much as fits in 1,280 bytes."""
        net = Net()
        tag, probe = net.send(method, 6)
        assert net.matcher.match(net.error(probe[: needed - 1])) is None
        answer = net.matcher.match(net.error(probe[:needed]))
        assert answer is not None
        assert answer.tag == tag

    @pytest.mark.parametrize(("method", "version"), KINDS)
    @pytest.mark.parametrize("legacy", [False, True])
    def test_labels_come_along(self, method: Method, version: int, legacy: bool) -> None:
        net = Net()
        tag, probe = net.send(method, version)
        answer = net.matcher.match(net.error(probe, extensions=build_extensions(LABELS), legacy=legacy))
        assert answer is not None
        assert (answer.tag, answer.labels) == (tag, LABELS)

    def test_broken_extensions_cost_their_labels_only(self) -> None:
        net = Net()
        tag, probe = net.send(Method.UDP, 4)
        raw = b"\x20\0\0\0\0\3\1\1"
        answer = net.matcher.match(net.error(probe, extensions=raw))
        assert answer is not None
        assert (answer.tag, answer.labels) == (tag, ())

    def test_a_router_that_added_options_to_the_quoted_header_is_understood(self) -> None:
        net = Net()
        tag, probe = net.send(Method.UDP, 4)
        header = ip.parse_ipv4(probe)
        quote = ip.build_ipv4(
            header.source,
            header.destination,
            header.protocol,
            probe[20:],
            identification=header.identification,
            options=b"\x94\x04\0\0",
        )
        answer = net.matcher.match(net.error(quote))
        assert answer is not None
        assert answer.tag == tag

    @pytest.mark.parametrize(("kind", "code"), [(11, 1), (4, 0), (5, 1), (12, 0)])
    def test_messages_that_say_nothing_of_the_way_are_not_answers(self, kind: int, code: int) -> None:
        net = Net()
        _, probe = net.send(Method.UDP, 4)
        message = bytearray(icmp.build_error(ReplyKind.TIME_EXCEEDED, probe))
        message[0], message[1] = kind, code
        message[2:4] = b"\0\0"
        message[2:4] = icmp.checksum(message).to_bytes(2)
        packet = ip.build_ipv4(ROUTER[4], ip.packed(HERE[4]), ip.ICMP, message)
        assert net.matcher.match(packet) is None

    @pytest.mark.parametrize("version", [4, 6])
    def test_a_broken_checksum_is_no_answer(self, version: int) -> None:
        net = Net()
        _, probe = net.send(Method.UDP, version)
        packet = bytearray(net.error(probe))
        packet[-1] ^= 1
        assert net.matcher.match(packet) is None


class TestRewriting:
    """Middleboxes that write into probes are seen, and seen through where the quote is long enough."""

    def change(self, probe: bytes, at: int) -> bytes:
        changed = bytearray(probe)
        changed[at] ^= 0x15
        return bytes(changed)

    @pytest.mark.parametrize(
        ("method", "version", "at"),
        [
            (Method.UDP, 4, 26),
            (Method.UDP, 4, 4),
            (Method.ICMP, 4, 4),
            (Method.ICMP, 4, 22),
            (Method.TCP, 4, 4),
            (Method.UDP, 6, 46),
            (Method.ICMP, 6, 42),
            (Method.UDP, 6, 2),
            (Method.TCP, 6, 3),
        ],
    )
    def test_a_changed_checksum_identification_or_flow_label_is_reported(
        self, method: Method, version: int, at: int
    ) -> None:
        net = Net()
        tag, probe = net.send(method, version)
        answer = net.matcher.match(net.error(self.change(probe, at)))
        assert answer is not None
        assert (answer.tag, answer.rewritten) == (tag, True)

    @pytest.mark.parametrize("at", [4, 26])
    def test_with_a_short_quote_there_is_nothing_left_to_prove_it_by(self, at: int) -> None:
        net = Net()
        _, probe = net.send(Method.UDP, 4)
        assert net.matcher.match(net.error(self.change(probe, at)[:28])) is None

    def test_a_quote_padded_with_zeros_is_not_called_rewritten(self) -> None:
        net = Net()
        _, probe = net.send(Method.UDP, 4)
        answer = net.matcher.match(net.error(probe[:28] + bytes(100)))
        assert answer is not None
        assert not answer.rewritten


class TestForgeries:
    """What does not fit a probe under way is nobody's answer."""

    @pytest.mark.parametrize(("method", "version"), KINDS)
    def test_a_quote_of_another_destination_is_refused(self, method: Method, version: int) -> None:
        net = Net()
        _, probe = net.send(method, version)
        changed = bytearray(probe)
        changed[19 if version == 4 else 39] ^= 1
        assert net.matcher.match(net.error(bytes(changed))) is None

    @pytest.mark.parametrize(("method", "version"), [kind for kind in KINDS if kind[0] is not Method.ICMP])
    @pytest.mark.parametrize("port", [0, 2])
    def test_a_quote_of_other_ports_is_refused(self, method: Method, version: int, port: int) -> None:
        net = Net()
        _, probe = net.send(method, version)
        changed = bytearray(probe)
        changed[(20 if version == 4 else 40) + port] ^= 1
        assert net.matcher.match(net.error(bytes(changed))) is None

    @pytest.mark.parametrize("version", [4, 6])
    def test_a_quote_of_another_echo_identifier_is_refused(self, version: int) -> None:
        net = Net()
        _, probe = net.send(Method.ICMP, version)
        changed = bytearray(probe)
        changed[25 if version == 4 else 45] ^= 1
        assert net.matcher.match(net.error(bytes(changed))) is None

    def test_a_quote_of_another_protocol_is_refused(self) -> None:
        net = Net()
        _, probe = net.send(Method.UDP, 4)
        for protocol in range(256):
            changed = bytearray(probe)
            changed[9] = protocol
            answer = net.matcher.match(net.error(bytes(changed)))
            assert (answer is not None) == (protocol == ip.UDP)

    @pytest.mark.parametrize(("method", "version"), KINDS)
    def test_nobody_without_the_secret_can_name_a_live_tag(self, method: Method, version: int) -> None:
        """Twenty thousand forged errors about the right flow, as someone else's NetTrace would write them."""
        net, forger = Net(), Net(secret=b"some other secret")
        for _ in range(32):
            net.send(method, version)
        probes = template(HERE[version], method)
        flow = net.flow(method, version)
        for guess in range(20_000):
            probe = probes.packet(flow, 3, forger.cipher.hide(guess))
            assert net.matcher.match(net.error(probe)) is None

    def test_a_probe_that_is_no_longer_under_way_has_no_answers(self) -> None:
        net = Net()
        tag, probe = net.send(Method.UDP, 4)
        late = net.error(probe)
        assert net.matcher.match(late) is not None
        net.pending.release(tag)
        assert net.matcher.match(late) is None

    def test_a_replayed_answer_does_not_count_for_the_slots_next_probe(self) -> None:
        net = Net(slot_bits=1)
        answers: list[bytes] = []
        for _ in range(50):
            tag, probe = net.send(Method.UDP, 4)
            assert all(net.matcher.match(replay) is None for replay in answers)
            answers.append(net.error(probe))
            net.pending.release(tag)

    @pytest.mark.parametrize(("method", "version"), KINDS)
    def test_our_own_probe_coming_back_is_no_answer(self, method: Method, version: int) -> None:
        net = Net()
        _, probe = net.send(method, version)
        assert net.matcher.match(probe) is None


class TestDestinations:
    """Echo replies, segments and datagrams of the destination itself."""

    @pytest.mark.parametrize("version", [4, 6])
    def test_an_echo_reply_is_matched(self, version: int) -> None:
        net = Net()
        tag, probe = net.send(Method.ICMP, version)
        answer = net.matcher.match(echo_reply(probe))
        assert answer == Answer(tag, ReplyKind.ECHO_REPLY, ip.packed(THERE[version]), reply_ttl=57)

    @pytest.mark.parametrize("version", [4, 6])
    def test_it_may_come_from_another_address_of_the_destination(self, version: int) -> None:
        net = Net()
        tag, probe = net.send(Method.ICMP, version)
        other = "198.18.0.99" if version == 4 else "2001:db8::99"
        answer = net.matcher.match(echo_reply(probe, other))
        assert answer is not None
        assert (answer.tag, answer.source) == (tag, ip.packed(other))

    @pytest.mark.parametrize("version", [4, 6])
    @pytest.mark.parametrize("field", ["identifier", "sequence"])
    def test_another_identifier_or_sequence_is_refused(self, version: int, field: str) -> None:
        net = Net()
        _, probe = net.send(Method.ICMP, version)
        assert net.matcher.match(echo_reply(probe, **{field: 4242})) is None

    def test_an_echo_reply_without_our_payload_is_refused(self) -> None:
        net = Net()
        _, probe = net.send(Method.ICMP, 4)
        at = ip.parse_ipv4(probe).header_bytes
        bare = icmp.build_echo(int.from_bytes(probe[at + 4 : at + 6]), 0, b"", request=False)
        assert net.matcher.match(from_host(4, ip.ICMP, bare)) is None

    @pytest.mark.parametrize("version", [4, 6])
    @pytest.mark.parametrize(
        ("flags", "kind"),
        [
            (tcp.SYN | tcp.ACK, ReplyKind.SYN_ACK),
            (tcp.RST | tcp.ACK, ReplyKind.RESET),
            (tcp.SYN | tcp.ACK | 0xC0, ReplyKind.SYN_ACK),
        ],
    )
    def test_a_segment_that_acknowledges_the_syn_is_matched(
        self, version: int, flags: int, kind: ReplyKind
    ) -> None:
        net = Net()
        tag, probe = net.send(Method.TCP, version)
        answer = net.matcher.match(segment(probe, flags))
        assert answer == Answer(tag, kind, ip.packed(THERE[version]), reply_ttl=57)

    @pytest.mark.parametrize("flags", [0, tcp.SYN, tcp.ACK, tcp.RST, tcp.FIN | tcp.ACK, 0x16])
    def test_other_segments_are_not_answers(self, flags: int) -> None:
        net = Net()
        _, probe = net.send(Method.TCP, 4)
        assert net.matcher.match(segment(probe, flags)) is None

    @pytest.mark.parametrize("acknowledged", [0, 2, 1 << 30])
    def test_a_segment_that_acknowledges_something_else_is_refused(self, acknowledged: int) -> None:
        net = Net()
        _, probe = net.send(Method.TCP, 4)
        assert net.matcher.match(segment(probe, tcp.SYN | tcp.ACK, acknowledged)) is None

    def test_a_segment_from_another_address_is_refused(self) -> None:
        net = Net()
        _, probe = net.send(Method.TCP, 4)
        assert net.matcher.match(segment(probe, tcp.SYN | tcp.ACK, source="198.18.0.2")) is None

    @pytest.mark.parametrize("version", [4, 6])
    def test_a_udp_service_that_returns_our_payload_is_matched(self, version: int) -> None:
        net = Net()
        tag, probe = net.send(Method.UDP, version)
        at = 20 if version == 4 else 40
        sent = udp.parse_udp(probe, at)
        there, here = ip.packed(THERE[version]), ip.packed(HERE[version])
        body = udp.build_udp(there, here, sent.destination_port, sent.source_port, probe[at + 8 :])
        answer = net.matcher.match(from_host(version, ip.UDP, body))
        assert answer == Answer(tag, ReplyKind.UDP_ANSWER, there, reply_ttl=57)
        other = udp.build_udp(there, here, sent.destination_port, sent.source_port, b"something else")
        assert net.matcher.match(from_host(version, ip.UDP, other)) is None

    @pytest.mark.parametrize("version", [4, 6])
    def test_an_ipv6_body_is_matched_without_its_header(self, version: int) -> None:
        """IPv6 raw sockets give no header; source and hop limit come beside the data."""
        if version == 4:
            net = Net()
            tag, probe = net.send(Method.UDP, 4)
            packet = net.error(probe)
            answer = net.matcher.match_ipv4(bytearray(packet) + bytes(100), 0, len(packet))
        else:
            net = Net()
            tag, probe = net.send(Method.UDP, 6)
            body = net.error(probe)[40:]
            answer = net.matcher.match_ipv6(body, 0, len(body), ip.ICMPV6, ROUTER[6], None)
        assert answer is not None
        assert answer.tag == tag


class TestKernels:
    """What a real Linux answered to our probes over loopback."""

    @pytest.mark.parametrize(
        ("name", "address", "method", "kind"),
        [
            ("icmp4_linux", "127.0.0.9", Method.ICMP, ReplyKind.ECHO_REPLY),
            ("udp4_linux", "127.0.0.9", Method.UDP, ReplyKind.UNREACHABLE),
            ("tcp4_linux", "127.0.0.9", Method.TCP, ReplyKind.RESET),
            ("icmp6_linux", "::1", Method.ICMP, ReplyKind.ECHO_REPLY),
            ("udp6_linux", "::1", Method.UDP, ReplyKind.UNREACHABLE),
            ("tcp6_linux", "::1", Method.TCP, ReplyKind.RESET),
        ],
    )
    def test_it_is_matched(self, name: str, address: str, method: Method, kind: ReplyKind) -> None:
        path = Path(__file__).parents[1] / "packets" / "golden" / f"{name}.hex"
        packet = bytes.fromhex(path.read_text().split("answer:")[1])
        cipher = TagCipher(bytes(range(32)))
        flow = signature(address, flow_for(address, method, port=None if method is Method.ICMP else 9))
        live: Callable[[int], Signature | None] = lambda tag: flow if tag % 1_000_001 == 0 else None  # noqa: E731
        answer = Matcher(cipher, live).match(packet)
        assert answer is not None
        assert answer.tag == 1_000_001 * (
            1 + ["icmp4", "udp4", "tcp4", "icmp6", "udp6", "tcp6"].index(name[:-6])
        )
        assert (answer.kind, ip.text(answer.source), answer.rewritten) == (kind, address, False)


class TestBatches:
    """A receive ring gives the very answers its packets give one by one."""

    def test_usual_unusual_and_foreign_packets_in_one_ring(self) -> None:
        net = Net()
        packets: list[bytes] = []
        for method in Method:
            for kind in ERRORS:
                packets.append(net.error(net.send(method, 4)[1], kind, code=kind is ReplyKind.UNREACHABLE))
                packets.append(net.error(net.send(method, 4)[1][:28], kind))
                packets.append(net.error(net.send(method, 4)[1], kind, extensions=build_extensions(LABELS)))
        packets += [echo_reply(net.send(Method.ICMP, 4)[1]), segment(net.send(Method.TCP, 4)[1], 0x12)]
        packets.append(echo_reply(net.send(Method.ICMP, 4, size=57)[1], "203.0.113.7"))
        packets.append(echo_reply(net.send(Method.ICMP, 4)[1], identifier=7))
        packets.append(echo_reply(net.send(Method.ICMP, 4)[1], sequence=7))
        packets.append(ip.build_ipv4(ROUTER[4], ROUTER[4], ip.ICMP, bytes(40)))
        packets += [b"", b"\x45", bytes(60), net.error(b"\x45" + bytes(60)), bytes(range(256)) * 2]
        for whole in (net.error(net.send(Method.UDP, 4)[1]), echo_reply(net.send(Method.ICMP, 4)[1])):
            broken = bytearray(whole)
            broken[-1] ^= 1
            packets += [bytes(broken), whole[:-2], whole + b"\0\0", whole.ljust(700, b"\0")]
        stride, at = 600, 32
        ring = bytearray(
            b"".join(bytes(at) + packet[: stride - at].ljust(stride - at, b"\xa5") for packet in packets)
        )
        expected = [net.matcher.match_ipv4(packet[: stride - at]) for packet in packets]
        assert sum(answer is not None for answer in expected) == 36
        sizes = [len(packet) for packet in packets]
        for buffer in (ring, memoryview(ring)):
            assert match_ipv4_batch(net.matcher, buffer, stride, at, sizes) == expected


class TestErrorQueue:
    """Unprivileged sockets: the kernel gives what stood behind the headers it matched itself."""

    def queued(self, quoted: bytes, kind: int = 11, code: int = 0) -> QueuedError:
        return QueuedError(offender=ROUTER[4], icmp_type=kind, icmp_code=code, quoted=quoted, reply_ttl=60)

    def test_a_quoted_payload_names_its_probe_among_many(self) -> None:
        net = Net()
        sent = [net.send(Method.UDP, 4) for _ in range(8)]
        tag, probe = sent[5]
        answer = net.matcher.match_error_queue(
            net.flow(Method.UDP, 4), self.queued(probe[28:]), [one for one, _ in sent]
        )
        assert answer == Answer(tag, ReplyKind.TIME_EXCEEDED, ROUTER[4], reply_ttl=60)

    def test_a_quote_without_payload_counts_only_for_the_sole_probe_under_way(self) -> None:
        net = Net()
        flow = net.flow(Method.UDP, 4)
        first, _ = net.send(Method.UDP, 4)
        second, _ = net.send(Method.UDP, 4)
        assert net.matcher.match_error_queue(flow, self.queued(b""), [first, second]) is None
        answer = net.matcher.match_error_queue(flow, self.queued(b"", 3, 3), [second])
        assert answer is not None
        assert (answer.tag, answer.kind, answer.code) == (second, ReplyKind.UNREACHABLE, 3)
        assert answer.inferred

    def test_an_icmp_socket_with_a_short_quote_has_the_sequence_number(self) -> None:
        net = Net()
        sent = [net.send(Method.ICMP, 4) for _ in range(8)]
        tag, probe = sent[3]
        answer = net.matcher.match_error_queue(
            net.flow(Method.ICMP, 4), self.queued(probe[20:28]), [one for one, _ in sent]
        )
        assert answer is not None
        assert answer.tag == tag

    def test_a_payload_of_another_flow_is_refused(self) -> None:
        net = Net()
        tag, probe = net.send(Method.UDP, 4)
        other = signature("198.18.0.77", flow_for("198.18.0.77", Method.UDP))
        assert net.matcher.match_error_queue(other, self.queued(probe[28:]), [tag]) is None

    @pytest.mark.parametrize("method", [Method.UDP, Method.ICMP])
    def test_a_quote_of_a_packet_to_somebody_else_is_refused(self, method: Method) -> None:
        net = Net()
        tag, probe = net.send(method, 4)
        quoted = probe[28:] if method is Method.UDP else probe[20:]
        flow = net.flow(method, 4)
        for destination, ours in ((flow[8:], True), (bytes((9, 9, 9, 9)), False)):
            error = msgspec.structs.replace(self.queued(quoted), destination=destination)
            assert (net.matcher.match_error_queue(flow, error, [tag]) is not None) is ours

    @pytest.mark.parametrize("version", [4, 6])
    def test_a_quote_of_what_is_no_echo_request_is_refused(self, version: int) -> None:
        net = Net()
        tag, probe = net.send(Method.ICMP, version)
        quoted = bytearray(probe[20 if version == 4 else 40 :])
        kind = 11 if version == 4 else 3
        flow = net.flow(Method.ICMP, version)
        error = msgspec.structs.replace(self.queued(bytes(quoted), kind), offender=ROUTER[version])
        assert net.matcher.match_error_queue(flow, error, [tag]) is not None
        quoted[0] ^= 1
        assert (
            net.matcher.match_error_queue(flow, msgspec.structs.replace(error, quoted=bytes(quoted)), [tag])
            is None
        )

    def test_an_mtu_and_labels_come_along(self) -> None:
        net = Net()
        tag, probe = net.send(Method.UDP, 6)
        quoted = probe[48:].ljust(80, b"\0") + build_extensions(LABELS)
        error = QueuedError(
            offender=ROUTER[6], icmp_type=2, icmp_code=0, quoted=quoted, mtu_bytes=1280, extensions_at=80
        )
        answer = net.matcher.match_error_queue(net.flow(Method.UDP, 6), error, [tag])
        assert answer is not None
        assert (answer.kind, answer.mtu_bytes, answer.labels) == (ReplyKind.PACKET_TOO_BIG, 1280, LABELS)


class TestPending:
    """The table of probes under way."""

    def test_tags_run_out_and_come_back(self) -> None:
        pending = Pending(slot_bits=2)
        tags = [pending.take(b"flow") for _ in range(5)]
        assert tags[4] is None
        assert len(pending) == len({tag for tag in tags if tag is not None}) == 4
        pending.release(tags[1] or 0)
        again = pending.take(b"flow")
        assert again not in tags
        assert pending.slot(again or 0) == pending.slot(tags[1] or 0)

    def test_a_slot_rests_as_long_as_possible(self) -> None:
        pending = Pending(slot_bits=3)
        slots: list[int] = []
        for _ in range(16):
            tag = pending.take(b"flow")
            assert tag is not None
            slots.append(pending.slot(tag))
            pending.release(tag)
        assert slots == [*range(8), *range(8)]

    def test_releasing_twice_does_nothing(self) -> None:
        pending = Pending(slot_bits=1)
        tag = pending.take(b"flow")
        assert tag is not None
        pending.release(tag)
        pending.release(tag)
        assert len(pending) == 0
        assert [pending.take(b"a") is not None for _ in range(3)] == [True, True, False]

    @pytest.mark.parametrize("bits", [0, 23])
    def test_a_table_without_slots_or_generations_is_refused(self, bits: int) -> None:
        with pytest.raises(Invalid, match="slot_bits"):
            Pending(bits)


def test_an_answer_becomes_a_reply_to_a_machines_probe() -> None:
    answer = Answer(7, ReplyKind.TIME_EXCEEDED, ROUTER[4], reply_ttl=61, quoted_ttl=1, labels=LABELS)
    reply = answer.reply(42, 1_000, 5, Grade.RECEPTION)
    assert (reply.key, reply.source, reply.received_at, reply.error_ns) == (42, "203.0.113.7", 1_000, 5)
    assert (reply.grade, reply.kind, reply.labels) == (Grade.RECEPTION, ReplyKind.TIME_EXCEEDED, LABELS)
