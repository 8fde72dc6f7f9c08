"""The ladder: for every method the best way of sending that this host permits."""

import contextlib
import socket
import time

from nettrace.errors import Unmeasurable
from nettrace.measure.kernel.errorqueue import stamp_and_ttl
from nettrace.measure.kernel.raw_sockets import RECEPTION_STAMPS, stamp
from nettrace.measure.probing.connecting import ConnectTransport
from nettrace.measure.probing.datagram import IcmpTransport, UdpTransport
from nettrace.measure.probing.raw import RawTransport
from nettrace.measure.probing.remedy import ALLOW_ICMP_DATAGRAMS, allow_raw
from nettrace.measure.probing.routes import Routes
from nettrace.measure.probing.transport import Poller, Tags, Transport, refusal
from nettrace.model.measurement import Method

_STAMP_PATIENCE_S = 0.05


class Sockets:
    """All sockets of an engine, opened when first needed.

    Args:
        raw: False leaves raw sockets alone even where they are permitted.
        slot_bits: 2**slot_bits probes can be under way.
        sparing: only the first packets of a batch are asked for both stamps of their departure (`Driving.sparing`).
    """

    def __init__(self, *, raw: bool = True, slot_bits: int = 14, sparing: bool = False) -> None:
        self.tags = Tags(slot_bits)
        self.poller = Poller()
        self.routes = Routes(self.poller)
        self._raw_wanted = raw
        self._sparing = sparing
        self._raw: dict[int, RawTransport | OSError] = {}
        self._others: dict[tuple[Method, int], Transport] = {}
        # The kernel begins to stamp receptions a little after the first socket asks for it, and stops with
        # the last: this one keeps it going.
        self._keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if stamp(self._keeper, RECEPTION_STAMPS):
            await_stamps(self._keeper)

    def transport(self, method: Method, version: int) -> Transport:
        """The best transport for a method and IP version. Raises Unmeasurable, naming what would change it."""
        raw = self._raw.get(version) or self._open_raw(version)
        if isinstance(raw, RawTransport):
            return raw
        known = self._others.get((method, version))
        if known is not None:
            return known
        try:
            made = self._without_rights(method, version)
        except OSError as error:
            refused = isinstance(raw, PermissionError) and isinstance(error, PermissionError)
            why = "raw sockets need CAP_NET_RAW, ICMP sockets a group within net.ipv4.ping_group_range"
            raise Unmeasurable(
                f"this user may not send {method} over IPv{version}: {why if refused else refusal(error)}",
                f"Run: {ALLOW_ICMP_DATAGRAMS} (or: {allow_raw()})" if refused else "",
            ) from error
        self._others[method, version] = made
        return made

    def any_raw(self) -> bool:
        """True when raw sockets are in use."""
        return any(isinstance(raw, RawTransport) for raw in self._raw.values())

    def close(self) -> None:
        """Close every socket."""
        for raw in self._raw.values():
            if isinstance(raw, RawTransport):
                raw.close()
        for other in self._others.values():
            other.close()
        self._raw.clear()
        self._others.clear()
        self.routes.close()
        self._keeper.close()
        with contextlib.suppress(OSError):
            self.poller.close()

    def __enter__(self) -> "Sockets":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _without_rights(self, method: Method, version: int) -> Transport:
        if method is Method.TCP:
            return ConnectTransport(version, self.tags, self.routes, self.poller)
        kind = IcmpTransport if method is Method.ICMP else UdpTransport
        return kind(version, self.tags, self.routes, self.poller, sparing=self._sparing)

    def _open_raw(self, version: int) -> RawTransport | OSError:
        known = self._raw.get(version)
        if known is None:
            try:
                if not self._raw_wanted:
                    raise PermissionError(1, "not wanted")
                known = RawTransport(version, self.tags, self.routes, self.poller, sparing=self._sparing)
            except OSError as error:
                known = error
            self._raw[version] = known
        return known


def await_stamps(sock: socket.socket) -> None:
    """Sends itself a byte until the kernel stamps it, else the first answers would come without a stamp.

    A hundred microseconds as a rule; on a host without loopback, or one that stamps nothing, it is given up.
    """
    sock.settimeout(_STAMP_PATIENCE_S / 10)
    until = time.monotonic() + _STAMP_PATIENCE_S
    try:
        sock.bind(("127.0.0.1", 0))
        while time.monotonic() < until:
            sock.sendto(b"\0", sock.getsockname())
            if stamp_and_ttl(sock.recvmsg(1, 256)[1])[0]:
                return
    except OSError:
        return
