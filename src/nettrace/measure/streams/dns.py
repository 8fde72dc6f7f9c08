"""One question to one resolver, timed by the kernel on a connected UDP socket (or TCP after a truncated answer).

The answer must come from the server asked (the socket is connected), carry our random identifier and quote our
question; everything else is ignored and waited past. Nothing is retried: a retry is a new sample.
"""

import secrets
import socket
from ipaddress import ip_address
from pathlib import Path

from nettrace.errors import Invalid, PacketError
from nettrace.measure.kernel import stamps
from nettrace.measure.kernel.clock import Reading, read_clocks
from nettrace.measure.kernel.stamps import Interval, utc_ns
from nettrace.measure.packets.dns import DnsAnswer, build_query, parse_answer, type_number
from nettrace.measure.streams.conversation import clock_of
from nettrace.measure.streams.deadline import Broken, Deadline, LagMeter, broken_by
from nettrace.measure.streams.resolve import ascii_host, literal
from nettrace.measure.streams.stream import connect
from nettrace.model.address import UNRESTRICTED, TargetPolicy
from nettrace.model.measurement import DnsLookup, Grade, Outcome, Reason, Sample, SampleState

PORT = 53
DEFAULT_TIMEOUT_S = 3.0
RESOLV_CONF = Path("/etc/resolv.conf")
_ANSWER_BYTES = 65_535


def system_servers(conf: Path = RESOLV_CONF) -> tuple[str, ...]:
    """The name servers this host is set up to ask, in order; `127.0.0.1` when the file names none."""
    try:
        lines = conf.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    named = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return tuple(server for server in named if literal(server)) or ("127.0.0.1",)


async def lookup(
    name: str,
    server: str | None = None,
    question_type: str = "A",
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    port: int = PORT,
    nsid: bool = False,
    policy: TargetPolicy = UNRESTRICTED,
    kernel_stamps: bool = True,
) -> DnsLookup:
    """The answer of one server to one question, and how long it took.

    The sample is the UDP round trip; after a truncated answer the records come over TCP and the sample stays
    that of the UDP question. `failed`: no answer (`timeout`), a refusing port (`refused`), or a response code
    other than NOERROR (`dns`); the round trip of such an answer is shown all the same.

    Args:
        name: what to ask for; an address with `PTR` asks for its reverse name.
        server: an IP address; None is the system's first resolver.
        question_type: `A`, `AAAA`, `TXT` ... or `TYPE65`.
        timeout_s: for the answer, and again for TCP where that is needed.
        port: the server's port.
        nsid: also ask which machine of an anycast server answers; it stands in `detail`.
        policy: which servers may be asked.
        kernel_stamps: False takes times from the user clock (grade U).

    Raises:
        Invalid: the name, the server or the type cannot be.
        Forbidden: the policy refuses the server.
    """
    if timeout_s <= 0:
        raise Invalid("The timeout must be above zero")
    address = system_servers()[0] if server is None else literal(server)
    if address is None:
        raise Invalid(f"{server!r} is not an IP address", "Name the DNS server by its address")
    policy.check(address)
    number = type_number(question_type)
    if number == type_number("PTR") and (reverse := literal(name)):
        name = ip_address(reverse).reverse_pointer
    asked = "." if name == "." else ascii_host(name)
    question = _Question(address, port, asked, number, timeout_s, nsid=nsid, kernel_stamps=kernel_stamps)
    at = read_clocks().realtime
    broken: Broken | None = None
    try:
        await question.ask()
    except Broken as problem:
        broken = problem
    outcome, reason, detail = _verdict(question.answer, broken, question.sample)
    return DnsLookup(
        target=name,
        address=address,
        at=at,
        outcome=outcome,
        reason=reason,
        detail=detail,
        question_type=question_type.upper(),
        rcode=question.answer.rcode if question.answer else None,
        answers=question.answer.records if question.answer else (),
        sample=question.sample,
        clock=clock_of([question.sample.grade]) if question.sample else None,
    )


