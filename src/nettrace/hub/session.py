"""Sessions: a signed mark in a browser's cookie that stands for a key until it is over or the key is revoked."""

import hashlib
import hmac
from collections.abc import Mapping

import msgspec

from nettrace.errors import Unauthenticated
from nettrace.hub.access import Access, Caller
from nettrace.model.instant import NS_PER_S, Instant

COOKIE = "nt_session"
LASTS_S = 12 * 3600
"""A session is over after half a day, when it is ended, or when its key is revoked, whichever is first."""
SEEN_EACH_S = 300
MOST = 100
"""Sessions of a key that are listed; further ones work and end like all others."""
_HELD, _ENDED = "web sessions ", "web sessions ended "


def caller_of(access: Access, secret: bytes, session: str | None, now: Instant) -> Caller | None:
    """Who a browser speaks for: the owner of a single-user hub, the holder of a session's key, or None for a stranger."""
    try:
        return access.caller(None, None, now)
    except Unauthenticated:
        pass
    known = opened(session, secret, now) if session else None
    if known is None or is_over(access, known.key, known.name):
        return None
    try:
        return msgspec.structs.replace(access.holder(known.key, now), session=known.name)
    except Unauthenticated:
        return None


def is_over(access: Access, key_id: str | None, name: str) -> bool:
    """Whether this session of a key was ended before its time."""
    return bool(key_id and name) and name in ended_of(access.settings(), key_id or "")


class Opened(msgspec.Struct, frozen=True):
    """What a browser's cookie says: of which key, and which of its sessions."""

    key: str
    name: str
    ends_s: int


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its owner sees it.

    Attributes:
        name: what tells it from the key's others; never shown to anybody else.
        started, seen: when it began and when a page was last asked for in it, to within `SEEN_EACH_S`.
        address, agent: where it was opened from, and by which program in its own words.
    """

    name: str
    started: Instant
    seen: Instant
    ends_s: int
    address: str = ""
    agent: str = ""


def sessions_of(settings: Mapping[str, bytes], key_id: str, now: Instant) -> list[Session]:
    """A key's sessions that are not over, newest first."""
    held = msgspec.json.decode(settings.get(_HELD + key_id, b"[]"), type=list[Session])
    gone = ended_of(settings, key_id)
    alive = [each for each in held if each.ends_s * NS_PER_S > now and each.name not in gone]
    return sorted(alive, key=lambda each: (-each.started, each.name))


def ended_of(settings: Mapping[str, bytes], key_id: str) -> dict[str, int]:
    """A key's sessions that were ended before their time, each with the second after which nobody need remember it."""
    return msgspec.json.decode(settings.get(_ENDED + key_id, b"{}"), type=dict[str, int])


def held_with(
    settings: Mapping[str, bytes], key_id: str, session: Session, now: Instant
) -> tuple[str, bytes]:
    """The setting that says that a key has this session too, or as it is now; of many the oldest are not listed."""
    others = [each for each in sessions_of(settings, key_id, now) if each.name != session.name]
    return _HELD + key_id, msgspec.json.encode([session, *others][:MOST])


def ended_with(
    settings: Mapping[str, bytes], key_id: str, names: Mapping[str, int], now: Instant
) -> tuple[str, bytes]:
    """The setting that says that these sessions of a key, each with its end in seconds, are over now."""
    gone = {**ended_of(settings, key_id), **names}
    return _ENDED + key_id, msgspec.json.encode(
        {name: end for name, end in gone.items() if end * NS_PER_S > now}
    )


def sealed(key_id: str, secret: bytes, now: Instant, name: str) -> str:
    """A session for a key: its id, its own name, when it ends, and a signature over all.

    >>> opened(sealed("key_1", b"s" * 32, 0, "a"), b"s" * 32, 5)
    Opened(key='key_1', name='a', ends_s=43200)
    """
    body = f"{key_id}.{name}.{now // NS_PER_S + LASTS_S}"
    return f"{body}.{_signature(body, secret)}"


def opened(session: str, secret: bytes, now: Instant) -> Opened | None:
    """What a session says that is ours and not over, or None.

    >>> opened("key_1.a.99.forged", b"s" * 32, 5) is None
    True
    """
    body, _, signature = session.rpartition(".")
    if not hmac.compare_digest(_signature(body, secret).encode(), signature.encode()):
        return None
    rest, _, ends = body.rpartition(".")
    key_id, _, name = rest.rpartition(".")
    return (
        Opened(key_id, name, int(ends)) if key_id and ends.isdigit() and int(ends) * NS_PER_S > now else None
    )


def _signature(text: str, secret: bytes) -> str:
    return hmac.new(secret, f"web.{text}".encode(), hashlib.sha256).hexdigest()
