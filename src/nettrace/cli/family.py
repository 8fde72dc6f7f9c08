"""`-4` and `-6` as the probing rooms know them, and names to pinned addresses."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from nettrace.measure.probing.resolve import Family, Resolution, resolve

LOOKUPS_AT_ONCE = 128


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
            waiting.append(asyncio.create_task(resolve(host, family, timeout_s=timeout_s)))
            if len(waiting) >= LOOKUPS_AT_ONCE:
                yield await waiting.pop(0)
        while waiting:
            yield await waiting.pop(0)
    finally:
        for task in waiting:
            task.cancel()


def resolve_all(hosts: Iterable[str], family: Family, timeout_s: float) -> list[Resolution]:
    """Every host's resolution, for commands that drive their own loop."""

    async def gather() -> list[Resolution]:
        return [resolution async for resolution in resolve_each(hosts, family, timeout_s)]

    return asyncio.run(gather())
