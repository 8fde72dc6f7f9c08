"""Questions to the store: asked in threads, one at a time, and beside one that takes long."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from nettrace.api import reader
from nettrace.api.reader import Readers
from nettrace.errors import StoreBusy, StoreError
from nettrace.store.port import StoreReader


class Store:
    """Readers of nothing, counted."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.broken = False

    def open(self) -> StoreReader:
        if self.broken:
            raise StoreError("no store")
        self.opened += 1
        return cast(StoreReader, self)

    def close(self) -> None:
        self.closed += 1


@asynccontextmanager
async def readers(store: Store | None = None) -> AsyncIterator[Readers]:
    made = Readers((store or Store()).open)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


async def test_questions_are_asked_one_at_a_time_in_the_order_they_came(monkeypatch: Any) -> None:
    monkeypatch.setattr(reader, "PATIENCE_S", 3600.0)
    asked: list[tuple[int, int]] = []
    beside, store = 0, Store()

    def question(number: int) -> int:
        nonlocal beside
        beside += 1
        asked.append((number, beside))
        threading.Event().wait(0.001)  # another thread could begin here
        beside -= 1
        return number

    async with readers(store) as some:
        waiting = [some.run(lambda _, number=number: question(number)) for number in range(30)]
        assert await asyncio.gather(*waiting) == list(range(30))
        assert asked == [(number, 1) for number in range(30)]
    assert some.waiting == 0, "an answer is told before the thread puts its question away; now all have ended"
    assert (store.opened, store.closed) == (1, 1), "one thread did it all"


async def test_one_that_takes_long_holds_up_nobody() -> None:
    others = threading.Barrier(2)

    def long(_: object) -> bool:
        others.wait(60)  # until the one that came later is asked
        return True

    store = Store()
    async with readers(store) as some:
        assert await asyncio.gather(some.run(long), some.run(long), some.run(lambda _: 3)) == [True, True, 3]
    assert store.opened == store.closed
    assert 2 <= store.opened <= reader.READERS


async def test_no_more_than_its_threads_are_asked_beside_each_other(monkeypatch: Any) -> None:
    monkeypatch.setattr(reader, "PATIENCE_S", 0.001)
    full, store = threading.Barrier(reader.READERS), Store()
    async with readers(store) as some:
        await asyncio.gather(*(some.run(lambda _: full.wait(60)) for _ in range(3 * reader.READERS)))
    assert store.opened == reader.READERS


async def test_whoever_gave_up_is_not_asked_for(monkeypatch: Any) -> None:
    monkeypatch.setattr(reader, "PATIENCE_S", 3600.0)
    go, asked = threading.Event(), list[str]()
    async with readers() as some:
        first = asyncio.create_task(some.run(lambda _: go.wait(60)))
        gone = asyncio.create_task(some.run(lambda _: asked.append("gone")))
        last = asyncio.create_task(some.run(lambda _: asked.append("last")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        go.set()
        await asyncio.gather(first, last)
    assert asked == ["last"]


async def test_a_failure_reaches_who_asked_and_the_next_question_is_asked_all_the_same() -> None:
    store = Store()
    store.broken = True
    async with readers(store) as some:
        with pytest.raises(StoreError, match="no store"):
            await some.run(lambda _: 1)
        store.broken = False
        with pytest.raises(ZeroDivisionError):
            await some.run(lambda _: 1 // 0)
        assert await some.run(lambda found: found) is store
    assert store.opened == store.closed == 1


async def test_too_many_questions_are_refused_at_once() -> None:
    go = threading.Event()
    async with readers() as some:
        waiting = [asyncio.create_task(some.run(lambda _: go.wait(60))) for _ in range(reader.QUEUE)]
        await asyncio.sleep(0)
        assert some.waiting == reader.QUEUE
        with pytest.raises(StoreBusy, match="too many questions wait"):
            await some.run(lambda _: 1)
        go.set()
        await asyncio.gather(*waiting)


async def test_at_the_end_what_is_asked_is_answered_and_the_rest_is_let_go(monkeypatch: Any) -> None:
    monkeypatch.setattr(reader, "PATIENCE_S", 3600.0)
    begun, go, store = threading.Event(), threading.Event(), Store()

    def question(_: object) -> str:
        begun.set()
        go.wait(60)
        return "answered"

    some = Readers(store.open)
    asked = asyncio.create_task(some.run(question))
    left = asyncio.create_task(some.run(lambda _: "never"))
    await asyncio.to_thread(begun.wait, 60)
    closing = asyncio.create_task(asyncio.to_thread(some.close))
    await asyncio.wait([left])
    assert left.cancelled()
    go.set()
    assert await asked == "answered"
    await closing
    assert (store.opened, store.closed) == (1, 1)
