"""Who may be sent a packet now: budgets for the node, a target, its network and the router that will answer."""

from ipaddress import IPv6Address

import msgspec

from nettrace.model.instant import NS_PER_S, Instant


class Rate(msgspec.Struct, frozen=True):
    """At most `burst` packets at once and `per_second` on the long run."""

    per_second: float
    burst: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What this node allows itself.

    Attributes:
        node: all packets together.
        target: to one address.
        network: to one IPv4 /24 or IPv6 /48.
        router: answers provoked from one router; Linux grants 1/s after a burst of 6, and it is not ours alone.
    """

    node: Rate = Rate(2000, 200)
    target: Rate = Rate(20, 40)
    network: Rate = Rate(60, 120)
    router: Rate = Rate(1, 5)


class TokenBucket:
    """A token bucket in one number: the generic cell rate algorithm (ITU-T I.371, annex A).

    In any window of w seconds it grants at most `burst + per_second * w` packets.

    >>> bucket = TokenBucket(Rate(1, 2))
    >>> [bucket.allow(0), bucket.allow(0), bucket.allow(0), bucket.next_at(0)]
    [True, True, False, 1000000000]
    """

    __slots__ = ("_burst_ns", "_full_at", "_period_ns")

    def __init__(self, rate: Rate) -> None:
        self._period_ns = -int(-NS_PER_S // rate.per_second)
        self._burst_ns = self._period_ns * (max(rate.burst, 1) - 1)
        self._full_at: Instant = 0

    def next_at(self, now: Instant) -> Instant:
        """The earliest instant from `now` on at which a packet is allowed."""
        return max(now, self._full_at - self._burst_ns)

    def take(self, now: Instant) -> None:
        """Spend a token, whether or not there is one."""
        self._full_at = max(now, self._full_at) + self._period_ns

    def allow(self, now: Instant) -> bool:
        """Spend a token if there is one; False and unchanged when there is none."""
        if self._full_at - now > self._burst_ns:
            return False
        self.take(now)
        return True

    def idle(self, now: Instant) -> bool:
        """True when it is full again and so need not be remembered."""
        return self._full_at <= now


class Politeness:
    """All budgets of a node. A packet is allowed by every one of them or by none.

    Memory is bounded: buckets that are full again are forgotten.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._node = TokenBucket(self.limits.node)
        self._targets: dict[str, TokenBucket] = {}
        self._networks: dict[str, TokenBucket] = {}
        self._routers: dict[str, TokenBucket] = {}
        self._sweep_at = 1024

    def allow(self, now: Instant, target: str, router: str | None = None) -> bool:
        """Spend one packet to `target`, expected to be answered by `router` (None: unknown, or the target)."""
        buckets = self._buckets(target, router)
        for bucket in buckets:
            if bucket.next_at(now) > now:
                return False
        for bucket in buckets:
            bucket.take(now)
        if len(self) > self._sweep_at:
            self._forget(now)
        return True

    def next_at(self, now: Instant, target: str, router: str | None = None) -> Instant:
        """The earliest instant from `now` on at which `allow` would say yes if nothing else is sent."""
        at = now
        for bucket in self._buckets(target, router):
            at = bucket.next_at(at)
        return at

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._targets) + len(self._networks) + len(self._routers)

    def _buckets(self, target: str, router: str | None) -> tuple[TokenBucket, ...]:
        limits = self.limits
        narrow = _bucket(self._targets, target, limits.target)
        wide = _bucket(self._networks, network_of(target), limits.network)
        if router is None or router == target:
            return self._node, narrow, wide
        return self._node, narrow, wide, _bucket(self._routers, router, limits.router)

    def _forget(self, now: Instant) -> None:
        for known in (self._targets, self._networks, self._routers):
            for name in [name for name, bucket in known.items() if bucket.idle(now)]:
                del known[name]
        # Doubling keeps the cost of sweeping constant per packet.
        self._sweep_at = max(1024, 2 * len(self))


def _bucket(known: dict[str, TokenBucket], name: str, rate: Rate) -> TokenBucket:
    bucket = known.get(name)
    if bucket is None:
        bucket = known[name] = TokenBucket(rate)
    return bucket


def network_of(address: str) -> str:
    """The IPv4 /24 or IPv6 /48 around an address, as a name for it.

    >>> network_of("198.18.7.9"), network_of("2001:db8:1:2::3")
    ('198.18.7.0/24', '2001:db8:1::/48')
    """
    if ":" not in address:
        return f"{address.rpartition('.')[0]}.0/24"
    prefix = int(IPv6Address(address.partition("%")[0])) >> 80 << 80
    return f"{IPv6Address(prefix)}/48"
