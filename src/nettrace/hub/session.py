"""Sessions: a signed mark in a browser's cookie that stands for a key until it is over or the key is revoked."""

import hashlib
import hmac

from nettrace.errors import Unauthenticated
from nettrace.hub.access import Access, Caller
from nettrace.model.instant import NS_PER_S, Instant

COOKIE = "nt_session"
LASTS_S = 12 * 3600
"""A session is over after half a day, or when its key is revoked, whichever is first."""


def caller_of(access: Access, secret: bytes, session: str | None, now: Instant) -> Caller | None:
    """Who a browser speaks for: the owner of a single-user hub, the holder of a session's key, or None for a stranger."""
    try:
        return access.caller(None, None, now)
    except Unauthenticated:
        pass
    key_id = opened(session, secret, now) if session else None
    if key_id is None:
        return None
    try:
        return access.holder(key_id, now)
    except Unauthenticated:
        return None


def sealed(key_id: str, secret: bytes, now: Instant) -> str:
    """A session for a key: its id, when it ends, and a signature over both.

    >>> opened(sealed("key_1", b"s" * 32, 0), b"s" * 32, 5)
    'key_1'
    """
    body = f"{key_id}.{now // NS_PER_S + LASTS_S}"
    return f"{body}.{_signature(body, secret)}"


def opened(session: str, secret: bytes, now: Instant) -> str | None:
    """The key of a session that is ours and not over, or None.

    >>> opened("key_1.99.forged", b"s" * 32, 5) is None
    True
    """
    body, _, signature = session.rpartition(".")
    if not hmac.compare_digest(_signature(body, secret).encode(), signature.encode()):
        return None
    key_id, _, ends = body.rpartition(".")
    return key_id if ends.isdigit() and int(ends) * NS_PER_S > now else None


def _signature(text: str, secret: bytes) -> str:
    return hmac.new(secret, f"web.{text}".encode(), hashlib.sha256).hexdigest()
