"""Names to addresses, once a round: what is measured is the pinned address, and every change is a fact.

Names go through the system's resolver (`getaddrinfo`: hosts file, search domains, whatever the host is set up
for), in daemon threads, so a resolver that never answers holds up neither the loop nor the end of the program.
"""

import asyncio
import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache

import msgspec

from nettrace.errors import Invalid
from nettrace.measure.kernel.clock import read_clocks
from nettrace.measure.streams.deadline import LagMeter
from nettrace.model.address import UNRESTRICTED, TargetPolicy
from nettrace.model.instant import Instant
from nettrace.model.measurement import Grade, Outcome, Reason, Stage

DEFAULT_TIMEOUT_S = 5.0
THREADS_AT_MOST = 256
"""Lookups at once. A thread stuck in a dead resolver costs some 20 kB until the resolver gives up."""

SWITCH_NS = 5_000_000
"""A thread may wait this long for the interpreter after its answer came (sys.getswitchinterval)."""

_slots = threading.BoundedSemaphore(THREADS_AT_MOST)


class Family(StrEnum):
    """Which of the two protocols to measure with."""

    ANY = "any"
    IPV4 = "4"
    IPV6 = "6"


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What a name meant at one moment. A failed one is data too: `addresses` is empty and `reason` says why.

    Attributes:
        host: as it was asked for.
        addresses: in the order the system prefers (RFC 6724), without duplicates.
        via: `literal` or `system`.
        ttl_s: how long the answer may be kept; None because the system's resolver does not tell.
        stage: how long the lookup took, by the user clock; None for a literal.
    """

    host: str
    addresses: tuple[str, ...]
    at: Instant
    via: str
    outcome: Outcome = Outcome.MEASURED
    reason: Reason | None = None
    detail: str | None = None
    ttl_s: int | None = None
    stage: Stage | None = None

    def of_family(self, family: Family) -> tuple[str, ...]:
        """The addresses of one family, or all of them."""
        if family is Family.ANY:
            return self.addresses
        return tuple(address for address in self.addresses if (":" in address) == (family is Family.IPV6))


class AddressChange(msgspec.Struct, frozen=True, kw_only=True):
    """A name's set of addresses is not what it was."""

    host: str
    at: Instant
    added: tuple[str, ...]
    removed: tuple[str, ...]


class AddressBook:
    """What every name meant, and when that changed: a CDN that moves you is a fact, not a surprise.

    Args:
        remember: changes kept for each name.
    """

    def __init__(self, remember: int = 64) -> None:
        self._remember = remember
        self._now: dict[str, Resolution] = {}
        self._changes: dict[str, deque[AddressChange]] = {}

    def record(self, resolution: Resolution) -> AddressChange | None:
        """Note an answer; the change it means, or None. A failed lookup changes nothing."""
        if not resolution.addresses:
            return None
        before = self._now.get(resolution.host)
        self._now[resolution.host] = resolution
        if before is None:
            return None
        old, new = set(before.addresses), set(resolution.addresses)
        if old == new:
            return None
        change = AddressChange(
            host=resolution.host,
            at=resolution.at,
            added=tuple(address for address in resolution.addresses if address not in old),
            removed=tuple(address for address in before.addresses if address not in new),
        )
        self._changes.setdefault(resolution.host, deque(maxlen=self._remember)).append(change)
        return change

    def current(self, host: str) -> Resolution | None:
        """The last answer with addresses, or None."""
        return self._now.get(host)

    def changes(self, host: str) -> tuple[AddressChange, ...]:
        """The last changes of a name, oldest first."""
        return tuple(self._changes.get(host, ()))


