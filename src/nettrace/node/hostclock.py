"""Whether the kernel calls this host's clock synchronised (adjtimex(2)), as its time daemon has told it."""

import ctypes
from functools import lru_cache

_TIME_ERROR = 5
_TIMEX_BYTES = 512
"""More than `struct timex` needs on any Linux (208 on 64 bits); all zero asks without changing anything."""


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _ = libc.adjtimex
    except (OSError, AttributeError):
        return None
    return libc


def synchronised() -> bool | None:
    """True or False by the kernel's word; None where it cannot be asked."""
    libc = _libc()
    if libc is None:
        return None
    state = int(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return None if state < 0 else state != _TIME_ERROR
