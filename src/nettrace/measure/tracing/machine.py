"""The seam between deciding and doing: what every measuring machine offers to whoever drives it.

A driver (the engine on real sockets, or the simulator in virtual time) asks `due` for probes, reports what
became of them with `departed` and `replied`, and calls `due` again no later than `wake_at`. Machines never
block, never read a clock and hold no packet bytes, so the same machine runs in a test of a virtual day and
on the wire.
"""

from collections.abc import Sequence
from typing import Protocol

from nettrace.model.instant import Instant
from nettrace.model.path import Departure, Probe, Reply


class Machine(Protocol):
    """A measurement in progress. Times are `Instant`s on one clock that never goes backwards."""

    @property
    def done(self) -> bool:
        """True when the result is final and nothing more is to be sent."""
        ...

    def due(self, now: Instant, room: int) -> Sequence[Probe]:
        """Probes to send now, at most `room` of them; asked again at every step."""
        ...

    def departed(self, departure: Departure) -> None:
        """A probe left, or could not be sent."""
        ...

    def replied(self, reply: Reply) -> bool | None:
        """A verified answer to one of this machine's probes, in any order, possibly late or doubled.

        True says that nothing changed about when to call `due`: what `wake_at` said last still holds.
        """
        ...

    def stalled(self, start: Instant, end: Instant) -> None:
        """This host did nothing between the two instants: losses in that window prove nothing."""
        ...

    def overflowed(self, start: Instant, end: Instant) -> None:
        """The kernel threw received packets away between the two instants: losses then prove nothing either."""
        ...

    def wake_at(self, now: Instant) -> Instant | None:
        """When `due` must be called next even if nothing arrives; None when only an answer can help."""
        ...
