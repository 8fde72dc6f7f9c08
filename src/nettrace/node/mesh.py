"""This node as one of the mesh: the reflector other nodes measure it by, and the clock its one-way delays stand on."""

import time
from collections.abc import Callable, Iterable

from nettrace.errors import Invalid
from nettrace.measure.packets.stamp import PORT
from nettrace.measure.probing.stamp_reflector import Reflector
from nettrace.measure.probing.stamp_socket import Clockwork, Wall, kernel_wall
from nettrace.measure.tracing.reflection import Peer
from nettrace.model.vantage import Clock
from nettrace.wire.frames import MeshPeer

LOOK_S = 1.0
"""How long what is known of the clock is taken for granted."""


class MeshClock:
    """This host's clock as well as anybody knows it: by the kernel's time daemon, checked against the hub's.

    The kernel's word holds while the hub's measurement (RFC 5905, 8) allows it. Where the two contradict each other, and
    where nobody keeps the clock, it is corrected by the hub's, with the hub's wider bound.

    Args:
        hub: what the reports' stamps say, or None as yet.
        own: what the kernel says.
        tick: a steady clock in seconds.
    """

    def __init__(
        self,
        hub: Callable[[], Clock | None],
        own: Clockwork = kernel_wall,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub, self._own, self._tick = hub, own, tick
        self._known = Wall()
        self._looked = float("-inf")

    def wall(self) -> Wall:
        """The clock now."""
        now = self._tick()
        if now - self._looked >= LOOK_S:
            self._known, self._looked = agreed(self._own(), self._hub()), now
        return self._known


def agreed(own: Wall, hub: Clock | None) -> Wall:
    """What the kernel's word and the hub's measurement say together.

    >>> agreed(Wall(error_ns=1_000_000), Clock(offset_ns=4_000_000, error_ns=5_000_000)).offset_ns
    0
    >>> agreed(Wall(error_ns=1_000_000), Clock(offset_ns=250_000_000, error_ns=5_000_000))
    Wall(offset_ns=250000000, error_ns=5000000)
    """
    if hub is None:
        return own
    if own.error_ns is not None and abs(hub.offset_ns - own.offset_ns) <= hub.error_ns + own.error_ns:
        return own
    return Wall(offset_ns=hub.offset_ns, error_ns=hub.error_ns)


class Reach:
    """Where other nodes reach this one, and the reflector there.

    Args:
        told: `ADDRESS` or `ADDRESS:PORT`, an IPv6 address in brackets; None runs no reflector.
        wall: this node's clock.

    Raises:
        Invalid: it is neither.
    """

    def __init__(self, told: str | None, wall: Clockwork) -> None:
        self._reflector: Reflector | None = None
        self.address = ""
        if told is None:
            return
        host, port = _parted(told)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._reflector = Reflector((), port=port, wall=wall)

    def start(self) -> None:
        """Listen.

        Raises:
            Unmeasurable: the port cannot be had.
        """
        if self._reflector is not None:
            self._reflector.start()

    def allow(self, peers: Iterable[MeshPeer]) -> None:
        """Answer these nodes and nobody else."""
        if self._reflector is not None:
            self._reflector.reflection.allow([Peer(name=peer.target, key=peer.key) for peer in peers])

    def close(self) -> None:
        """Answer nobody any more."""
        if self._reflector is not None:
            self._reflector.close()

    @property
    def words(self) -> str:
        """What it did so far, for a person; empty when there is no reflector."""
        if self._reflector is None:
            return ""
        counts = self._reflector.reflection.counts
        refused = sum(counts.values()) - counts["answered"]
        return f"{counts['answered']} packets of the mesh answered, {refused} refused"


def _parted(told: str) -> tuple[str, int]:
    bare = told.count(":") > 1 and not told.startswith("[")
    host, colon, port = (told, "", "") if bare else told.rpartition(":")
    if not colon:
        host, port = told, str(PORT)
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Invalid(f"'{told}' is no place a reflector can be reached at", "ADDRESS or ADDRESS:PORT")
    return host, int(port)
