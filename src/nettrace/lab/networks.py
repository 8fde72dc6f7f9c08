"""The lab's network namespaces: one for each vantage and one for all targets, wired to the router."""

import socket
from collections.abc import Callable

from nettrace.errors import LabError
from nettrace.lab import namespaces
from nettrace.lab.devices import NAME, VethHome, Wire, open_port, open_tun, tun_permitted
from nettrace.lab.fabric import Host
from nettrace.lab.forwarding import INTERNET
from nettrace.lab.netlink import Netlink
from nettrace.lab.topology import Topology

MTU = 1500

_READ_ONLY = (
    "/proc/sys is read-only: inside, kernel defaults hold (e.g. one port unreachable a second a peer)"
)
_NO_IPV6 = "this kernel has no IPv6: the lab is IPv4 only"
_INTERNET_SETTINGS = (
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv4/icmp_ratemask", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    (f"net/ipv4/conf/{NAME}/rp_filter", "0"),
)


class Networks:
    """Makes the namespaces of a topology; the process that does so ends up in one of its own.

    Attributes:
        spaces: port (see `forwarding`) -> descriptor that keeps its namespace alive.
        wires: port -> the router's end of its device.
        notes: what this system did not let us do.
    """

    def __init__(self, topology: Topology, device: str, *, unprivileged: bool) -> None:
        self.topology = topology
        self.device = device
        self.unprivileged = unprivileged
        self.spaces: dict[str, int] = {}
        self.wires: dict[str, Wire] = {}
        self.notes: list[str] = []

    def make(self, made: Callable[[int], None]) -> None:
        """Make them all; `made` hears of each namespace's descriptor as soon as it exists.

        Raises:
            LabError: what this system does not permit, with what to change.
        """
        if self.unprivileged:
            namespaces.become_root_of_own_namespace()
        own = namespaces.new_network()
        veths = VethHome(own)
        if self.device == "auto":
            self.device = "tun" if tun_permitted() and veths.obstacle() else "veth"
        ports: dict[str, tuple[str, bytes, bytes]] = {}
        for name in (*self.topology.vantages, INTERNET):
            self.spaces[name] = namespaces.new_network()
            made(self.spaces[name])
            with Netlink() as kernel:
                kernel.up("lo")
            if self.device == "tun":
                self.wires[name] = open_tun(MTU)
            else:
                ports[name] = veths.connect(MTU)
            self._furnish(self.topology.vantages.get(name))
        namespaces.enter(own, namespaces.CLONE_NEWNET)
        for name, (port, near, far) in ports.items():
            self.wires[name] = open_port(port, near, far, MTU)

    def _furnish(self, vantage: Host | None) -> None:
        """Addresses, routes and settings of the namespace this process is in."""
        if not namespaces.set_sysctl("net/ipv4/ip_forward", "0"):
            self._note(_READ_ONLY)
        namespaces.set_sysctl("net/ipv6/conf/all/disable_ipv6", "0")
        with Netlink() as kernel:
            if vantage is not None:
                self._furnish_vantage(kernel, vantage)
            else:
                self._furnish_internet(kernel)

    def _furnish_vantage(self, kernel: Netlink, vantage: Host) -> None:
        namespaces.set_sysctl("net/ipv4/ping_group_range", "0 0" if self.unprivileged else "0 2147483647")
        kernel.add_address(NAME, vantage.address4, 32)
        kernel.add_default_route(NAME, socket.AF_INET, vantage.address4)
        if vantage.address6:
            with _Tolerated(lambda: self._note(_NO_IPV6)):
                kernel.add_address(NAME, vantage.address6, 128)
                kernel.add_default_route(NAME, socket.AF_INET6, vantage.address6)

    def _furnish_internet(self, kernel: Netlink) -> None:
        for setting, value in _INTERNET_SETTINGS:
            namespaces.set_sysctl(setting, value)
        prefixes = self.topology.local_prefixes()
        kernel.add_default_route(NAME, socket.AF_INET)
        for prefix in prefixes:
            if prefix.version == 4:
                kernel.add_local_prefix(prefix)
        with _Tolerated(lambda: self._note(_NO_IPV6)):
            kernel.add_default_route(NAME, socket.AF_INET6)
            for prefix in prefixes:
                if prefix.version == 6:
                    kernel.add_local_prefix(prefix)
            # ICMPv6 errors take their source from addresses a link really has (RFC 4443 2.2)
            for host in self.topology.targets.values():
                if host.address6:
                    kernel.add_address("lo", host.address6, 128)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class _Tolerated:
    """Turns a refusal by the kernel into a note."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, LabError):
            self._note()
            return True
        return False
