"""Reads the registry of claims: what was said of latency and location, word for word, and where."""

import tomllib
from collections.abc import Iterable
from enum import StrEnum
from functools import cache

import msgspec
from msgspec.structs import replace

from nettrace.errors import ConfigError
from nettrace.placement.registry.load import shipped

SHIPPED = "nettrace"
"""The source of a claim that ships."""


class ClaimKind(StrEnum):
    """What a claim is of."""

    LATENCY = "latency"
    LOCATION = "location"


class RegisteredClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something somebody wrote.

    Attributes:
        quote: the words, as they stand in the document at that line.
        date: of the document: `2025-10` or `2025-10-21`.
        origin: the place the latency was said to be from.
        venue: what it was said of, by its name in the registry.
        said: where the document puts the far end; several when it names several.
        low_ms, high_ms: the time said, as quoted.
        one_way: the time is of one direction.
        round_trips: how many a quoted time holds.
        source: who keeps it on record: `nettrace` of what ships, else the file it was read from.
    """

    id: str
    kind: ClaimKind
    quote: str
    document: str
    line: int
    date: str
    origin: str | None = None
    venue: str | None = None
    said: tuple[str, ...] = ()
    low_ms: float | None = None
    high_ms: float | None = None
    one_way: bool = False
    round_trips: int = 1
    note: str | None = None
    source: str = SHIPPED


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    claim: tuple[RegisteredClaim, ...]


@cache
def built_in_claims() -> tuple[RegisteredClaim, ...]:
    """The claims that ship."""
    return read_claims(shipped("claims.toml"), "claims.toml")


def read_claims(text: str, where: str) -> tuple[RegisteredClaim, ...]:
    """The claims of a TOML text.

    Raises:
        ConfigError: it is no TOML, two claims share an id, or one lacks what its kind needs.
    """
    try:
        claims = msgspec.convert(tomllib.loads(text), _File).claim
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{where}: {error}", "See docs/guides/claims.md for the form") from None
    seen: set[str] = set()
    for claim in claims:
        if claim.id in seen:
            raise ConfigError(f"{where}: two claims are called '{claim.id}'", "Give one of them another id")
        seen.add(claim.id)
        lack = _lack(claim)
        if lack:
            raise ConfigError(f"{where}: claim '{claim.id}' {lack}", "See docs/guides/claims.md for the form")
    return claims


def extended_claims(claims: Iterable[RegisteredClaim], text: str, where: str) -> tuple[RegisteredClaim, ...]:
    """The claims with a user's own after them, `where` their source; one of a known id replaces the one that ships.

    Raises:
        ConfigError: as `read_claims`.
    """
    own = [replace(claim, source=where) for claim in read_claims(text, where)]
    ids = {claim.id for claim in own}
    return (*(claim for claim in claims if claim.id not in ids), *own)


def _lack(claim: RegisteredClaim) -> str | None:
    if claim.venue is None and not claim.said:
        return "names neither a venue nor a place"
    if claim.kind is ClaimKind.LOCATION:
        return None if claim.venue and claim.said else "is of location, but lacks its venue or what was said"
    if claim.origin is None or claim.low_ms is None or claim.high_ms is None:
        return "is of latency, but lacks origin, low_ms or high_ms"
    if not 0 <= claim.low_ms <= claim.high_ms or claim.round_trips < 1:
        return "has times that run backwards or no round trip"
    return None
