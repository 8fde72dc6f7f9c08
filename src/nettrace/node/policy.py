"""What a node touches for its hub: nothing private unless the operator opened it, and nobody who has asked to be left alone."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from nettrace.errors import Forbidden
from nettrace.model.address import Network, TargetPolicy, networks_of

MOST_REMEMBERED = 10_000
"""Addresses already judged: a node asks about the same ones before every round."""


class NodePolicy(TargetPolicy):
    """`TargetPolicy.for_others`, and the opt-outs.

    >>> policy = NodePolicy.of(open_networks=["10.1.0.0/16"], opted_out=["10.1.2.0/24", "shy.example"])
    >>> policy.refuses("10.1.2.3"), policy.refuses("10.1.3.3")
    ('among those who asked not to be measured', None)
    >>> policy.refuses_name("api.shy.example"), policy.refuses_name("notshy.example")
    ('among those who asked not to be measured', None)
    """

    __slots__ = ("_known", "_names", "_networks")

    _names: frozenset[str]
    _networks: tuple[Network, ...]
    _known: dict[str, str | None]

    @classmethod
    def of(cls, *, open_networks: Iterable[str] = (), opted_out: Iterable[str] = ()) -> "NodePolicy":
        """The policy of an assignment.

        Raises:
            ConfigError: an open network is none. Of the opt-outs whatever is no network is a name.
        """
        policy = cls(networks_of(open_networks), restricted=True)
        networks: list[Network] = []
        names: set[str] = set()
        for text in opted_out:
            try:
                networks.append(ip_network(text))
            except ValueError:
                names.add(text.lower().rstrip("."))
        policy._names, policy._networks, policy._known = frozenset(names), tuple(networks), {}
        return policy

    def refuses(self, address: str) -> str | None:
        """Why this address may not be measured, in words; None when it may."""
        known = self._known
        if address not in known:
            if len(known) >= MOST_REMEMBERED:
                known.clear()
            known[address] = self._judged(address)
        return known[address]

    def _judged(self, address: str) -> str | None:
        why = super().refuses(address)
        if why is not None:
            return why
        parsed = ip_address(address)
        if any(parsed.version == each.version and parsed in each for each in self._networks):
            return "among those who asked not to be measured"
        return None

    def refuses_name(self, host: str) -> str | None:
        """Why this name may not be measured, itself or as part of a domain that opted out."""
        name = host.lower().rstrip(".")
        while name:
            if name in self._names:
                return "among those who asked not to be measured"
            name = name.partition(".")[2]
        return None

    def check_name(self, host: str) -> None:
        """Return when the name may be measured.

        Raises:
            Forbidden: it may not.
        """
        why = self.refuses_name(host)
        if why is not None:
            raise Forbidden(f"{host} is {why}")
