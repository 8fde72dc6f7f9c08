"""Counting calls: constant cost, exact across processes, and still there after a restart.

One file of fixed slots, mapped into every worker; a slot is changed under a lock on its own bytes, so two workers
never count the same call once or twice, and a worker that is killed gives its locks back. Nothing is written per
call but 32 bytes of memory the kernel keeps; a machine that loses power may forget the last half minute's calls.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from nettrace.errors import StoreError
from nettrace.model.account import Tier
from nettrace.model.instant import NS_PER_S, Instant

DAY_S, MINUTE_S = 86_400, 60
_SLOT = struct.Struct("<16sIIII")  # key, day, calls of the day, minute, calls of the minute
_EMPTY = bytes(16)
_STREAMS_EACH = 4096


class Policy(msgspec.Struct, frozen=True):
    """One limit as the RateLimit headers name it (draft-ietf-httpapi-ratelimit-headers-10)."""

    name: str
    limit: int
    window_s: int
    used: int
    reset_s: int

    @property
    def remaining(self) -> int:
        """Calls left in this window."""
        return max(0, self.limit - self.used)


class Allowance(msgspec.Struct, frozen=True):
    """What became of a call: whether it is allowed, and what is left by each policy."""

    allowed: bool
    policies: tuple[Policy, ...]

    @property
    def violated(self) -> tuple[Policy, ...]:
        """The policies that have nothing left."""
        return tuple(policy for policy in self.policies if policy.used > policy.limit)


class Quota:
    """Shared counters by key.

    Args:
        path: made when missing.
        slots: keys that may count on one day; fixed when the file is made.
    """

    def __init__(self, path: Path, slots: int = 65_536) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._file).st_size
        if size == 0:
            os.ftruncate(self._file, slots * _SLOT.size)
            size = slots * _SLOT.size
        if size % _SLOT.size:
            os.close(self._file)
            raise StoreError(f"{path} is not a quota file", "Remove it: today's counts begin again at zero")
        self._path = path
        self._mutex = threading.Lock()
        self._slots = size // _SLOT.size
        self._map = mmap.mmap(self._file, size)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._file)

    def charge(self, key: str, tier: Tier, now: Instant, cost: int = 1) -> Allowance:
        """Count a call if the tier's limits allow it; a refused one costs nothing."""
        day, minute = now // NS_PER_S // DAY_S, now // NS_PER_S // MINUTE_S
        with self._slot(key, day) as at:
            calls, burst = self._counts(at, day, minute)
            told = _policies(tier, calls + cost, burst + cost, now)
            if any(policy.used > policy.limit for policy in told):
                return Allowance(allowed=False, policies=told)
            name = self._map[at : at + 16]
            self._map[at : at + _SLOT.size] = _SLOT.pack(name, day, calls + cost, minute, burst + cost)
            return Allowance(allowed=True, policies=told)

    def usage(self, key: str, tier: Tier, now: Instant) -> Allowance:
        """What is used so far, counting nothing."""
        day, minute = now // NS_PER_S // DAY_S, now // NS_PER_S // MINUTE_S
        with self._slot(key, day) as at:
            calls, burst = self._counts(at, day, minute)
        return Allowance(allowed=True, policies=_policies(tier, calls, burst, now))

    def calls_today(self, now: Instant) -> int:
        """Calls of all keys today."""
        day = now // NS_PER_S // DAY_S
        return sum(calls for _, stamp, calls, _, _ in _SLOT.iter_unpack(self._map[:]) if stamp == day)

    @contextmanager
    def stream(self, key: str, tier: Tier) -> Generator[bool]:
        """Hold one of the tier's stream connections; False when all are taken.

        Each is a byte of its own under an open-file lock (fcntl(2), F_OFD_SETLK), which the kernel gives back
        whatever ends the process.
        """
        first = (int.from_bytes(_name(key)[:6]) + 1) * _STREAMS_EACH
        own = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield any(_take(own, first + number) for number in range(min(tier.streams, _STREAMS_EACH)))
        finally:
            os.close(own)

    def _counts(self, at: int, day: int, minute: int) -> tuple[int, int]:
        _, its_day, calls, its_minute, burst = _SLOT.unpack_from(self._map, at)
        return (calls if its_day == day else 0), (burst if its_minute == minute else 0)

    @contextmanager
    def _slot(self, key: str, day: int) -> Generator[int]:
        """The key's slot, locked against other processes (the file) and threads (the mutex)."""
        name = _name(key)
        with self._mutex:
            while True:
                at = self._find(name, day)
                with self._locked(at):
                    if self._map[at : at + 16] == name:  # else another worker gave it to another key just now
                        yield at
                        return

    def _find(self, name: bytes, day: int) -> int:
        """Where the key's slot is. A new key takes an empty slot, or one nobody used today."""
        first = int.from_bytes(name[:8]) % self._slots
        stale: int | None = None
        for step in range(self._slots):
            at = (first + step) % self._slots * _SLOT.size
            found = self._map[at : at + 16]
            if found == name:
                return at
            if stale is None and _SLOT.unpack_from(self._map, at)[1] != day:
                stale = at
            if found == _EMPTY:
                break
        if stale is None:
            raise StoreError(
                "more keys called today than the quota file has room for", f"Remove {self._path}"
            )
        with self._locked(stale):
            if _SLOT.unpack_from(self._map, stale)[1] != day:
                self._map[stale : stale + _SLOT.size] = _SLOT.pack(name, 0, 0, 0, 0)
        return stale

    @contextmanager
    def _locked(self, at: int) -> Generator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, _SLOT.size, at)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT.size, at)


def _name(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


def _take(file: int, offset: int) -> bool:
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
    except BlockingIOError:
        return False
    return True


def _policies(tier: Tier, calls: int, burst: int, now: Instant) -> tuple[Policy, ...]:
    second = now // NS_PER_S
    told: list[Policy] = []
    if tier.calls_per_minute is not None:
        told.append(Policy("burst", tier.calls_per_minute, MINUTE_S, burst, MINUTE_S - second % MINUTE_S))
    if tier.calls_per_day is not None:
        told.append(Policy("daily", tier.calls_per_day, DAY_S, calls, DAY_S - second % DAY_S))
    return tuple(told)
