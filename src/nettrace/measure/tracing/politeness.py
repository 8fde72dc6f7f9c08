"""Who may be sent a packet now: budgets for the node, a target, its network and the router that will answer."""

from ipaddress import IPv6Address

import msgspec

from nettrace.model.instant import NS_PER_S, Instant

BUDGETS = ("node", "target", "network", "router")
"""What a packet may have to wait for: all packets of this node, those to one address, to its network, by one router."""


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
    """A token bucket in one number: the generic cell rate algorithm (ITU-T I.371, annex A), and a line of those who wait.

    In any window of w seconds it grants at most `burst + per_second * w` packets.

    >>> bucket = TokenBucket(Rate(1, 2))
    >>> [bucket.allow(0), bucket.allow(0), bucket.allow(0), bucket.next_at(0)]
    [True, True, False, 1000000000]

    Attributes:
        free_at: from when on a packet is allowed.
        line: the latest instant that somebody was promised; in the past when nobody waits.
    """

    __slots__ = ("_burst_ns", "_period_ns", "free_at", "line")

    def __init__(self, rate: Rate) -> None:
        self._period_ns = -int(-NS_PER_S // rate.per_second)
        self._burst_ns = self._period_ns * (max(rate.burst, 1) - 1)
        self.free_at: Instant = -self._burst_ns
        self.line: Instant = 0

    def next_at(self, now: Instant) -> Instant:
        """The earliest instant from `now` on at which a packet is allowed."""
        return max(now, self.free_at)

    def place(self, now: Instant) -> Instant:
        """When a newcomer may send: `now`, or behind everybody who waits already.

        >>> bucket = TokenBucket(Rate(1, 1))
        >>> bucket.take(0)
        >>> bucket.line = bucket.place(0)
        >>> bucket.line, bucket.place(0)
        (1000000000, 2000000000)
        """
        if self.line > now:
            return max(self.free_at, self.line + self._period_ns)
        return max(now, self.free_at)

    def room(self, now: Instant) -> int:
        """How many packets may go at once; one where others wait."""
        if self.line > now:
            return 1
        return min(self._burst_ns, now - self.free_at) // self._period_ns + 1

    def take(self, now: Instant, count: int = 1) -> None:
        """Spend tokens, whether or not there are any."""
        free_at, full = self.free_at, now - self._burst_ns
        self.free_at = (free_at if free_at > full else full) + count * self._period_ns

    def allow(self, now: Instant) -> bool:
        """Spend a token if there is one; False and unchanged when there is none."""
        if self.free_at > now:
            return False
        self.take(now)
        return True

    def idle(self, now: Instant) -> bool:
        """True when it is full again and so need not be remembered."""
        return self.free_at + self._burst_ns <= now and self.line <= now


Account = tuple[TokenBucket, ...]
"""The budgets a packet is charged to, in the order of `BUDGETS`."""


class Politeness:
    """All budgets of a node. A packet is allowed by every one of them or by none.

    Memory is bounded: buckets that are full again are forgotten.

    Attributes:
        waited: packets that had to wait since the start, by the budget that was spent (`BUDGETS`).
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.waited = dict.fromkeys(BUDGETS, 0)
        self._node = TokenBucket(self.limits.node)
        self._accounts: dict[str, Account] = {}
        self._networks: dict[str, TokenBucket] = {}
        self._routers: dict[str, TokenBucket] = {}
        self._sweep_at = 2048

    def allow(self, now: Instant, target: str, router: str | None = None) -> bool:
        """Spend one packet to `target`, expected to be answered by `router` (None: unknown, or the target)."""
        account = self._account(target, router)
        for bucket in account:
            if bucket.next_at(now) > now:
                return False
        self._charge(account, now)
        return True

    def spend(self, now: Instant, target: str, count: int = 1) -> None:
        """Charge packets that `turn` or `grant` has let go."""
        self._charge(self._accounts.get(target) or self._account(target, None), now, count)

    def turn(self, now: Instant, target: str, promised: Instant = 0) -> Instant:
        """When a packet to `target` may go: `now`, or the instant that `wait` would promise it.

        `promised` is what `wait` said of the same packet before, 0 for a new one.
        """
        return promised if promised > now else self._turn(now, target, promised)[0]

    def wait(self, now: Instant, target: str, promised: Instant = 0) -> tuple[Instant, str]:
        """A place in the line of the spent budget: when the packet may go, and which of `BUDGETS` that is.

        Whoever waits sleeps until then and asks `turn` again with it, and nobody who comes later goes before. Nothing is
        charged, and no budget is ever taken beyond itself by a promise: the tokens are looked at when the moment has come.
        """
        at, spent = self._turn(now, target, promised)
        if at > now:
            bucket = self._account(target, None)[spent]
            bucket.line = max(bucket.line, at)
            self.waited[BUDGETS[spent]] += not promised
        return at, BUDGETS[spent]

    def grant(self, now: Instant, target: str, most: int, promised: Instant = 0) -> int:
        """How many packets to `target` may go at once, at most `most`; 0 when the turn of the first has not come."""
        if promised > now:
            return 0
        account = self._accounts.get(target) or self._account(target, None)
        for bucket in account:
            if bucket.free_at > now or bucket.line > now:
                break
            room = bucket.room(now)
            most = min(most, room)
        else:
            return most
        if self._turn(now, target, promised)[0] > now:
            return 0
        return min(most, *(bucket.room(now) for bucket in account))

    def next_at(self, now: Instant, target: str, router: str | None = None) -> Instant:
        """The earliest instant from `now` on at which `allow` would say yes if nothing else is sent."""
        at = now
        for bucket in self._account(target, router):
            at = bucket.next_at(at)
        return at

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._accounts) + len(self._networks) + len(self._routers)

    def _turn(self, now: Instant, target: str, promised: Instant) -> tuple[Instant, int]:
        at, spent = now, 0
        account = self._accounts.get(target) or self._account(target, None)
        for bucket in account:
            if bucket.free_at > now or bucket.line > now:
                break
        else:  # as a rule all of them have some left
            return now, 0
        for index, bucket in enumerate(account):
            free = bucket.next_at(now) if promised else bucket.place(now)
            if free > at:
                at, spent = free, index
        return at, spent

    def _charge(self, account: Account, now: Instant, count: int = 1) -> None:
        for bucket in account:
            bucket.take(now, count)
        if len(self._accounts) + len(self._networks) + len(self._routers) > self._sweep_at:
            self._forget(now)

    def _account(self, target: str, router: str | None) -> Account:
        limits = self.limits
        account = self._accounts.get(target)
        if account is None:
            wide = _bucket(self._networks, network_of(target), limits.network)
            account = self._accounts[target] = (self._node, TokenBucket(limits.target), wide)
        if router is None or router == target:
            return account
        return *account, _bucket(self._routers, router, limits.router)

    def _forget(self, now: Instant) -> None:
        for target in [target for target, (_, own, _) in self._accounts.items() if own.idle(now)]:
            del self._accounts[target]
        held = {
            id(wide) for _, _, wide in self._accounts.values()
        }  # two of one network would grant twice as much
        for known in (self._networks, self._routers):
            for name in [
                name for name, bucket in known.items() if bucket.idle(now) and id(bucket) not in held
            ]:
                del known[name]
        # Doubling keeps the cost of sweeping constant per packet.
        self._sweep_at = max(2048, 2 * len(self))


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
