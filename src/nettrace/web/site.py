"""What every page shares: templates, static files under their digest, the headers that keep strangers out."""

import gzip
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response
from markupsafe import Markup

from nettrace import __version__
from nettrace.errors import NotFound
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant, rfc3339
from nettrace.web.badge import age

NAVIGATION = (
    ("overview", "/", "Overview"),
    ("targets", "/targets", "Targets"),
    ("matrix", "/matrix", "Matrix"),
    ("map", "/map", "Map"),
    ("leaderboard", "/leaderboard", "Leaderboard"),
    ("compare", "/compare", "Compare"),
    ("events", "/events", "Events"),
    ("signals", "/signals", "Signals"),
    ("plan", "/plan", "Plan"),
    ("fleet", "/fleet", "Fleet"),
    ("status", "/status", "Status"),
    ("playground", "/playground", "Playground"),
)
"""(page, path, words): in the order of the bar at the top."""

LIVE = ("overview", "targets", "events", "signals", "fleet", "map", "matrix")
"""Pages that follow the stream."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; manifest-src 'self'; frame-ancestors 'none'"
)
_FRAMED = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors *"
"""Embeds have no script and no form: there is nothing in them a page around them could make somebody click."""

_SMALL = 1000
"""Bytes below which packing gains nothing."""

_TYPES = {
    "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
    "json": "application/json", "txt": "text/plain; charset=utf-8",
}  # fmt: skip


def headers(*, embed: bool = False) -> dict[str, str]:
    """What goes with every page: no script or style but our own, no frames but embeds, no referrer, no sniffing."""
    return {
        "Content-Security-Policy": _FRAMED if embed else _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        **({} if embed else {"X-Frame-Options": "DENY"}),
    }


def page(
    template: str, now: Instant, context: Mapping[str, Any], *, status: int = 200, embed: bool = False
) -> Response[bytes]:
    """A rendered page."""
    body = _environment().get_template(template).render(now=now, **context).encode()
    told = {**headers(embed=embed), "Cache-Control": "no-cache"}
    return Response(body, media_type=MediaType.HTML, status_code=status, headers=told)


def packed(answer: Response[Any], accepted: str) -> Response[Any]:
    """The answer as gzip, where the client takes that and it is worth the trouble.

    What a page repeats of its request beside a secret cannot be guessed by its size (BREACH): sessions are
    SameSite=Strict, so nobody else's page can make a browser ask as somebody.
    """
    answer.headers.setdefault("Vary", "Accept-Encoding")
    body = answer.content
    if not isinstance(body, bytes) or len(body) < _SMALL or not _takes_gzip(accepted):
        return answer
    answer.content = gzip.compress(body, 5, mtime=0)
    answer.headers["Content-Encoding"] = "gzip"
    return answer


def _takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header allows it.

    >>> _takes_gzip("br, gzip;q=0.5"), _takes_gzip("gzip;q=0"), _takes_gzip("")
    (True, False, False)
    """
    for part in accepted.lower().split(","):
        name, _, rest = part.partition(";")
        if name.strip() == "gzip":
            return rest.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


@cache
def _packed_asset(name: str) -> bytes:
    return gzip.compress(asset(name)[0], 9, mtime=0)


@cache
def asset(name: str) -> tuple[bytes, str]:
    """A static file and its digest; it never changes while a process lives.

    Raises:
        NotFound: there is no such file.
    """
    parts = name.split("/")
    source = files("nettrace.web").joinpath("static", *parts)
    if ".." in parts or name.rpartition(".")[2] not in _TYPES or not source.is_file():
        raise NotFound(f"no file '{name[:100]}'")
    body = source.read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:12]


def static(name: str) -> str:
    """Where a static file is fetched: under a digest of everything, so that it may be cached for ever.

    Modules import each other by relative path, so one digest stands for the whole folder.
    """
    return f"/static/{digest()}/{name}"


@cache
def digest() -> str:
    """The digest of the folder of static files."""
    total = hashlib.sha256()
    for name in sorted(_names()):
        total.update(name.encode() + b"\0" + asset(name)[0])
    return total.hexdigest()[:12]


def serve_static(name: str, accepted: str = "") -> Response[bytes]:
    """A static file as an answer that never goes stale."""
    body, etag = asset(name)
    told = {"Cache-Control": "public, max-age=31536000, immutable", **headers(), "Vary": "Accept-Encoding"}
    if len(body) >= _SMALL and _takes_gzip(accepted):
        body, etag = _packed_asset(name), f"{etag}-gzip"
        told["Content-Encoding"] = "gzip"
    told["ETag"] = f'"{etag}"'
    return Response(body, media_type=_TYPES[name.rpartition(".")[2]], headers=told)


def milliseconds(ns: float | None, *, digits: int | None = None) -> str:
    """Nanoseconds for people: three figures, or a dash for "not measured".

    >>> milliseconds(1_234_567), milliseconds(98_765_432), milliseconds(None)
    ('1.23', '98.8', '—')
    """
    if ns is None:
        return "—"
    value = ns / NS_PER_MS
    shown = digits if digits is not None else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{shown}f}"


def percent(part: float, whole: float) -> str:
    """A share for people; a dash when there is no whole.

    >>> percent(1, 3), percent(0, 0), percent(2, 2)
    ('33.3 %', '—', '100 %')
    """
    if not whole:
        return "—"
    share = 100 * part / whole
    return f"{share:.0f} %" if share in {0, 100} else f"{share:.1f} %"


def clock(at: Instant | None) -> Markup | str:
    """An instant as a `time` element, which the page may turn into local time."""
    if at is None:
        return "never"
    shown = datetime.fromtimestamp(at // NS_PER_S, UTC)
    return Markup('<time datetime="{}">{}</time>').format(rfc3339(at), f"{shown:%Y-%m-%d %H:%M:%S}")


def ago(at: Instant | None, now: Instant) -> Markup | str:
    """How long ago, with the instant in its title."""
    if at is None:
        return "never"
    return Markup('<time datetime="{0}" title="{0}">{1} ago</time>').format(
        rfc3339(at), age(max(0, now - at) / NS_PER_S)
    )


_numbers = count()


def _unique() -> str:
    """A name no other element of a page has."""
    return f"n{next(_numbers)}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("nettrace.web", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    filters: dict[str, Any] = made.filters
    filters.update(ms=milliseconds, rfc3339=rfc3339, clock=clock, ago=ago, svg=Markup)
    known: dict[str, Any] = made.globals
    known.update(
        static=static,
        navigation=NAVIGATION,
        version=__version__,
        percent=percent,
        live_pages=LIVE,
        live=False,
        signed_in=False,
        embedded=False,
        origin="https://YOUR-HUB",
        zoom=None,
        unique=_unique,
    )
    return made


def _names() -> list[str]:
    root = files("nettrace.web").joinpath("static")
    found: list[str] = []
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        for each in folder.iterdir():
            if each.is_dir():
                waiting.append((each, f"{prefix}{each.name}/"))
            elif each.name.rpartition(".")[2] in _TYPES:
                found.append(prefix + each.name)
    return found
