"""Ctrl-C while results stream out: it is met between two results, so none is cut in half and none is lost."""

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def patient_interrupts() -> Generator[Callable[[], bool]]:
    """Gives a function that says whether an interrupt came; the first one only sets it, a second one raises at once.

    Leaving the context raises KeyboardInterrupt when one came, so everything is as if it had come just then.
    """
    came = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
