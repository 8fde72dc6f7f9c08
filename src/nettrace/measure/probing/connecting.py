"""TCP traceroute for everybody: `connect` with a small TTL, routers' answers from the error queue.

The kernel gives one socket per pair of addresses and ports, so the probes of one flow go one after the other.
It stamps no SYN: departures are bracketed by the clock around `connect`, which hands the SYN to the device.
"""

import errno
import socket
import struct
import time
from collections.abc import Sequence

from nettrace.measure.kernel.errorqueue import drain_errors, prepare
from nettrace.measure.kernel.flow_label import claim_label
from nettrace.measure.kernel.stamps import RECEPTION_FLAGS
from nettrace.measure.kernel.tcp_info import tcp_info
from nettrace.measure.packets.probe import Signature
from nettrace.measure.probing.routes import Routes
from nettrace.measure.probing.transport import Intake, Poller, Shipment, Tags, departed, refusal
from nettrace.measure.tracing.match import Answer, QueuedError
from nettrace.model.measurement import Grade
from nettrace.model.path import Probe, ReplyKind

FIRST_RETRY_NS = 1_000_000_000
"""Linux sends an unanswered SYN again after this long; from then on two departures are possible."""

LONGEST_ATTEMPT_NS = 950_000_000
"""An attempt is given up before that: the second SYN would be a probe nobody asked for."""

CONNECT_ERROR_NS = 100_000
"""Bar of `tcpi_rtt`: whole microseconds, and stamped where TCP runs, not at the device."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Attempt:
    """One SYN under way."""

    def __init__(self, sock: socket.socket, tag: int, flow: Signature) -> None:
        self.sock = sock
        self.tag = tag
        self.flow = flow
        self.before = self.after = 0


class ConnectTransport:
    """TCP probes as connection attempts, reset as soon as they are answered."""

    serial_ns = LONGEST_ATTEMPT_NS
    stamps_departures = False

    def __init__(self, version: int, tags: Tags, routes: Routes, poller: Poller) -> None:
        self._version = version
        self._tags = tags
        self._routes = routes
        self._poller = poller
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._open: dict[Signature, _Attempt] = {}

    def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
        """Send one SYN per probe; an older attempt of the same flow is given up."""
        for tag, probe, flow in batch:
            earlier = self._open.get(flow)
            if earlier is not None:
                self._end(earlier, intake)
            try:
                self._connect(tag, probe, flow, intake)
            except OSError as error:
                intake.refused.append((tag, refusal(error)))

    def close(self) -> None:
        """Close its sockets."""
        for attempt in list(self._open.values()):
            self._end(attempt, Intake())

    def _connect(self, tag: int, probe: Probe, flow: Signature, intake: Intake) -> None:
        source = self._routes.to(probe.address).source
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            prepare(sock, self._version, RECEPTION_FLAGS)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            if self._version == 4:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, probe.ttl)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, probe.ttl)
            sock.bind((source, probe.flow.source_port))
            goal: tuple[str, int] | tuple[str, int, int, int] = (probe.address, probe.flow.destination_port)
            if self._version == 6:
                goal = (*goal, claim_label(sock, probe.address, probe.flow.ipv6_flow_label), 0)
            attempt = _Attempt(sock, tag, flow)
            attempt.before = time.monotonic_ns()
            problem = sock.connect_ex(goal)
            attempt.after = time.monotonic_ns()
            if problem not in {0, errno.EINPROGRESS, errno.ECONNREFUSED}:
                raise OSError(problem, "")
        except OSError:
            sock.close()
            raise
        intake.sent.append(((tag,), attempt.before, attempt.after))
        self._open[flow] = attempt
        self._poller.watch(sock.fileno(), lambda intake: self._read(attempt, intake), output=True)
        if problem != errno.EINPROGRESS:
            self._conclude(attempt, problem, intake)

    def _read(self, attempt: _Attempt, intake: Intake) -> None:
        answers: list[tuple[Answer | None, int]] = []

        def heard(error: QueuedError, stamp: int) -> None:
            answers.append((self._tags.matcher.match_error_queue(attempt.flow, error, (attempt.tag,)), stamp))

        drain_errors(attempt.sock, lambda _number, _stamp, _which: None, heard)
        for answer, stamp in answers:
            if answer is None:
                intake.rejected += 1
            elif time.monotonic_ns() - attempt.before < FIRST_RETRY_NS:
                self._poller.deliver(answer, stamp, intake)
            else:
                self._ambiguous(attempt, answer, intake)
        if answers:
            self._end(attempt, intake)
            return
        problem = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._conclude(attempt, problem, intake)

    def _conclude(self, attempt: _Attempt, problem: int, intake: Intake) -> None:
        """The connection stands or was refused: the destination answered."""
        if problem == errno.ECONNREFUSED:
            self._tell(attempt, ReplyKind.RESET, None, intake)
        elif problem == 0:
            info = tcp_info(attempt.sock)
            retried = info is not None and info.retransmissions > 0
            rtt_us = None if info is None or retried or not info.rtt_us else info.rtt_us
            self._tell(attempt, ReplyKind.SYN_ACK, rtt_us, intake)
        self._end(attempt, intake)

    def _tell(self, attempt: _Attempt, kind: ReplyKind, rtt_us: int | None, intake: Intake) -> None:
        answer = Answer(tag=attempt.tag, kind=kind, source=attempt.flow[8:])
        if rtt_us is not None:
            received = departed(attempt.before, attempt.after)[0] + rtt_us * 1000
            intake.clocked.append((answer, received, CONNECT_ERROR_NS, Grade.RECEPTION))
        elif time.monotonic_ns() - attempt.before < FIRST_RETRY_NS:
            intake.clocked.append((answer, *self._poller.just_heard(attempt.before), Grade.USER))
        else:
            self._ambiguous(attempt, answer, intake)

    def _ambiguous(self, attempt: _Attempt, answer: Answer, intake: Intake) -> None:
        """Two SYNs are out and nobody knows which was answered: the bar spans both readings."""
        intake.clocked.append((answer, time.monotonic_ns(), FIRST_RETRY_NS, Grade.USER))

    def _end(self, attempt: _Attempt, intake: Intake) -> None:
        if self._open.get(attempt.flow) is attempt:
            del self._open[attempt.flow]
        self._poller.forget(attempt.sock.fileno())
        attempt.sock.close()
        intake.finished.append(attempt.tag)
