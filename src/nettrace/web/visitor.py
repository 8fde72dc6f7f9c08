"""Who looks at a page: the owner of a single-user hub, somebody with a session, or a stranger who sees public pages only."""

import hashlib
import hmac
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


def same_origin(request: Request[Any, Any, Any]) -> bool:
    """Whether a form came from our own page: browsers say so in Sec-Fetch-Site or Origin; programs say nothing."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def form_token(session: str, secret: bytes) -> str:
    """What proves that a form was made for this session: nobody without the hub's secret can say it.

    >>> form_token("a", b"s" * 32) == form_token("b", b"s" * 32)
    False
    """
    return hmac.new(secret, f"form.{session}".encode(), hashlib.sha256).hexdigest()


def own_form(request: Request[Any, Any, Any], secret: bytes, token: str) -> bool:
    """Whether a form was sent from our page and made for the session it comes with."""
    wanted = form_token(request.cookies.get(COOKIE, ""), secret)
    return same_origin(request) and hmac.compare_digest(wanted.encode(), token.encode())