class _Question:
    """One question under way."""

    def __init__(
        self,
        address: str,
        port: int,
        name: str,
        number: int,
        timeout_s: float,
        *,
        nsid: bool,
        kernel_stamps: bool,
    ) -> None:
        self.sample: Sample | None = None
        self._stamps: dict[int, int] = {}
        self.answer: DnsAnswer | None = None
        self._address = address
        self._port = port
        self._timeout_s = timeout_s
        self._kernel_stamps = kernel_stamps
        self._identifier = secrets.randbelow(65_536)
        self._quoted = (name.removesuffix(".").lower(), number)
        self._query = build_query(self._identifier, name, number, nsid=nsid)

    async def ask(self) -> None:
        sock = _connected(self._address, self._port)
        try:
            if self._kernel_stamps:
                stamps.keep_stamping()
                self._kernel_stamps = stamps.request(sock, stamps.DATAGRAM_FLAGS)
            await self._ask_udp(sock)
        finally:
            sock.close()
        if self.answer and self.answer.truncated:
            await self._ask_tcp()

    async def _ask_udp(self, sock: socket.socket) -> None:
        meter = None if self._kernel_stamps else LagMeter()
        deadline = Deadline(self._timeout_s)
        before = read_clocks()
        try:
            sock.send(self._query)
            after_ns = utc_ns()
            answer, stamp, read = await self._receive(sock, deadline)
        except OSError as error:
            took_ns = read_clocks().monotonic - before.monotonic
            broken = broken_by(error.errno or 0, elapsed_ns=took_ns, error_ns=took_ns)
            self.sample = _unanswered(broken, before, deadline, self._left_ns)
            raise broken from None
        except Broken as broken:
            self.sample = _unanswered(broken, before, deadline, self._left_ns)
            raise
        finally:
            if meter:
                meter.stop()
        self._collect(sock)
        deaf_ns = meter.bar_ns if meter else None
        queued_ns = self._stamps.get(stamps.QUEUED)
        stage = Interval(before, after_ns, self._left_ns, stamp, read, 0, deaf_ns, queued_ns).stage()
        self.answer = answer
        self.sample = Sample(
            state=SampleState.ANSWERED,
            sent_at=self._left_ns or before.realtime,
            rtt_ns=stage.duration_ns,
            error_ns=stage.error_ns,
            grade=stage.grade,
            stalled=deadline.stalled,
        )

    async def _receive(
        self, sock: socket.socket, deadline: Deadline
    ) -> tuple[DnsAnswer, int | None, Reading]:
        while True:
            self._collect(sock)  # an error queue that is not emptied wakes every wait at once
            try:
                data, ancillary, _, _ = sock.recvmsg(_ANSWER_BYTES, stamps.ANCILLARY_BYTES)
            except BlockingIOError:
                if not await deadline.readable(sock):
                    raise Broken(Reason.TIMEOUT, f"no answer within {self._timeout_s:g} s") from None
                continue
            read = read_clocks()
            answer = self._mine(data)
            if answer is not None:
                return answer, stamps.received_at(ancillary), read

    async def _ask_tcp(self) -> None:
        deadline = Deadline(self._timeout_s)
        stream = await connect(self._address, self._port, deadline, kernel_stamps=False)
        try:
            await stream.send(len(self._query).to_bytes(2) + self._query)
            received = b""
            while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
                arrival = await stream.receive()
                if not arrival.data:
                    raise Broken(
                        Reason.DNS, "the server ended the TCP connection before its answer was complete"
                    )
                received += arrival.data
        finally:
            stream.close()
        answer = self._mine(received[2:])
        if answer is None:
            raise Broken(Reason.DNS, "the server's answer over TCP is not one to our question")
        self.answer = answer

    @property
    def _left_ns(self) -> int | None:
        return self._stamps.get(stamps.LEFT)

    def _collect(self, sock: socket.socket) -> None:
        if self._kernel_stamps:
            for sent in stamps.drain(sock):
                self._stamps.setdefault(sent.which, sent.at_ns)

    def _mine(self, data: bytes) -> DnsAnswer | None:
        """The answer in `data` when it is one to our question."""
        try:
            answer = parse_answer(data)
        except PacketError:
            return None
        if answer.identifier != self._identifier:
            return None
        if answer.question is None:  # servers that could not read the question quote none
            return answer if answer.rcode in {"FORMERR", "NOTIMP"} else None
        return answer if answer.question == self._quoted else None


def _connected(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise broken_by(error.errno or 0, local=True) from None
    try:
        sock.connect((address, port))
    except OSError as error:
        sock.close()
        raise broken_by(error.errno or 0, local=True) from None
    return sock


def _unanswered(broken: Broken, before: Reading, deadline: Deadline, left_ns: int | None) -> Sample:
    sent_at = left_ns or before.realtime
    if broken.reason is Reason.REFUSED:
        return Sample(
            state=SampleState.ANSWERED,
            sent_at=sent_at,
            rtt_ns=broken.elapsed_ns,
            error_ns=broken.error_ns,
            grade=Grade.USER,
            reason="refused",
        )
    if broken.outcome is Outcome.NOT_MEASURED or deadline.stalled or left_ns is None:
        why = "this host was stalled" if deadline.stalled else "not seen to leave"
        return Sample(state=SampleState.NOT_MEASURED, sent_at=sent_at, stalled=deadline.stalled, reason=why)
    return Sample(state=SampleState.LOST, sent_at=sent_at, reason=broken.detail)


def _verdict(
    answer: DnsAnswer | None, broken: Broken | None, sample: Sample | None
) -> tuple[Outcome, Reason | None, str | None]:
    if broken and sample and sample.state is SampleState.NOT_MEASURED:
        return Outcome.NOT_MEASURED, broken.reason, f"{broken.detail}, but {sample.reason}"
    if broken:
        return broken.outcome, broken.reason, broken.detail
    if answer is None or answer.rcode != "NOERROR":
        words = {"NXDOMAIN": "the name does not exist"}
        rcode = answer.rcode if answer else "nothing"
        return Outcome.FAILED, Reason.DNS, words.get(rcode, f"the server answered {rcode}")
    return Outcome.MEASURED, None, f"answered by {answer.nsid}" if answer.nsid else None
