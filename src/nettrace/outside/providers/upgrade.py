"""A rolling upgrade: drain, replace, wait until the node is as well as before; else put back what ran, and stop.

What was begun is written down before it is begun, so that an upgrade that was killed in the middle goes on at the same
machine, with what its node was before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from nettrace.errors import NetTraceError
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.outside.providers.port import Order, Provider, Refused
from nettrace.placement.fleet import RUNNING
from nettrace.placement.fleet_upgrade import Due, Seen, Upgrade, missing

LOOK_EVERY_S = 0.5
LOOKS_AT_MACHINE = 6
"""Every so many looks at the hub the provider is asked whether the machine still runs."""


class Nodes(Protocol):
    """What the hub knows of the fleet's nodes, and what it lets them do."""

    def seen(self, code: str) -> Seen | None:
        """The newest node of a vantage that is not revoked, as it is now."""
        ...

    def rest(self, node: str) -> None:
        """Let it hand over what it has and measure nothing new."""
        ...

    def work(self, node: str) -> None:
        """Let it measure."""
        ...

    def begin(self, code: str, before: Seen) -> None:
        """Remember that an upgrade does something to it, through whatever happens to this process."""
        ...

    def end(self, code: str) -> None:
        """Forget that."""
        ...


class Clock(Protocol):
    """Time of the hub's machine, and waiting."""

    def now(self) -> Instant:
        """Now, by the clock the hub stamps reports with."""
        ...

    def wait(self, seconds: float) -> None:
        """Let it pass."""
        ...


class Outcome(msgspec.Struct, frozen=True):
    """What became of an upgrade.

    Attributes:
        done: names of machines that run what they should and are well.
        failed: names of those that did not become well, with the reason; what ran there before runs again, if it can.
        left: names nothing was done to, because of them.
    """

    done: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    left: tuple[str, ...]


class Rolling:
    """Takes a plan's steps.

    Args:
        providers: by name, all those the plan needs.
        nodes: the hub.
        order: what a machine is to be now, with a new enrolment token in case its disk is lost.
        to: the version a node has to report.
        patience_s: how long each wait may take at most.
        say: told what happens, a line at a time.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        nodes: Nodes,
        order: Callable[[Due], Order],
        *,
        to: str,
        patience_s: float,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._providers, self._nodes, self._order = providers, nodes, order
        self._to, self._patience_s, self._clock, self._say = to, patience_s, clock, say

    def upgrade(self, plan: Upgrade, at_once: int = 1) -> Outcome:
        """All of it, so many machines at a time; the first batch with a machine that does not become well is the last."""
        done: list[str] = []
        bad: dict[str, str] = {}
        for first in range(0, len(plan.due), at_once):
            done += self._batch(plan.due[first : first + at_once], bad)
            if bad:
                break
        names = [each.wanted.name for each in plan.due]
        return Outcome(
            tuple(done), tuple(bad.items()), tuple(name for name in names if name not in {*done, *bad})
        )

    def _batch(self, batch: Sequence[Due], bad: dict[str, str]) -> list[str]:
        """Names of those that are well now; those that are not are in `bad`, with the reason."""
        for each in batch:
            self._try(each, bad, self._offered)
        if bad:
            return []  # nothing was done yet
        for step in (self._drain, self._replace, self._await_well):
            for each in batch:
                if each.wanted.name not in bad:
                    self._try(each, bad, step)
        for each in batch:
            if each.wanted.name in bad:
                self._put_back(each)
        return [each.wanted.name for each in batch if each.wanted.name not in bad]

    def _try(self, each: Due, bad: dict[str, str], step: Callable[[Due], None]) -> None:
        try:
            step(each)
        except NetTraceError as problem:
            bad[each.wanted.name] = str(problem)
            self._say(f"{each.wanted.name}: {problem}")

    def _offered(self, each: Due) -> None:
        """Look before anything is touched: is there what it should run?"""
        offered = self._of(each).version(each.machine.place)
        if offered is not None and offered != self._to:
            raise Refused(
                f"{each.machine.place} would start version {offered}, not {self._to}",
                "Install it there, or name the program that is: [ssh] or [local] program in fleet.toml",
            )

    def _drain(self, each: Due) -> None:
        self._nodes.begin(each.wanted.code, each.before)
        now = self._nodes.seen(each.wanted.code)
        if now is None or now.silent:
            return  # resumed where nothing runs: there is nothing to wait for
        if not now.active and now.resting and not now.backlog:
            return  # it rested before
        self._nodes.rest(now.node)
        self._say(f"{each.wanted.name}: drained, {now.backlog} entries wait")
        since = self._clock.now()
        while not _handed_over(seen := self._nodes.seen(each.wanted.code), since):
            if self._clock.now() - since > self._patience_s * NS_PER_S:
                waits = "nothing is known of it" if seen is None else f"{seen.backlog} entries wait"
                raise Refused(
                    f"{each.wanted.name} did not hand over what it has in {self._patience_s:.0f} s ({waits})",
                    "See nettrace fleet status",
                )
            self._clock.wait(LOOK_EVERY_S)

    def _replace(self, each: Due) -> None:
        self._of(each).replace(each.machine, self._order(each))
        self._wake(each)
        self._say(f"{each.wanted.name}: replaced, waiting until it is well")

    def _wake(self, each: Due) -> None:
        """As it was: one that an operator had drained stays drained."""
        now = self._nodes.seen(each.wanted.code)
        if each.before.active and now is not None and not now.active:
            self._nodes.work(now.node)

    def _await_well(self, each: Due) -> None:
        self._well(each, self._to)
        self._of(each).settle(each.machine)
        self._nodes.end(each.wanted.code)
        self._say(f"{each.wanted.name}: well, version {self._to}")

    def _well(self, each: Due, to: str | None) -> None:
        since, then = self._clock.now(), self._nodes.seen(each.wanted.code)
        looks = 0
        while lacks := missing(each.before, then, self._nodes.seen(each.wanted.code), to):
            looks += 1
            if looks % LOOKS_AT_MACHINE == 0:
                self._runs(each)
            if self._clock.now() - since > self._patience_s * NS_PER_S:
                raise Refused(
                    f"{each.wanted.name} is not well after {self._patience_s:.0f} s: {lacks}",
                    "See nettrace fleet logs",
                )
            self._clock.wait(LOOK_EVERY_S)

    def _runs(self, each: Due) -> None:
        """One that has ended need not be waited for."""
        provider, machine = self._of(each), each.machine
        states = [one.state for one in provider.machines((machine.place,)) if one.name == machine.name]
        if not any(state in RUNNING for state in states):
            said = (provider.logs(machine, 1) or ["no word"])[-1]
            raise Refused(f"{machine.name} has ended: {said[:300]}", "See nettrace fleet logs")

    def _put_back(self, each: Due) -> None:
        """What ran before, as it was; a machine whose replacing never began is only woken."""
        try:
            self._of(each).restore(each.machine)
            self._wake(each)
            self._well(each, None)
            self._nodes.end(each.wanted.code)
            self._say(f"{each.wanted.name}: what ran before runs again and is well")
        except NetTraceError as problem:
            self._say(f"{each.wanted.name}: NOT put back: {problem}; the next upgrade begins here")

    def _of(self, each: Due) -> Provider:
        return self._providers[each.wanted.provider]


def _handed_over(seen: Seen | None, since: Instant) -> bool:
    """It said so itself after it was told."""
    return seen is not None and seen.resting and seen.backlog == 0 and (seen.heard_at or 0) >= since
