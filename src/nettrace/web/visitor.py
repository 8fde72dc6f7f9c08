"""Who looks at a page: the owner of a single-user hub, somebody with a session, or a stranger who sees public pages only."""

from typing import Any

from litestar import Request
from litestar.datastructures import Cookie

from nettrace.hub.access import Access, Caller
from nettrace.hub.session import COOKIE, LASTS_S, caller_of
from nettrace.model.instant import Instant


def visitor(access: Access, secret: bytes, request: Request[Any, Any, Any], now: Instant) -> Caller | None:
    """The caller behind a request for a page, or None for a stranger."""
    return caller_of(access, secret, request.cookies.get(COOKIE), now)


def cookie(value: str, *, secure: bool) -> Cookie:
    """The session as a cookie no script and no other site can use; an empty value ends it."""
    return Cookie(
        key=COOKIE, value=value, max_age=LASTS_S if value else 0, httponly=True, secure=secure, samesite="strict", path="/"
    )  # fmt: skip
