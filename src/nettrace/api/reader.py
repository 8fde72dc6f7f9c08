"""Questions to the store, off the event loop: asked in threads, one at a time unless one takes long."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from nettrace.errors import StoreBusy
from nettrace.store.port import StoreReader

T = TypeVar("T")
READERS = 3
QUEUE = 200
PATIENCE_S = 0.02
"""A question that takes longer holds up nobody. Most take two or three thousandths."""


class _Asked:
    """One question on its way through a thread, and the future of whoever waits for it."""

    def __init__(self, question: Callable[[StoreReader], Any]) -> None:
        self.question = question
        self.since = 0.0
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self._loop.create_future()

    def tell(self, settle: Callable[[Any], object], value: object) -> None:
        """From any thread: settle the future, unless nobody waits any more."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._settle, settle, value)

    def _settle(self, settle: Callable[[Any], object], value: object) -> None:
        if not self.answer.done():
            settle(value)


class Readers:
    """Blocking reads in threads, each with a reader of its own, that never stop the event loop.

    Python runs one thread at a time. Threads that read side by side win nothing and take the interpreter from each
    other at every statement, which costs more than the reading (decision 0246). So one question is asked at a time,
    in the order they came, mostly by the same thread; only beside one that takes longer than `PATIENCE_S` another
    thread asks the next.

    Args:
        number: most threads.
    """

    def __init__(self, open_reader: Callable[[], StoreReader], number: int = READERS) -> None:
        self._open = open_reader
        self._number = number
        self._change = threading.Condition()
        self._queue: deque[_Asked] = deque()
        self._turn: _Asked | None = None
        self._asked = self._idle = 0
        self._threads: list[threading.Thread] = []
        self._ended = False
        self._look_at: asyncio.TimerHandle | None = None

    async def run(self, question: Callable[[StoreReader], T]) -> T:
        """What `question` finds, asked in a thread.

        Raises:
            StoreBusy: too many questions wait already.
        """
        if self.waiting >= QUEUE:
            raise StoreBusy("too many questions wait for the store", "Try again, or ask for shorter windows")
        asked = _Asked(question)
        with self._change:
            self._queue.append(asked)
            self._wake()
        if self._look_at is None:
            self._look_at = asyncio.get_running_loop().call_later(PATIENCE_S, self._look)
        found: T = await asked.answer
        return found

    @property
    def waiting(self) -> int:
        """Questions that wait or are being asked."""
        return len(self._queue) + self._asked

    def close(self) -> None:
        """Wait for what is being asked; nobody gets an answer to the rest."""
        with self._change:
            self._ended = True
            left = list(self._queue)
            self._queue.clear()
            self._change.notify_all()
        for asked in left:
            asked.tell(asked.answer.cancel, None)
        for thread in self._threads:
            thread.join()

    def _wake(self) -> None:
        """Have the next question asked, when it is its turn and a thread has nothing to do. The lock is held."""
        if self._turn is not None or not self._queue:
            return
        if self._idle:
            self._change.notify()
        elif len(self._threads) < self._number:
            thread = threading.Thread(target=self._serve, name=f"reader-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _look(self) -> None:
        """Give the turn to the next question when the one that has it takes long."""
        with self._change:
            if self._turn is not None and monotonic() - self._turn.since >= PATIENCE_S:
                self._turn = None
                self._wake()
        again = self._queue and not self._ended
        loop = asyncio.get_running_loop()
        self._look_at = loop.call_later(PATIENCE_S, self._look) if again else None

    def _next(self, done: _Asked | None) -> _Asked | None:
        """The next question for a thread that has asked one; None at the end."""
        with self._change:
            if done is not None:
                self._asked -= 1
                if self._turn is done:
                    self._turn = None
            self._idle += 1
            self._change.wait_for(lambda: self._ended or (self._queue and self._turn is None))
            self._idle -= 1
            if self._ended:
                return None
            asked = self._turn = self._queue.popleft()
            asked.since = monotonic()
            self._asked += 1
            return asked

    def _serve(self) -> None:
        reader: StoreReader | None = None
        asked = self._next(None)
        while asked is not None:
            try:
                if not asked.answer.cancelled():
                    reader = reader or self._open()
                    asked.tell(asked.answer.set_result, asked.question(reader))
            except BaseException as error:
                asked.tell(asked.answer.set_exception, error)
            asked = self._next(asked)
        if reader is not None:
            reader.close()
