"""Hearing of the end early: what waits for others lets go at SIGTERM, before the server asks it to."""

import asyncio
import signal
import threading
from types import FrameType


class Ending:
    """An event that is set when this process is told to end; whoever handled the signal before still does.

    Outside the main thread, where signals cannot be caught, it is never set by one.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._before = signal.getsignal(signal.SIGTERM)
        self._caught = threading.current_thread() is threading.main_thread()
        if self._caught:
            signal.signal(signal.SIGTERM, self._on_signal)

    async def wait(self) -> None:
        """Returns when the end has begun."""
        await self._event.wait()

    def begin(self) -> None:
        """Say that it has."""
        self._event.set()

    def close(self) -> None:
        """Give the signal back."""
        if self._caught and signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.signal(signal.SIGTERM, self._before)
        self._caught = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._event.set)
        if callable(self._before):
            self._before(number, frame)
