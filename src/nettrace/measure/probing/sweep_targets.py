"""A stream of targets as (target, address) pairs: addresses at once, names as the system resolver answers."""

import os
import socket
from array import array
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

CHUNK = 8192
RESOLVED_AT_ONCE = 64
"""Names asked about at the same time: system resolvers answer from threads."""

Pair = tuple[str, "str | None"]
"""A target and its address, None when it has none."""


class Targets:
    """Reads the stream a chunk at a time and deals each chunk out in random order.

    Neighbours in the list are often neighbours in the network; dealt out at random no network behind one
    router gets a train of probes, and every sample of the targets is a fair one.
    """

    def __init__(self, targets: Iterable[str], version: int | None = None) -> None:
        self._source = iter(targets)
        self._family = {4: socket.AF_INET, 6: socket.AF_INET6, None: socket.AF_UNSPEC}[version]
        self._ready: deque[str] = deque()
        self._asked: deque[tuple[str, Future[str | None]]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._ended = False

    @property
    def done(self) -> bool:
        """Every target has been taken."""
        return self._ended and not self._ready and not self._asked

    def take(self, count: int) -> list[Pair]:
        """At most `count` targets whose address is known by now."""
        pairs: list[Pair] = []
        while self._asked and len(pairs) < count and self._asked[0][1].done():
            target, answer = self._asked.popleft()
            pairs.append((target, answer.result()))
        while len(pairs) < count:
            if not self._ready and not self._refill():
                break
            if len(self._asked) >= 8 * RESOLVED_AT_ONCE:
                break
            target = self._ready.popleft()
            if is_address(target):
                pairs.append((target, target.partition("%")[0]))
            else:
                self._asked.append((target, self._resolve(target)))
        return pairs

    def close(self) -> None:
        """Stops asking."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _refill(self) -> bool:
        if self._ended:
            return False
        chunk = list(islice(self._source, CHUNK))
        self._ended = len(chunk) < CHUNK
        drawn = array("I", os.urandom(4 * len(chunk)))
        self._ready.extend(chunk[index] for index in sorted(range(len(chunk)), key=drawn.__getitem__))
        return bool(chunk)

    def _resolve(self, name: str) -> "Future[str | None]":
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - addresses need none of it

            self._pool = ThreadPoolExecutor(RESOLVED_AT_ONCE, "resolve")
        return self._pool.submit(_address_of, name, self._family)


def is_address(text: str) -> bool:
    """Is it an IPv4 or IPv6 address in its usual form?"""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True


def _address_of(name: str, family: int) -> str | None:
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0]).partition("%")[0] if found else None
