"""A STAMP session-reflector on real sockets, stepped by an event loop: answers known peers, stamps with the kernel."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from nettrace.errors import Unmeasurable
from nettrace.measure.kernel.errorqueue import drain_errors, stamp_and_ttl
from nettrace.measure.packets.stamp import PORT
from nettrace.measure.probing.stamp_socket import Clockwork, StampSocket, came_to, kernel_wall
from nettrace.measure.probing.transport import refusal
from nettrace.measure.tracing.reflection import Answer, Peer, Reflection

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - only known peers are answered
_AT_ONCE = 64
_REMEMBERED = 4096


class Reflector:
    """Answers STAMP requests from `start` to `close`, in the running event loop.

    Args:
        peers: who is answered.
        port: UDP; 0 takes a free one.
        addresses: where to listen.
        wall: our clock; a deliberately wrong one makes a deliberately wrong reflector.
        stateful: see `Reflection`.
    """

    def __init__(
        self, peers: Iterable[Peer], *, port: int = PORT, addresses: tuple[str, ...] = EVERYWHERE,
        wall: Clockwork = kernel_wall, stateful: bool = True,
    ) -> None:  # fmt: skip
        self.reflection = Reflection(peers, stateful=stateful)
        self.port = port
        self._addresses = addresses
        self._wall = wall
        self._sockets: list[StampSocket] = []
        self._answers: dict[int, tuple[Answer, int]] = {}
        self._sent = 0

    def start(self) -> None:
        """Listen.

        Raises:
            Unmeasurable: on none of the addresses.
        """
        problem: OSError | None = None
        for address in self._addresses:
            made = None
            try:
                made = StampSocket(6 if ":" in address else 4)
                self.port = made.listen(address, self.port)
            except OSError as error:  # no IPv6 here, or the port is taken or needs a right
                problem = error
                if made is not None:
                    made.sock.close()
                continue
            self._sockets.append(made)
            asyncio.get_running_loop().add_reader(made.sock, self._readable, made)
        if not self._sockets and problem is not None:
            where = f"UDP port {self.port} of {' and '.join(self._addresses)}"
            raise Unmeasurable(
                f"the reflector cannot listen on {where}: {refusal(problem)}",
                "Choose another --port, or let it bind low ports (sysctl net.ipv4.ip_unprivileged_port_start=862)",
            ) from problem

    def close(self) -> None:
        """Answer nobody any more."""
        for each in self._sockets:
            with suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(each.sock)
            each.sock.close()
        self._sockets.clear()

    def _readable(self, here: StampSocket) -> None:
        self._departures(here)
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _, source = here.sock.recvmsg(2048, 512)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error a stranger provoked: the next read goes on
                continue
            self._answer(here, data, ancillary, source)
            self._departures(here)  # before the next request: its reply tells when this one left

    def _answer(
        self, here: StampSocket, data: bytes, ancillary: list[tuple[int, int, bytes]], source: tuple[str, int]
    ) -> None:
        wall = self._wall()
        stamp, ttl, _ = stamp_and_ttl(ancillary)
        arrived = stamp + wall.offset_ns if stamp else wall.now()
        answer = self.reflection.answer(
            data, (source[0], source[1]), arrived, ttl, (wall.now(), wall.estimate)
        )
        if answer is None:
            return
        tag = self._sent & 0xFFFFFFFF
        try:
            here.sock.sendmsg([answer.data], [*here.numbers.control(tag), *came_to(ancillary)], 0, source)
        except OSError:
            here.numbers.refused()
            return
        here.numbers.sent(tag)
        self._sent += 1
        self._answers[tag] = (answer, wall.offset_ns)
        if len(self._answers) > _REMEMBERED:
            del self._answers[next(iter(self._answers))]

    def _departures(self, here: StampSocket) -> None:
        def stamped(number: int, stamp: int, _which: int) -> None:
            tag = here.numbers.tag(number)
            known = self._answers.pop(tag, None) if tag is not None else None
            if known is not None and stamp:
                answer, offset_ns = known  # as its arrival was corrected, so is its departure
                self.reflection.left(answer, stamp + offset_ns)

        drain_errors(here.sock, stamped)
