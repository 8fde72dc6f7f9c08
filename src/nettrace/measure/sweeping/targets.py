"""A stream of targets with their addresses: addresses at once, names as the system resolver answers."""

import os
import socket
from array import array
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

CHUNK = 8192
RESOLVED_AT_ONCE = 64
"""Names asked about at the same time: system resolvers answer from threads."""

_NO_ADDRESS = "the name has no address of this family"


class Pinned(NamedTuple):
    """A target and the address that is measured for it.

    Attributes:
        address: None when there is none; then `problem` says why.
        resolved: every address the name had, in the order the system prefers them (RFC 6724).
    """

    target: str
    address: str | None
    resolved: tuple[str, ...] = ()
    problem: str = ""


class Targets:
    """Reads the stream a chunk at a time and deals each chunk out in random order.

    Neighbours in the list are often neighbours in the network; dealt out at random no network behind one
    router gets a train of probes, and every sample of the targets is a fair one.
    """

    def __init__(self, targets: Iterable[str], version: int | None = None) -> None:
        self._source = iter(targets)
        self._version = version
        self._ready: deque[str] = deque()
        self._asked: deque[Future[Pinned]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._ended = False

    @property
    def done(self) -> bool:
        """Every target has been taken."""
        return self._ended and not self._ready and not self._asked

    def take(self, count: int) -> list[Pinned]:
        """At most `count` targets whose address is known by now, in no particular order."""
        pinned: list[Pinned] = []
        for _ in range(min(len(self._asked), count)):
            answer = self._asked.popleft()
            if answer.done():
                pinned.append(answer.result())
            else:
                self._asked.append(answer)
        while len(pinned) < count and len(self._asked) < 4 * RESOLVED_AT_ONCE:
            if not self._ready and not self._refill():
                break
            target = self._ready.popleft()
            address = address_of(target)
            if address is None:
                self._asked.append(self._resolve(target))
            elif self._version is None or self._version == version_of(address):
                pinned.append(Pinned(target, address, (address,)))
            else:
                pinned.append(Pinned(target, None, (), f"{target} is not an IPv{self._version} address"))
        return pinned

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

    def _resolve(self, name: str) -> "Future[Pinned]":
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - addresses need none of it

            self._pool = ThreadPoolExecutor(RESOLVED_AT_ONCE, "resolve")
        return self._pool.submit(pinned_name, name, self._version)


def address_of(text: str) -> str | None:
    """The address in its shortest form when the text is one, None when it must be a name.

    >>> address_of("2001:db8:0::1"), address_of("::ffff:198.18.0.1"), address_of("api.example")
    ('2001:db8::1', '198.18.0.1', None)
    """
    try:
        if ":" not in text:
            socket.inet_pton(socket.AF_INET, text)
            return text  # it has no other form
        shortest = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return None
    return shortest.removeprefix("::ffff:") if "." in shortest else shortest


def version_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


def pinned_name(name: str, version: int | None) -> Pinned:
    """What the system resolver says of a name now. Never raises: a name without address is a result."""
    try:
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_DGRAM)
    except (OSError, ValueError) as problem:
        return Pinned(name, None, (), getattr(problem, "strerror", None) or str(problem))
    addresses = tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    fitting = [address for address in addresses if version in {None, version_of(address)}]
    if not fitting:
        return Pinned(name, None, addresses, _NO_ADDRESS)
    return Pinned(name, fitting[0], addresses)
