"""Targets of an account's own: what may be one, how it is named, and how many there may be.

A host is one row for everybody, so an account's target has a name of its own, `HOST~MARK`: two accounts that watch the
same host neither meet nor learn of each other, and each has its own series. Nothing private, loopback or of a cloud's
metadata is taken unless the operator opened its network; a name that changes its mind later (DNS rebinding) is refused
by the node, which checks the very address it is about to measure at each round.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from nettrace.catalogue.load import plain_target
from nettrace.catalogue.rule import findings
from nettrace.errors import Conflict, Forbidden, InvalidField, NotFound
from nettrace.hub.access import Caller
from nettrace.model.address import inside
from nettrace.model.target import Lifecycle, RoundMethod, Target

SEPARATOR = "~"
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A target somebody wants to have watched.

    Attributes:
        port: 443, or the url's, when None.
        methods: `icmp tcp trace`, and what the url is good for, when empty.
        once: given where the same request twice shall be one target.
    """

    host: str
    name: str = ""
    category: str = "Mine"
    url: str | None = None
    port: int | None = None
    methods: tuple[str, ...] = ()
    once: str | None = None


def own_name(host: str, account: str) -> str:
    """The name of an account's own target.

    >>> own_name("api.example.com", "acme")
    'api.example.com~cba4f0'
    """
    return f"{host}{SEPARATOR}{blake2b(account.encode(), digest_size=3).hexdigest()}"


def own_target(wish: Wish, account: str, known: Iterable[Target]) -> Target:
    """The target as it will be watched. It is the one that is there already when that one says the same.

    Raises:
        InvalidField: something about it is impossible.
        Conflict: everybody has it already, or this account has it with other words.
    """
    host = plain_host(wish.host)
    target = plain_target(host, wish.name.strip() or None, wish.category.strip(), wish.url)
    way = target.endpoints[0]
    port = wish.port or (_port(wish.url) if wish.url else way.port)
    try:
        methods = tuple(RoundMethod(each) for each in wish.methods) or way.methods
    except ValueError:
        raise InvalidField(
            "methods", f"unknown method in {list(wish.methods[:10])}", f"There are {', '.join(RoundMethod)}"
        ) from None
    way = msgspec.structs.replace(way, port=port, methods=methods)
    wrong = [
        each.what for each in findings([msgspec.structs.replace(target, endpoints=(way,))]) if each.wrong
    ]
    if wrong:
        raise InvalidField("host", "; ".join(wrong))
    if max(len(target.name), len(target.category), len(wish.url or "")) > 500:
        raise InvalidField("name", "name, category and url have at most 500 characters")
    made = msgspec.structs.replace(
        target, host=own_name(host, account), endpoints=(way,), account=account,
        tags=(f"once:{wish.once}",) if wish.once else (),
    )  # fmt: skip
    return _beside(made, host, known)


def _beside(made: Target, host: str, known: Iterable[Target]) -> Target:
    for each in known:
        alive = each.lifecycle not in {Lifecycle.RETIRED, Lifecycle.RENAMED}
        if each.account is None and each.host == host and alive:
            raise Conflict(f"'{host}' is watched for everybody already", f"See /api/v1/targets/{host}")
        if each.host == made.host and alive:
            if msgspec.structs.replace(each, tags=()) != msgspec.structs.replace(made, tags=()):
                raise Conflict(f"you watch '{host}' already, in another way", "Remove that one first")
            return each
    return made


def plain_host(text: str, field: str = "host") -> str:
    """A host name or address in its one usual form. Numbers that only some programs take for an address are none.

    >>> plain_host("API.Example.com."), plain_host("[2001:DB8::1]")
    ('api.example.com', '2001:db8::1')

    Raises:
        InvalidField: it is neither; also `2130706433`, `0x7f.1` and `0177.0.0.1`.
    """
    host = text.strip().lower().removesuffix(".")
    try:
        return str(ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0]))
    except ValueError:
        labels = host.split(".")
    numeric = _NUMBER.fullmatch(labels[-1])
    if numeric or len(host) > 253 or not all(_LABEL.fullmatch(each) for each in labels):
        raise InvalidField(
            field, f"'{text[:100]}' is not a host name or an address in its usual form", "api.example.com"
        )
    return host


def check_addresses(host: str, addresses: Sequence[str], open_networks: Iterable[str]) -> None:
    """Nothing when every address a host leads to may be measured for others.

    Raises:
        Forbidden: one may not; which address it was stays unsaid, because names of inside are nobody's business.
    """
    why = inside(addresses, open_networks)
    if why is not None:
        raise Forbidden(
            f"'{host}' may not be measured for others: it leads to {why}",
            "The operator of this hub can open its network: open_networks",
        )


def literal(host: str) -> list[str]:
    """The host itself when it is an address, which no resolver needs to be asked for."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        return []


def own_targets(known: Iterable[Target], caller: Caller) -> list[Target]:
    """What the caller's account has watched for itself, by name; not what it gave up."""
    return [
        each for each in known if each.account == caller.account and each.lifecycle is not Lifecycle.RETIRED
    ]


def found(known: Iterable[Target], caller: Caller, host: str) -> Target:
    """The caller's own target, by its host or its full name; one that was given up already too.

    Raises:
        NotFound: there is none; another account's is as if it were not there.
    """
    wanted = {host, own_name(host.lower(), caller.account)}
    for each in known:
        if each.account == caller.account and each.host in wanted:
            return each
    raise NotFound(f"you have no target '{host[:100]}'", "See /api/v1/targets/custom")


def _port(url: str) -> int:
    parts = urlsplit(url)
    try:
        return parts.port or (443 if parts.scheme in {"https", "wss"} else 80)
    except ValueError:
        raise InvalidField("url", "the url has an impossible port") from None
