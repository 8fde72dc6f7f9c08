"""DNS: messages built and parsed, and one question timed."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import Forbidden, Invalid, PacketError
from nettrace.measure.packets.dns import build_query, parse_answer, type_number
from nettrace.measure.streams.dns import lookup, system_servers
from nettrace.model.address import TargetPolicy
from nettrace.model.measurement import Clock, DnsLookup, Grade, Outcome, Reason, SampleState

QUESTION = b"\x01a\x07example\x00" + b"\x00\x01\x00\x01"


def message(
    *records: bytes, flags: int = 0x8180, identifier: int = 7, question: bytes = QUESTION, more: int = 0
) -> bytes:
    header = struct.pack(">6H", identifier, flags, 1 if question else 0, len(records) - more, 0, more)
    return header + question + b"".join(records)


def record(kind: int, data: bytes, life: int = 60, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack(">HHIH", kind, 1, life, len(data)) + data


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        (1, bytes([198, 18, 0, 1]), ("A", "198.18.0.1")),
        (28, b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01", ("AAAA", "2001:db8::1")),
        (5, b"\x01b\xc0\x0e", ("CNAME", "b.example.")),
        (15, b"\x00\x0a\x02mx\xc0\x0e", ("MX", "10 mx.example.")),
        (33, b"\x00\x01\x00\x02\x01\xbb\x01s\xc0\x0e", ("SRV", "1 2 443 s.example.")),
        (16, b'\x03abc\x04d"e\xff', ("TXT", '"abc" "d\\034e\\255"')),
        (
            6,
            b"\x02ns\xc0\x0e\x01h\xc0\x0e" + struct.pack(">5I", 1, 2, 3, 4, 5),
            ("SOA", "ns.example. h.example. 1 2 3 4 5"),
        ),
        (65, b"\x00\x01\x00", ("HTTPS", "\\# 3 000100")),
        (9999, b"", ("TYPE9999", "\\# 0")),
        (1, b"\x01", ("A", "\\# 1 01")),
    ],
)
def test_records_are_shown_as_zone_files_write_them(kind: int, data: bytes, shown: tuple[str, str]) -> None:
    answer = parse_answer(message(record(kind, data)))
    assert answer.records == ((*shown, 60),)
    assert (answer.identifier, answer.rcode, answer.question) == (7, "NOERROR", ("a.example", 1))


def test_a_query_is_a_question_with_edns() -> None:
    query = build_query(0x1234, "a.example", 28, nsid=True)
    assert query[:12] == b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
    assert query[12:27] == b"\x01a\x07example\x00\x00\x1c\x00\x01"
    assert query[27:] == b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x03\x00\x00"


def test_the_root_is_a_name() -> None:
    assert build_query(1, ".", 2)[12:17] == b"\x00\x00\x02\x00\x01"


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["x" * 60] * 5)])
def test_names_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        build_query(1, name, 1)


def test_types_have_names_and_numbers() -> None:
    assert (type_number("aaaa"), type_number("TYPE65"), type_number("HTTPS")) == (28, 65, 65)
    for wrong in ("", "BOGUS", "TYPE", "TYPE65536", "TYPE-1", "TYPEx"):
        with pytest.raises(Invalid):
            type_number(wrong)


def test_edns_carries_the_upper_rcode_and_the_machine_s_name() -> None:
    opt = b"\x00" + struct.pack(">HHIH", 41, 1232, 0x01000000, 9) + struct.pack(">HH", 3, 5) + b"fra-1"
    answer = parse_answer(message(record(1, bytes(4)), opt, more=1))
    assert (answer.nsid, answer.rcode) == ("fra-1", "RCODE16")
    assert len(answer.records) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 11,
        message(flags=0x0100),  # a question
        message(record(1, bytes(4)))[:-1],
        message(record(1, bytes(4), name=b"\xc0\xff")),  # points beyond the end
        message(question=b"\xc0\x0c\x00\x01\x00\x01"),  # points at itself
        message(record(5, b"\xc0\x2f"), question=QUESTION),  # forward
        message(question=b"\x80a\x00\x00\x01\x00\x01"),  # unknown label
        struct.pack(">6H", 7, 0x8180, 2, 0, 0, 0) + QUESTION * 2,
        struct.pack(">6H", 7, 0x8180, 0, 65_535, 0, 0),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(PacketError):
        parse_answer(data)


def test_a_truncated_answer_keeps_what_is_whole() -> None:
    answer = parse_answer(message(record(1, bytes(4)), record(1, bytes(4)), flags=0x8380)[:-3])
    assert (answer.truncated, len(answer.records)) == (True, 1)


@given(st.binary(max_size=600))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    try:
        parse_answer(data)
    except PacketError:
        return


@given(st.binary(max_size=200), st.integers(0, 40), st.integers(0, 255))
def test_no_damage_breaks_the_parser(tail: bytes, place: int, value: int) -> None:
    data = bytearray(message(record(5, b"\x01b\xc0\x0e"), record(16, b"\x03abc")) + tail)
    data[place] = value
    try:
        parse_answer(bytes(data))
    except PacketError:
        return


# Questions to a server


class NameServer:
    """A UDP (and TCP) name server whose answers are planted."""

    def __init__(
        self, answers: Callable[[bytes], list[bytes]], tcp: Callable[[bytes], bytes] | None = None
    ) -> None:
        self.asked: list[bytes] = []
        self._answers = answers
        self._tcp = tcp
        self._stop = threading.Event()
        self._stream = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._stream.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._serve_udp), threading.Thread(target=self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def _serve_udp(self) -> None:
        while True:
            query, client = self._udp.recvfrom(2000)
            if self._stop.is_set():
                return
            self.asked.append(query)
            for answer in self._answers(query):
                self._udp.sendto(answer, client)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._stream.accept()
            except OSError:
                return
            with connection:
                if self._tcp and (query := connection.recv(2000)):
                    answer = self._tcp(query[2:])
                    connection.sendall(len(answer).to_bytes(2) + answer)

    def close(self) -> None:
        self._stop.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        for thread in self._threads:
            thread.join(10)
        self._udp.close()


@pytest.fixture
def nameserver() -> Iterator[Callable[..., NameServer]]:
    running: list[NameServer] = []

    def start(*how: Any) -> NameServer:
        running.append(NameServer(*how))
        return running[-1]

    yield start
    for server in running:
        server.close()


def question_end(query: bytes) -> int:
    return query.index(b"\0", 12) + 5


def to(query: bytes, *records: bytes, flags: int = 0x8180, identifier: int | None = None) -> bytes:
    """An answer to this query with these records."""
    number = int.from_bytes(query[:2]) if identifier is None else identifier
    return message(*records, flags=flags, identifier=number, question=query[12 : question_end(query)])


A = record(1, bytes([198, 18, 0, 1]))


@pytest.fixture
def asked(run: Callable) -> Callable[..., DnsLookup]:
    def asked(server: NameServer, name: str = "a.example", kind: str = "A", **options: Any) -> DnsLookup:
        return run(lookup(name, "127.0.0.1", kind, port=server.port, **{"timeout_s": 2.0, **options}))

    return asked


def test_an_answer_is_timed_by_the_kernel(nameserver: Callable, asked: Callable) -> None:
    one = asked(nameserver(lambda query: [to(query, A)]))
    assert (one.outcome, one.reason, one.rcode) == (Outcome.MEASURED, None, "NOERROR")
    assert (one.target, one.address, one.question_type) == ("a.example", "127.0.0.1", "A")
    assert one.answers == (("A", "198.18.0.1", 60),)
    assert one.clock is Clock.KERNEL
    assert one.sample is not None
    assert (one.sample.state, one.sample.grade) == (SampleState.ANSWERED, Grade.KERNEL)
    assert one.sample.rtt_ns
    assert one.sample.error_ns


def test_a_slow_server_s_delay_is_in_the_sample(nameserver: Callable, asked: Callable) -> None:
    wait = threading.Event()

    def slow(query: bytes) -> list[bytes]:
        wait.wait(0.2)
        return [to(query, A)]

    sample = asked(nameserver(slow)).sample
    assert sample is not None
    assert (sample.rtt_ns or 0) >= 200_000_000


def test_identifiers_are_unguessable(nameserver: Callable, asked: Callable) -> None:
    server = nameserver(lambda query: [to(query, A)])
    for _ in range(8):
        asked(server)
    assert len({query[:2] for query in server.asked}) >= 6


def test_forged_and_broken_answers_are_waited_past(nameserver: Callable, asked: Callable) -> None:
    def noisy(query: bytes) -> list[bytes]:
        wrong = int.from_bytes(query[:2]) ^ 1
        other = message(
            A, identifier=int.from_bytes(query[:2]), question=b"\x01b\x07example\x00\x00\x01\x00\x01"
        )
        return [b"", b"garbage", query, to(query, A, identifier=wrong), other, to(query, A)]

    one = asked(nameserver(noisy))
    assert one.answers == (("A", "198.18.0.1", 60),)


def test_only_forged_answers_are_no_answer(nameserver: Callable, asked: Callable) -> None:
    one = asked(
        nameserver(lambda query: [to(query, A, identifier=int.from_bytes(query[:2]) ^ 1)]), timeout_s=0.2
    )
    assert (one.outcome, one.reason, one.rcode, one.answers) == (Outcome.FAILED, Reason.TIMEOUT, None, ())


@pytest.mark.parametrize(
    ("flags", "rcode"), [(0x8183, "NXDOMAIN"), (0x8182, "SERVFAIL"), (0x8185, "REFUSED")]
)
def test_a_no_is_timed_as_well(flags: int, rcode: str, nameserver: Callable, asked: Callable) -> None:
    one = asked(nameserver(lambda query: [to(query, flags=flags)]))
    assert (one.outcome, one.reason, one.rcode) == (Outcome.FAILED, Reason.DNS, rcode)
    assert one.sample is not None
    assert one.sample.rtt_ns


def test_a_server_that_cannot_read_the_question_need_not_quote_it(
    nameserver: Callable, asked: Callable
) -> None:
    one = asked(
        nameserver(lambda query: [message(flags=0x8181, identifier=int.from_bytes(query[:2]), question=b"")])
    )
    assert (one.outcome, one.rcode) == (Outcome.FAILED, "FORMERR")


def test_silence_is_a_timeout_and_a_loss(nameserver: Callable, asked: Callable) -> None:
    server = nameserver(lambda _query: [])
    one = asked(server, timeout_s=0.2)
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.TIMEOUT)
    assert one.sample is not None
    assert one.sample.state is SampleState.LOST
    assert len(server.asked) == 1  # no retry: a retry is a new sample


def test_a_closed_port_is_refused(run: Callable, closed_port: int) -> None:
    one = run(lookup("a.example", "127.0.0.1", port=closed_port, timeout_s=2))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.REFUSED)


def test_a_truncated_answer_is_completed_over_tcp(nameserver: Callable, asked: Callable) -> None:
    server = nameserver(lambda query: [to(query, flags=0x8380)], lambda query: to(query, *[A] * 100))
    one = asked(server)
    assert (one.outcome, len(one.answers)) == (Outcome.MEASURED, 100)
    assert one.sample is not None
    assert one.sample.grade is Grade.KERNEL


def test_a_truncated_answer_without_tcp_fails_with_its_round_trip(
    nameserver: Callable, asked: Callable
) -> None:
    one = asked(nameserver(lambda query: [to(query, flags=0x8380)], lambda _query: b"no"))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.DNS)
    assert one.sample is not None
    assert one.sample.rtt_ns


def test_the_machine_behind_an_anycast_address(nameserver: Callable, asked: Callable) -> None:
    opt = b"\x00" + struct.pack(">HHIH", 41, 1232, 0, 9) + struct.pack(">HH", 3, 5) + b"fra-1"

    def named(query: bytes) -> list[bytes]:
        head = struct.pack(">6H", int.from_bytes(query[:2]), 0x8180, 1, 1, 0, 1)
        return [head + query[12 : question_end(query)] + A + opt]

    assert asked(nameserver(named), nsid=True).detail == "answered by fra-1"


def test_an_address_is_asked_for_by_its_reverse_name(nameserver: Callable, asked: Callable) -> None:
    server = nameserver(lambda query: [to(query, record(12, b"\x01h\x00"))])
    one = asked(server, "198.18.0.1", "PTR")
    assert one.answers == (("PTR", "h.", 60),)
    assert b"\x011\x010\x0218\x03198\x07in-addr\x04arpa\x00" in server.asked[0]


def test_without_kernel_stamps_the_grade_is_u(nameserver: Callable, asked: Callable) -> None:
    one = asked(nameserver(lambda query: [to(query, A)]), kernel_stamps=False)
    assert one.clock is Clock.USER
    assert one.sample is not None
    assert one.sample.error_ns


def test_system_servers_are_read_from_resolv_conf(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "# comment\nnameserver 198.18.0.53\nsearch example\nnameserver fe80::1%eth0\nnameserver\nnameserver x\n"
    )
    assert system_servers(conf) == ("198.18.0.53", "fe80::1%eth0")
    assert system_servers(tmp_path / "absent") == ("127.0.0.1",)


@pytest.mark.parametrize(
    "how", [{"name": "a..b"}, {"server": "ns.example"}, {"question_type": "BOGUS"}, {"timeout_s": 0.0}]
)
def test_questions_that_cannot_be(how: dict[str, Any], run: Callable) -> None:
    with pytest.raises(Invalid):
        run(lookup(**{"name": "a.example", "server": "127.0.0.1", **how}))


def test_the_policy_holds_for_servers(run: Callable) -> None:
    with pytest.raises(Forbidden):
        run(lookup("a.example", "127.0.0.1", policy=TargetPolicy.for_others()))
