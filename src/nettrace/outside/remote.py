"""One port to other people's vantages: what an errand costs, and what its probes found; and who may be asked about.

`outside.globalping` and `outside.ripeatlas` stand behind it. Whoever uses it asks `cost` first, shows it, and calls `run`
only when that was confirmed; `run` reserves the amount in the shared ledger before it sends anything.
"""

import hashlib
import os
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import msgspec

from nettrace.errors import Invalid, NetTraceError, QuotaExceeded, Unauthenticated
from nettrace.model.instant import Instant
from nettrace.model.remote import Cost, Errand, RemoteResult
from nettrace.outside.allowance import Allowance
from nettrace.outside.rest import Reply

_INNER = (
    ".local",
    ".localdomain",
    ".internal",
    ".intranet",
    ".lan",
    ".home",
    ".corp",
    ".home.arpa",
    ".onion",
)
LEDGER = "third_party.sqlite"


class World(msgspec.Struct, frozen=True):
    """What a client needs of its surroundings: the shared ledger, the clock, and a way to wait."""

    allowance: Allowance
    now: Callable[[], Instant] = time.time_ns
    sleep: Callable[[float], None] = time.sleep


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an errand.

    Attributes:
        number: the service's name for the measurement: `globalping:ID`, `atlas:ID`.
        taken: of the allowance, by the service's word.
        notes: what a person should know: fewer probes than asked for, results that could not be read.
    """

    number: str
    results: tuple[RemoteResult, ...]
    taken: int
    notes: tuple[str, ...] = ()


class RemoteService(Protocol):
    """A service that measures from its own probes."""

    def standing(self) -> Cost:
        """What is left of the allowance; its amount is 0, and nothing is measured."""
        ...

    def cost(self, errand: Errand) -> Cost:
        """What the errand would take and what is left; nothing is measured. Raises `Invalid` for what it cannot do."""
        ...

    def run(self, errand: Errand) -> Found:
        """The errand done: reserved, created, waited for, read. Raises `QuotaExceeded` before anything is sent."""
        ...


def ledger_file() -> Path:
    """Where this user's one ledger is, whatever hub or node asks: `NETTRACE_LEDGER`, or in the state folder (XDG)."""
    if given := os.environ.get("NETTRACE_LEDGER"):
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(base) / "nettrace" / LEDGER


def public(target: str) -> bool:
    """Whether this is an address and not a name; raises for what no stranger can reach or should hear of.

    >>> public("1.1.1.1"), public("api.example")
    (True, False)

    Raises:
        Invalid: a private address, or a name that is only known inside.
    """
    try:
        address = ip_address(target)
    except ValueError:
        name = target.rstrip(".").lower()
        if "." not in name or name.endswith(_INNER):
            raise Invalid(
                f"{target!r} is a name of the inside: it is not told to strangers", "Name a public host"
            ) from None
        return False
    if not address.is_global or address.is_multicast:
        raise Invalid(f"{target} is no public address: nobody else can measure it", "Name a public host")
    return True


def limit_of(text: str | None, name: str, published: int) -> int:
    """The user's own limit, from a variable's text and name, never above what the service publishes.

    >>> limit_of("40", "NETTRACE_X", 250), limit_of(None, "NETTRACE_X", 250), limit_of("999", "NETTRACE_X", 250)
    (40, 250, 250)
    """
    if text is None or not text.strip():
        return published
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise Invalid(f"{name}={text!r} is no whole number", f"Write e.g. {name}={published}")
    return min(published, int(text))


def fingerprint(token: str | None) -> str:
    """An account's name in the ledger: never the token itself."""
    return "anonymous" if not token else hashlib.sha256(token.encode()).hexdigest()[:16]


def refused(service_name: str, reply: Reply, wait_s: int | None) -> NetTraceError:
    """A refusal before anything was created, in our own words and the service's."""
    said = f"{service_name}: {reply.words()}"
    if reply.status == 429:
        wait = wait_s or 60
        return QuotaExceeded(said, f"Try again in {wait} s", retry_after_s=wait, policies=(service_name,))
    if reply.status in {401, 403}:
        return Unauthenticated(said, "Check the token: see docs/guides/remote.md")
    return Invalid(said, "Ask for other places, fewer probes or another target")
