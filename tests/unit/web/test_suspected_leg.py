"""A page that does not wait for a suspicion's leg shows what an earlier look found of it."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from nettrace.hub.latest import Snapshot
from nettrace.hub.suspicion import Suspected, SuspectedLeg
from nettrace.model.instant import NS_PER_S
from nettrace.model.route import Blame, BlameVerdict
from nettrace.web.door import Visit
from nettrace.web.suspected import suspected_leg_of

LEG = SuspectedLeg(blame=Blame(since=0, verdict=BlameVerdict.NONE), where={}, traced=0, judged=0)
FOUND = Suspected(since=0, there_by=0, pairs=(), shared="", rounds=1, far=64, counted=6, of=15, share=0.0003, chance=1e-9, every_s=1e9)  # fmt: skip


class Slow:
    """Readers that answer when they are let."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.answered = 0

    async def run(self, _: Callable[..., object]) -> SuspectedLeg:
        await self.may.wait()
        self.answered += 1
        return LEG


class Hub(SimpleNamespace):
    """As much of a hub as is asked."""

    __hash__ = object.__hash__


async def looks() -> None:
    hub = Hub(readers=Slow())

    def visit(at_s: int) -> Visit:
        return Visit(hub=cast(Any, hub), caller=None, query={}, path={}, now=at_s * NS_PER_S, snapshot=Snapshot(seq=0, at=0), url="/")  # fmt: skip

    assert await suspected_leg_of(visit(0), FOUND, 0.0) is None, "nobody has found it yet"
    hub.readers.may.set()
    assert await suspected_leg_of(visit(0), FOUND) == LEG
    hub.readers.may.clear()
    assert await suspected_leg_of(visit(100), FOUND, 0.0) == LEG, (
        "the new look is under way, the earlier one stands"
    )
    hub.readers.may.set()
    assert await suspected_leg_of(visit(100), FOUND) == LEG
    assert hub.readers.answered == 2, "asked once a look"


def test_what_an_earlier_look_found_stands_until_the_next_is_answered() -> None:
    asyncio.run(looks())
