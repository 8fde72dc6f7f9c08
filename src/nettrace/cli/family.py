"""`-4` and `-6` as the probing rooms know them, and names to pinned addresses."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

import msgspec

from nettrace.errors import Invalid
from nettrace.measure.probing.ping import ProbeTarget
from nettrace.measure.streams.resolve import Family, Resolution, resolve
from nettrace.model.measurement import Measurement, Outcome, Reason

LOOKUPS_AT_ONCE = 128
LOOKUP_TIMEOUT_S = 5.0

M = TypeVar("M", bound=Measurement)


def family_of(number: int | None) -> Family:
    """`Family` of the option's 4, 6 or None.

    >>> family_of(6)
    <Family.IPV6: '6'>
    """
    return Family.ANY if number is None else Family(str(number))


async def resolve_each(hosts: Iterable[str], family: Family, timeout_s: float) -> AsyncIterator[Resolution]:
    """Every host's resolution in the order asked, many lookups under way at once, the input read as it is needed."""
    waiting: list[asyncio.Task[Resolution]] = []
    try:
        for host in hosts:
            waiting.append(asyncio.create_task(_resolved(host, family, timeout_s)))
            if len(waiting) >= LOOKUPS_AT_ONCE:
                yield await waiting.pop(0)
        while waiting:
            yield await waiting.pop(0)
    finally:
        for task in waiting:
            task.cancel()


async def _resolved(host: str, family: Family, timeout_s: float) -> Resolution:
    """As `resolve`; what cannot be a name at all is one more name that does not exist."""
    try:
        return await resolve(host, family, timeout_s=timeout_s)
    except Invalid as problem:
        return Resolution(
            host=host,
            addresses=(),
            at=time.time_ns(),
            via="system",
            outcome=Outcome.FAILED,
            reason=Reason.DNS,
            detail=problem.detail,
        )


class ResolvedTargets(msgspec.Struct, frozen=True):
    """Names turned into pinned addresses.

    Attributes:
        targets: those that have an address of the wanted family.
        problems: the common fields of a measurement for each of the others.
        addresses: host -> every address its name had.
    """

    targets: list[ProbeTarget]
    problems: list[dict[str, Any]]
    addresses: dict[str, tuple[str, ...]]

    def completed(self, result: M) -> M:
        """The result with all the addresses its name had when it was looked up."""
        return msgspec.structs.replace(result, resolved=self.addresses.get(result.target, ()))


def resolved_targets(hosts: Iterable[str], family: int | None) -> ResolvedTargets:
    """Every host's pinned address: the one the system prefers (RFC 6724) among those of the family."""
    wanted = family_of(family)
    made = ResolvedTargets([], [], {})

    async def gather() -> None:
        async for resolution in resolve_each(hosts, wanted, LOOKUP_TIMEOUT_S):
            fitting = resolution.of_family(wanted)
            made.addresses[resolution.host] = resolution.addresses
            if fitting:
                made.targets.append(ProbeTarget(resolution.host, fitting[0]))
            else:
                made.problems.append(_problem(resolution))

    asyncio.run(gather())
    return made


def _problem(resolution: Resolution) -> dict[str, Any]:
    measured = resolution.outcome is Outcome.MEASURED  # it has addresses, but none of the family asked for
    return {
        "target": resolution.host,
        "address": None,
        "at": resolution.at,
        "outcome": Outcome.FAILED if measured else resolution.outcome,
        "reason": Reason.DNS if measured else resolution.reason,
        "detail": "the name has no address of this family" if measured else resolution.detail,
        "resolved": resolution.addresses,
    }
