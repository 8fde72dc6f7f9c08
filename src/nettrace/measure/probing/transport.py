"""The seam between the engine and the sockets: probes out, stamps and answers in.

Kernel stamps are CLOCK_REALTIME ns here; only the engine moves them to its timeline, because only it knows
whether the clock was stepped meanwhile. Brackets around system calls are CLOCK_MONOTONIC ns, which nobody steps.
"""

import errno
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from nettrace.measure.packets.probe import Signature
from nettrace.measure.packets.tag import TagCipher
from nettrace.measure.tracing.match import Answer, Matcher
from nettrace.measure.tracing.pending import Pending
from nettrace.model.measurement import Grade
from nettrace.model.path import Probe

Shipment = tuple[int, Probe, Signature]
"""The tag a probe goes under, the probe, and its packed flow."""


_HANDS_OVER_NS = 50_000
"""A system call hands its packet to the device within so much of its beginning, unless this process was interrupted."""


def departed(before: int, after: int) -> tuple[int, int]:
    """(moment, half-width of its bar) of a departure known only by the clock around its system call, in ns.

    An interruption may stand before the packet's departure or behind it. Taken for one behind it, it never makes a round
    trip shorter than it was by more than the hand-over; the bar covers both.

    >>> departed(0, 40_000), departed(0, 2_000_000)
    ((20000, 20000), (50000, 1950000))
    """
    left = before + min((after - before + 1) // 2, _HANDS_OVER_NS)
    return left, after - left


class Tags:
    """The tags under way and how they stand on the wire; one for all sockets of an engine.

    Args:
        slot_bits: 2**slot_bits probes can be under way or within their linger.
        secret: fresh for every start of the program.
    """

    def __init__(self, slot_bits: int = 14, secret: bytes | None = None) -> None:
        self.slots = 1 << slot_bits
        self.cipher = TagCipher(secret or os.urandom(32))
        self.pending = Pending(slot_bits)
        self.matcher = Matcher(self.cipher, self.pending.signature)


class Intake:
    """What the sockets brought since the engine last looked.

    Attributes:
        sent: (tags, before, after): CLOCK_MONOTONIC around the system call that took the probes.
        refused: (tag, why): probes this host did not take.
        stamps: (tag, stamp): departures, by the kernel's CLOCK_REALTIME.
        queued: (tag, stamp): when some of them entered their device's queue.
        answers: (answer, stamp): receptions, by the kernel's CLOCK_REALTIME, in the order they were read.
        clocked: (answer, received, half-width, grade): receptions without such a stamp, by CLOCK_MONOTONIC.
        overflowed: a receive queue overflowed: silence since then proves nothing.
        ambiguous: tags of one flow to one of which an answer belonged that quoted too little to say which.
        finished: tags that nothing more is heard of: the next probe of a serial flow may go.
        link_lost: an interface that probes use went down: what was under way may have been lost here.
        rejected: packets that pretended to answer and did not.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[Sequence[int], int, int]] = []
        self.refused: list[tuple[int, str]] = []
        self.stamps: list[tuple[int, int]] = []
        self.queued: list[tuple[int, int]] = []
        self.answers: list[tuple[Answer, int]] = []
        self.clocked: list[tuple[Answer, int, int, Grade]] = []
        self.ambiguous: list[int] = []
        self.finished: list[int] = []
        self.overflowed = False
        self.link_lost = False
        self.rejected = 0

    def postpone(self) -> "Intake":
        """Take out what the kernel stamped: only behind the next look at the clocks is it known what a stamp means."""
        later = Intake()
        later.stamps, self.stamps = self.stamps, []
        later.queued, self.queued = self.queued, []
        later.answers, self.answers = self.answers, []
        later.ambiguous, self.ambiguous = self.ambiguous, []
        later.overflowed, self.overflowed = self.overflowed, False
        later.rejected, self.rejected = self.rejected, 0
        return later


class Poller:
    """Which sockets have something to say, without asking each."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[Intake], None]] = {}
        self._looked_at = self._looked_before = time.monotonic_ns()

    def watch(self, fileno: int, read: Callable[[Intake], None], *, output: bool = False) -> None:
        """Call `read` when the socket has an error or data (or, with `output`, became writable)."""
        self._readers[fileno] = read
        self._epoll.register(fileno, select.EPOLLIN | (select.EPOLLOUT if output else 0))

    def forget(self, fileno: int) -> None:
        """Stop watching; to be called before the socket is closed."""
        if self._readers.pop(fileno, None) is not None:
            self._epoll.unregister(fileno)

    def collect(self, intake: Intake) -> int:
        """Read every socket that is ready; how many there were."""
        self._looked_before, self._looked_at = self._looked_at, time.monotonic_ns()
        ready = self._epoll.poll(0, max(1, len(self._readers)))
        for fileno, _ in ready:
            read = self._readers.get(fileno)
            if read is not None:
                read(intake)
        return len(ready)

    def deliver(self, answer: Answer, stamp_ns: int, intake: Intake) -> None:
        """Pass on an answer. Without a kernel stamp (0) it came between the last two looks at the sockets."""
        if stamp_ns:
            intake.answers.append((answer, stamp_ns))
            return
        intake.clocked.append((answer, *self.just_heard(self._looked_before), Grade.USER))

    def just_heard(self, earliest_ns: int) -> tuple[int, int]:
        """(moment, half-width of its bar) of something read now that cannot have come before `earliest_ns`.

        It counts as come just now, so that no round trip is made shorter than it was; the bar reaches back to the last look.
        """
        now = time.monotonic_ns()
        return now, now - max(self._looked_before, earliest_ns)

    def wait(self, timeout_ns: int) -> None:
        """Sleep until some socket is ready, at most `timeout_ns`."""
        self._epoll.poll(max(0, timeout_ns) / 1e9, 1)

    def fileno(self) -> int:
        """One descriptor that is readable when any watched one is: for an event loop."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        self._readers.clear()
        self._epoll.close()


class Transport(Protocol):
    """One way of sending probes. Answers come through the `Poller`."""

    @property
    def stamps_departures(self) -> bool:
        """The kernel stamps departures here, so a probe without a stamp was not seen to leave."""
        ...

    @property
    def serial_ns(self) -> int:
        """How long one probe of a flow keeps the others waiting, unless answered: 0 where all may go at once."""
        ...

    def send(self, batch: Sequence[Shipment], intake: Intake) -> None:
        """Send all of the batch; every probe ends up in `intake.sent` or in `intake.refused`."""
        ...

    def close(self) -> None:
        """Close its sockets."""
        ...


_REFUSALS = {
    errno.ENOBUFS: "the interface's queue is full",
    errno.EAGAIN: "the socket's send buffer is full",
    errno.EPERM: "a local firewall forbids it",
    errno.EACCES: "a local rule prohibits it",
    errno.ENETUNREACH: "no route from this host",
    errno.EHOSTUNREACH: "no route from this host",
    errno.ENETDOWN: "the network interface is down",
    errno.EADDRNOTAVAIL: "the source address is gone or its port in use",
    errno.EADDRINUSE: "the flow's source port is in use by another program",
    errno.EMSGSIZE: "larger than the interface takes",
    errno.EINVAL: "the kernel does not take such a packet",
    errno.EAFNOSUPPORT: "this host has no such IP version",
    errno.EMFILE: "too many open sockets",
}


def refusal(error: OSError) -> str:
    """Why this host did not take a probe, in words.

    >>> refusal(OSError(101, "Network is unreachable"))
    'no route from this host'
    """
    if error.errno is None:
        return str(error)
    return _REFUSALS.get(error.errno, error.strerror or str(error))
