"""Answers kept for those who ask the same: while nothing new came in, they get the same bytes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import cache

from nettrace.api.given import Answer, json_bytes, squeezed, tag_of

KEPT_BYTES = 64 << 20
ENTRY_BYTES = 4 << 20


class Answers:
    """The newest answers by question, within a bound of memory. Not for several threads."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[Hashable, Answer]] = OrderedDict()
        self._making: dict[Hashable, asyncio.Future[Answer]] = {}

    async def get(self, key: Hashable, valid: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer under this key while `valid` is the same; else a new one, made once for all who wait."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] == valid:
            self._kept.move_to_end(key)
            return kept[1]
        flight = (key, valid)
        under_way = self._making.get(flight)
        if under_way is not None:
            return await asyncio.shield(under_way)
        future = self._making[flight] = asyncio.get_running_loop().create_future()
        try:
            answer = await _frozen(await make())
            self._keep(key, valid, answer)
            future.set_result(answer)
            return answer
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            future.exception()  # those who wait get it; without any it is said once, here
            raise
        finally:
            del self._making[flight]

    def _keep(self, key: Hashable, valid: Hashable, answer: Answer) -> None:
        size = _size(answer)
        if size > ENTRY_BYTES:
            return
        old = self._kept.pop(key, None)
        self._size += size - (_size(old[1]) if old else 0)
        self._kept[key] = (valid, answer)
        while self._size > self._most:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._size -= _size(dropped)


def _size(answer: Answer) -> int:
    return len(answer.content) * 5 // 4  # with room for its compressed form


async def _frozen(answer: Answer) -> Answer:
    """The answer as bytes, with its validator, and compressed once somebody asks for that."""
    body = await json_bytes(answer.content)
    answer.squeeze = cache(lambda: squeezed(body))
    answer.content = body
    answer.tag = tag_of(body)
    return answer