@lru_cache(maxsize=8192)
def literal(host: str) -> str | None:
    """The address when `host` is one (brackets allowed around IPv6), else None.

    An IPv4 address in IPv6 clothes (RFC 4291, 2.5.5.2) is that IPv4 address: nothing else is ever on the wire.

    >>> literal("[::1]"), literal("198.18.0.1"), literal("::ffff:198.18.0.1"), literal("api.example")
    ('::1', '198.18.0.1', '198.18.0.1', None)
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def ascii_host(host: str) -> str:
    """The name as DNS and TLS know it: lower case, international names in their ASCII form.

    >>> ascii_host("Bücher.example")
    'xn--bcher-kva.example'

    Raises:
        Invalid: it cannot be a host name.
    """
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        why = str(error.__cause__ or error)
        raise Invalid(f"{host!r} is not a host name: {why}") from None
    bare = name.removesuffix(".")
    allowed = all(character.isalnum() or character in "-_." for character in bare)
    if (
        not bare
        or not allowed
        or any(not 0 < len(label) < 64 for label in bare.split("."))
        or len(bare) > 253
    ):
        raise Invalid(f"{host!r} is not a host name or an address")
    return name


async def resolve(
    host: str,
    family: Family = Family.ANY,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    policy: TargetPolicy = UNRESTRICTED,
    slots: threading.BoundedSemaphore | None = None,
) -> Resolution:
    """What `host` means now.

    No more lookups than `slots` has left are under way at once; None is `THREADS_AT_MOST` of them in all.

    Raises:
        Invalid: it cannot be a host name.
        Forbidden: `policy` refuses one of its addresses (one is enough: an answer that mixes a public with
            a private address is an attack).
    """
    at = time.time_ns()
    if (address := literal(host)) is not None:
        policy.check(address, host)
        found = Resolution(host=host, addresses=(address,), at=at, via="literal")
        if found.of_family(family):
            return found
        return _failed(found, f"{host} is not an IPv{family} address")
    name = ascii_host(host)
    found = await _ask_system(host, (name, family), timeout_s, slots or _slots)
    for each in found.addresses:
        policy.check(each, host)
    return found


def _failed(resolution: Resolution, detail: str, outcome: Outcome = Outcome.FAILED) -> Resolution:
    return msgspec.structs.replace(
        resolution, addresses=(), outcome=outcome, reason=Reason.DNS, detail=detail
    )


_FAMILIES = {Family.ANY: socket.AF_UNSPEC, Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_WORDS = {
    socket.EAI_NONAME: "the name does not exist",
    socket.EAI_AGAIN: "no resolver answered",
    socket.EAI_FAIL: "the resolver failed",
    socket.EAI_NODATA: "the name has no address",
}

_Answer = tuple[list[str], str | None, int]


async def _ask_system(
    host: str, question: tuple[str, Family], timeout_s: float, slots: threading.BoundedSemaphore
) -> Resolution:
    asked = Resolution(host=host, addresses=(), at=time.time_ns(), via="system")
    if not slots.acquire(blocking=False):
        words = "as many lookups as may be at once wait for the resolver already"
        return _failed(asked, words, Outcome.NOT_MEASURED)
    meter = LagMeter()
    try:
        answer = _in_daemon_thread(lambda: _getaddrinfo(*question), slots)
        addresses, problem, took_ns = await asyncio.wait_for(answer, timeout_s)
    except TimeoutError:
        return _failed(asked, f"no answer from the resolver within {timeout_s:g} s")
    finally:
        meter.stop()
    bar = min(took_ns, SWITCH_NS + meter.bar_ns)
    stage = Stage(duration_ns=took_ns, error_ns=bar, grade=Grade.USER)
    asked = msgspec.structs.replace(asked, stage=stage, addresses=tuple(dict.fromkeys(addresses)))
    if problem is not None:
        return _failed(asked, problem)
    return asked


def _getaddrinfo(name: str, family: Family) -> _Answer:
    started = read_clocks().monotonic
    addresses: list[str] = []
    problem: str | None = None
    try:
        rows = socket.getaddrinfo(name, None, family=_FAMILIES[family], type=socket.SOCK_STREAM)
        addresses = [str(row[4][0]) for row in rows]
    except socket.gaierror as error:
        problem = _WORDS.get(error.errno or 0, error.strerror or str(error))
    except OSError as error:
        problem = error.strerror or str(error)
    return addresses, problem, read_clocks().monotonic - started


def _in_daemon_thread(
    work: Callable[[], _Answer], slots: threading.BoundedSemaphore
) -> "asyncio.Future[_Answer]":
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Answer] = loop.create_future()

    def settle(answer: _Answer) -> None:
        if not future.done():
            future.set_result(answer)

    def run() -> None:
        try:
            answer = work()
        finally:
            slots.release()
        try:
            loop.call_soon_threadsafe(settle, answer)
        except RuntimeError:
            return  # the loop ended while the resolver slept; nobody waits any more

    threading.Thread(target=run, name="resolve", daemon=True).start()
    return future
