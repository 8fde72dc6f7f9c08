"""Names to addresses for rounds: an answer is kept for half a minute, an address as long as the name still has it.

A series of one round a second would else ask the resolver, and start a thread for it, every second. Half a minute is
what names behind a CDN grant themselves; one that moves is noticed within it, and the record of every round holds the
addresses the name had when it was last looked up. Exchanges look names up for themselves: there it is a stage.
"""

import asyncio
import threading
import time
from math import inf

from nettrace.measure.streams.resolve import Resolution, literal, resolve
from nettrace.model.measurement import Outcome, Reason
from nettrace.node.policy import NodePolicy

KEPT_S = 30.0
"""How long an answer of the resolver is used for further rounds; a failure is never kept."""

LOOKUPS_AT_ONCE = 8
MOST_THREADS = 16
"""Lookups that were given up still hold their thread until the system's resolver gives up too."""

TURN_S = 10.0
"""How long a round waits for its turn at the resolver."""

MOST_REMEMBERED = 4096
"""Names whose address or answer is kept: only hints, so forgetting them all costs next to nothing."""


class Refused(Exception):
    """The round cannot be; it carries what its measurement is to say."""

    def __init__(self, outcome: Outcome, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.outcome, self.reason = outcome, reason


class Names:
    """What the names of a node's targets mean, and at which of their addresses each is measured."""

    def __init__(self) -> None:
        self._pinned: dict[str, str] = {}
        self._known: dict[str, tuple[Resolution, float]] = {}
        self._passed: dict[str, tuple[Resolution, NodePolicy, str]] = {}
        self._asking: dict[str, asyncio.Task[Resolution]] = {}
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._slots = threading.BoundedSemaphore(MOST_THREADS)

    def fresh(self, host: str, policy: NodePolicy) -> tuple[str, Resolution] | None:
        """The address to measure, and what the name meant when it was looked up; None when it has to be looked up again.

        Raises:
            Forbidden: the policy refuses the name or one of its addresses.
        """
        known = self._known.get(host)
        if known is None:
            address = literal(host)
            if address is None:
                return None
            found = Resolution(host=host, addresses=(address,), at=time.time_ns(), via="literal")
            self._keep(host, found, inf)
        elif known[1] <= time.monotonic():
            return None
        else:
            found = known[0]
        passed = self._passed.get(host)
        if passed is not None and passed[0] is found and passed[1] is policy:
            return passed[2], found
        return self._choose(host, found, policy), found

    async def pin(self, host: str, policy: NodePolicy) -> tuple[str, Resolution]:
        """The address to measure, and what the name means.

        Raises:
            Forbidden: the policy refuses the name or one of its addresses.
            Refused: the name has no address.
            Invalid: it cannot be a host name.
        """
        policy.check_name(host)
        chosen = self.fresh(host, policy)
        if chosen is not None:
            return chosen
        asking = self._asking.get(host)
        if asking is None:
            asking = self._asking[host] = asyncio.create_task(self._look_up(host))
            asking.add_done_callback(lambda _: self._asking.pop(host, None))
        found = await asyncio.shield(asking)  # other rounds may wait for the same answer
        if found.reason is not None or not found.addresses:
            outcome = found.outcome if found.outcome is not Outcome.MEASURED else Outcome.FAILED
            raise Refused(outcome, found.reason or Reason.DNS, found.detail or "the name has no address")
        return self._choose(host, found, policy), found

    def last(self, host: str) -> str:
        """The address a name was last measured at, else the name: what budgets are counted by."""
        return self._pinned.get(host, host)

    def note(self, host: str, address: str | None) -> None:
        """An exchange has found its own way to this address."""
        if address is not None:
            self._pinned.setdefault(host, address)

    def keep(self, hosts: set[str]) -> None:
        """Forget names that are no longer measured."""
        for kept in (self._pinned, self._known, self._passed):
            for gone in kept.keys() - hosts:
                del kept[gone]

    async def _look_up(self, host: str) -> Resolution:
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            return Resolution(
                host=host, addresses=(), at=time.time_ns(), via="system", outcome=Outcome.NOT_MEASURED,
                reason=Reason.DNS, detail=f"no turn at the resolver within {TURN_S:g} s: other names wait for it too",
            )  # fmt: skip
        try:
            found = await resolve(host, slots=self._slots)
        finally:
            self._turns.release()
        if found.addresses and found.reason is None:
            self._keep(host, found, time.monotonic() + KEPT_S)
        return found

    def _keep(self, host: str, found: Resolution, until: float) -> None:
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
            self._passed.clear()
        self._known[host] = found, until

    def _choose(self, host: str, found: Resolution, policy: NodePolicy) -> str:
        policy.check_name(host)
        for each in found.addresses:
            policy.check(each, host)
        before = self._pinned.get(host)
        address = before if before in found.addresses else found.addresses[0]
        if len(self._pinned) >= MOST_REMEMBERED:  # names asked for once are never told apart from the others
            self._pinned.clear()
        self._pinned[host] = address
        self._passed[host] = found, policy, address
        return address
