"""Name service, certificates and conversations of the lab's internet, without a network."""

import asyncio
import ssl
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest

from nettrace.lab.certificates import Authority
from nettrace.lab.dns import Zone
from nettrace.lab.fabric import interface_name
from nettrace.lab.routing import Routes
from nettrace.lab.services import Alarm, Conversation, Internet, read_frame, waits_of
from nettrace.lab.topology import Topology
from nettrace.lab.worldfile import load

TOPOLOGY = Topology(load("small"))
ZONE = Zone(TOPOLOGY)


def query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def answers(name: str, kind: int) -> tuple[int, list[bytes]]:
    response = ZONE.answer(query(name, kind))
    assert response is not None and response[:2] == b"\0\x4d"
    flags, count = struct.unpack("!H2xH", response[2:8])
    at, found = len(query(name, kind)), []
    for _ in range(count):
        (size,) = struct.unpack("!H", response[at + 10 : at + 12])
        found.append(response[at + 12 : at + 12 + size])
        at += 12 + size
    assert at == len(response)
    return flags & 15, found


def test_targets_resolve_in_both_families() -> None:
    west = TOPOLOGY.targets["west.lab"]
    assert answers("west.lab", 1) == (0, [west.address4])
    assert answers("WEST.lab", 28) == (0, [west.address6])


def test_a_name_without_ipv6_is_no_error_and_an_unknown_one_is() -> None:
    assert answers("walled.lab", 28) == (0, [])
    assert answers("nobody.lab", 1) == (3, [])


def test_routers_have_reverse_names_that_lead_back() -> None:
    packed, router = next((p, r) for p, r in TOPOLOGY.owners.items() if len(p) == 4)
    name = interface_name(router, packed)
    code, (data,) = answers(ip_address(packed).reverse_pointer, 12)
    assert code == 0 and data[1:4] == name.encode()[:3]
    assert answers(name, 1) == (0, [packed])


@pytest.mark.parametrize("cut", range(12, 26))
def test_torn_questions_are_format_errors_or_nothing(cut: int) -> None:
    response = ZONE.answer(query("west.lab", 1)[:cut])
    assert response is None or response[3] & 15 in (0, 1)


def test_clients_that_trust_the_authority_trust_its_leaves_and_no_others(tmp_path: Path) -> None:
    authority, stranger = Authority("one"), Authority("other")
    leaf = authority.issue(["west.lab", "198.18.3.10", "2001:db8::1"])
    (tmp_path / "leaf.pem").write_text(leaf.certificate + leaf.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf.pem")

    def shake(trusted: Authority, name: str) -> None:
        client = ssl.create_default_context(cadata=trusted.certificate)
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        left, right = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [
            client.wrap_bio(left, right, server_hostname=name),
            server.wrap_bio(right, left, server_side=True),
        ]
        for _ in range(4):
            for end in ends:
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue

    for name in ("west.lab", "198.18.3.10", "2001:db8::1"):
        shake(authority, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(authority, "east.lab")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(stranger, "west.lab")


@pytest.mark.parametrize("size", [0, 5, 125, 126, 70_000])
def test_websocket_frames_are_unmasked_whole(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))
    mask = b"\1\2\3\4"
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = b"\xfe" + struct.pack("!H", size) if size < 65_536 else b"\xff" + struct.pack("!Q", size)
    masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
    frame = b"\x89" + length + mask + masked
    assert read_frame(frame + b"more") == (9, payload, len(frame))
    assert read_frame(frame[:-1]) is None


def test_answers_wait_for_their_origin_as_seen_from_the_vantage() -> None:
    waits = waits_of(Routes(TOPOLOGY))
    near, far = waits["nyc"]["edge.lab"], waits["lon"]["edge.lab"]
    assert near[1] == "nyc" and far[1] == "lon"
    assert far[0] - near[0] == pytest.approx(62_300_000, rel=0.05)  # across the Atlantic and back
    assert waits["nyc"]["west.lab"][0] == 300_000


def test_alarms_ring_in_order_of_their_time() -> None:
    async def ring() -> list[str]:
        alarm, heard, done = Alarm(asyncio.get_running_loop()), [], asyncio.Event()
        alarm.after(3_000_000, lambda: (heard.append("late"), done.set()))
        alarm.after(1_000_000, lambda: heard.append("early"))
        await asyncio.wait_for(done.wait(), 10)
        alarm.close()
        return heard

    assert asyncio.run(ring()) == ["early", "late"]


class Pipe(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"sockname": ("198.18.3.10", 80), "peername": ("198.18.2.10", 61_000)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class AtOnce(Internet):
    def later(self, wait_ns: int, callback: object) -> None:
        callback()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("request_", "starts", "closes"),
    [
        (b"GET / HTTP/1.1\r\nHost: west.lab\r\n\r\n", b"HTTP/1.1 200 OK\r\nserver: cirrus-cloud", False),
        (b"GET /status/451 HTTP/1.1\r\n\r\n", b"HTTP/1.1 451 Unavailable", False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200", True),
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400", True),
    ],
)
def test_http_conversations(request_: bytes, starts: bytes, closes: bool) -> None:
    talk, pipe = Conversation(AtOnce(TOPOLOGY, Authority("x"))), Pipe()
    talk.connection_made(pipe)
    for number in range(len(request_)):  # byte by byte, as a slow network would
        talk.data_received(request_[number : number + 1])
    assert pipe.written.startswith(starts)
    assert pipe.closed is closes


def test_pipelined_requests_get_one_answer_each() -> None:
    talk, pipe = Conversation(AtOnce(TOPOLOGY, Authority("x"))), Pipe()
    talk.connection_made(pipe)
    talk.data_received(b"GET /bytes/10 HTTP/1.1\r\n\r\n" * 3)
    assert pipe.written.count(b"content-length: 10\r\n") == 3
