"""Kernel timers as file descriptors (timerfd_create(2)), which Python has only since 3.13."""

import ctypes
import os

_CLOCK_MONOTONIC, _TFD_FLAGS, _TFD_ABSTIME = 1, os.O_NONBLOCK | os.O_CLOEXEC, 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


def create() -> int:
    """A timer's descriptor, readable once its time has come."""
    descriptor = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "timerfd_create")
    return descriptor


def set_at(descriptor: int, at_ns: int) -> None:
    """Let it ring at this value of `time.monotonic_ns()`."""
    seconds, ns = divmod(max(at_ns, 1), 1_000_000_000)
    if _libc.timerfd_settime(descriptor, _TFD_ABSTIME, ctypes.byref(_Spec(0, 0, seconds, ns)), None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "timerfd_settime")
