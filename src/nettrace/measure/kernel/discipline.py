"""How well the kernel says its clock is kept (adjtimex(2)): what its time daemon has told it, and how far it may be off."""

import ctypes
import struct
from functools import lru_cache

import msgspec

_TIME_ERROR = 5
_TIMEX_BYTES = 512
"""More than `struct timex` needs on any Linux (208 on 64 bits); all zero asks without changing anything."""
_TIMEX = struct.Struct("@I4l")
"""modes, offset, freq (2**-16 ppm), maxerror and esterror (us)."""


class Discipline(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel says of CLOCK_REALTIME.

    Attributes:
        synchronised: a daemon keeps it.
        error_ns: its largest possible error against UTC while it is kept: NTP's root distance (RFC 5905, 10), which the
            kernel lets grow by 500 ppm until the daemon speaks again. None when nobody keeps it.
        drift_ppm: how fast the bare oscillator was found to run, which the kernel takes out.
    """

    synchronised: bool
    error_ns: int | None
    drift_ppm: float


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _ = libc.adjtimex
    except (OSError, AttributeError):
        return None
    return libc


def discipline() -> Discipline | None:
    """What the kernel says now; None where it cannot be asked."""
    libc = _libc()
    if libc is None:
        return None
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = int(libc.adjtimex(timex))
    if state < 0:
        return None
    _, _, frequency, most_us, _ = _TIMEX.unpack_from(timex.raw)
    kept = state != _TIME_ERROR
    return Discipline(
        synchronised=kept, error_ns=most_us * 1000 if kept else None, drift_ppm=-frequency / 65_536
    )
