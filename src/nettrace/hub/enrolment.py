"""How a machine becomes a node: a one-time token from the operator, against an identity and a secret."""

import hashlib
import re
import secrets

from nettrace.errors import Conflict, Invalid, Unauthenticated
from nettrace.hub.keys import ENROL, identifier, mint, well_formed
from nettrace.hub.link import HubWriter, WriterLink
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.vantage import Vantage
from nettrace.store.port import EnrolToken, StoreWriter
from nettrace.wire.frames import PROTOCOL, Enrol
from nettrace.wire.signing import key_of

TOKEN_LIFE_S = 24 * 3600
_CODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


def valid_region(code: str) -> str:
    """The code of a vantage, when it can be one.

    >>> valid_region("fra-2")
    'fra-2'

    Raises:
        Invalid: it is not lower-case letters, digits and dashes, at most 32.
    """
    if not _CODE.fullmatch(code):
        raise Invalid(
            f"'{code}' cannot be a region's code", "Lower-case letters, digits and dashes, at most 32"
        )
    return code


def token_hash(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def make_token(writer: StoreWriter, region: str, now: Instant, life_s: float = TOKEN_LIFE_S) -> str:
    """A new token that makes one machine the node of a region; shown once, kept as a hash.

    Raises:
        Invalid: such a region cannot be.
    """
    token = mint(ENROL)
    writer.put_token(
        EnrolToken(
            id=identifier("tok_"),
            hash=token_hash(token),
            region=valid_region(region),
            created_at=now,
            expires_at=now + int(life_s * NS_PER_S),
        )
    )
    return token


async def admit(link: WriterLink, asked: Enrol, now: Instant) -> tuple[Vantage, str]:
    """The new node's vantage and its secret, which nobody will see again.

    Raises:
        Unauthenticated: the token is malformed, unknown, used, expired or another region's.
        Conflict: the node speaks another protocol. Invalid: what it says of itself cannot be.
    """
    if asked.protocol != PROTOCOL:
        raise Conflict(
            f"the node speaks protocol {asked.protocol}, this hub {PROTOCOL}", "Install the same NetTrace"
        )
    if not well_formed(asked.token) or not asked.token.startswith(ENROL):
        raise Unauthenticated(
            "this is not an enrolment token", "Make one: nettrace fleet token --region CODE"
        )
    secret = secrets.token_urlsafe(32)
    wanted = Vantage(
        code=valid_region(asked.region),
        node=identifier("node_"),
        city=asked.city,
        country=asked.country,
        latitude=_within(asked.latitude, 90),
        longitude=_within(asked.longitude, 180),
        enrolled_at=now,
        version=asked.version[:64],
    )
    enrolled = await link.call(HubWriter.enrol, token_hash(asked.token), wanted, key_of(secret), now)
    if enrolled is None:
        raise Unauthenticated(
            f"this token does not enrol a node of '{asked.region}'",
            "Tokens hold for one machine, one region and a day: make a new one with nettrace fleet token",
        )
    return enrolled, secret


def _within(degrees: float | None, most: float) -> float | None:
    if degrees is not None and not -most <= degrees <= most:
        raise Invalid(f"a place at {degrees} degrees", f"From -{most} to {most}")
    return degrees
