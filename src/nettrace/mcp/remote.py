"""A hub elsewhere, asked over its REST API; the hub itself decides what the key may do."""

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

import httpx2
import msgspec

from nettrace.errors import (
    Invalid,
    NetTraceError,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    Unauthenticated,
    Unreachable,
)
from nettrace.hub.access import Caller
from nettrace.mcp.plain import Document
from nettrace.model.account import Scope
from nettrace.model.instant import Instant, rfc3339
from nettrace.store.rows import Window

TIMEOUT_S = 20.0
MOST_BYTES = 16 * 2**20
_PAGE = 1000


class Remote:
    """Answers of the hub at a URL.

    Args:
        url: where it is.
        key: its API key, or None for a hub that needs none.
        client: another client than one of its own: for tests.
    """

    def __init__(self, url: str, key: str | None, client: httpx2.AsyncClient | None = None) -> None:
        self._client = client or httpx2.AsyncClient(base_url=url.rstrip("/"), timeout=TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._scopes: frozenset[Scope] | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def scopes(self, caller: Caller) -> frozenset[Scope]:
        """What the key may do at the hub; scopes are fixed, so they are asked once. Reading only while it is silent."""
        if self._scopes is None:
            try:
                told = await self.limits(caller)
            except NetTraceError:
                return frozenset({Scope.READ})
            self._scopes = frozenset(Scope(each) for each in told["scopes"] if each in set(Scope))
        return self._scopes & caller.scopes

    async def targets(self, caller: Caller, region: str | None) -> list[Document]:
        """Every visible target with its newest round."""
        del caller
        found: list[Document] = []
        cursor = None
        while True:
            page = await self._get("/targets", region=region, limit=_PAGE, cursor=cursor)
            found += page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    async def latency(self, caller: Caller, host: str, region: str | None) -> list[Document]:
        """The newest round of each series of a target."""
        del caller
        return (await self._get(f"/latency/{_path(host)}", region=region))["data"]

    async def history(
        self, caller: Caller, host: str, region: str | None, window: Window, most: int
    ) -> Document:
        """Buckets of what speaks for the target."""
        del caller
        return await self._get(f"/latency/{_path(host)}/history", region=region, limit=most, **_ends(window))

    async def compare(
        self, caller: Caller, hosts: Sequence[str], regions: Sequence[str], window: Window
    ) -> Document:
        """Targets beside each other."""
        del caller
        return await self._get(
            "/compare", hosts=",".join(hosts), region=",".join(regions) or None, **_ends(window)
        )

    async def rankings(
        self, caller: Caller, category: str | None, region: str | None, window: Window
    ) -> Document:
        """Targets by median from one vantage."""
        del caller
        return await self._get("/rankings", category=category, region=region, limit=_PAGE, **_ends(window))

    async def routes(
        self, caller: Caller, host: str, region: str | None, at: Instant | None
    ) -> list[Document]:
        """The present routes.

        Raises:
            Invalid: another instant was asked for, which this API cannot answer.
        """
        del caller
        if at is not None:
            raise Invalid(
                "a hub's API tells only the present path",
                "Leave `at` out, or use --data on the hub's machine",
            )
        return (await self._get(f"/routes/{_path(host)}", region=region))["data"]

    async def events(
        self,
        caller: Caller,
        kinds: Sequence[str],
        about: tuple[str | None, str | None],
        window: Window,
        most: int,
    ) -> tuple[list[Document], bool]:
        """Events, newest first."""
        del caller
        page = await self._get(
            "/events",
            kind=",".join(kinds) or None,
            host=about[0],
            region=about[1],
            limit=most,
            **_ends(window),
        )
        return page["data"], bool(page["has_more"])

    async def vantages(self, caller: Caller) -> list[Document]:
        """Our own vantages and how they are."""
        del caller
        return [each for each in (await self._get("/vantages"))["data"] if not each.get("third_party")]

    async def limits(self, caller: Caller) -> Document:
        """What the key may do."""
        del caller
        return await self._get("/limits")

    async def measure(self, caller: Caller, wanted: Document, *, dry_run: bool) -> Document:
        """A measurement asked for, or what it would cost."""
        del caller
        body = {name: value for name, value in wanted.items() if value}
        return await self._ask("POST", "/measurements", {"dry_run": "1"} if dry_run else {}, body)

    async def measurement(self, caller: Caller, identity: str) -> Document:
        """A measurement with its results so far."""
        del caller
        return await self._get(f"/measurements/{_path(identity)}")

    async def _get(self, path: str, **asked: Any) -> Document:
        given = {name: str(value) for name, value in asked.items() if value is not None}
        return await self._ask("GET", path, given, None)

    async def _ask(self, verb: str, path: str, given: dict[str, str], body: Document | None) -> Document:
        try:
            async with self._client.stream(
                verb, f"/api/v1{path}", params=given, json=body, headers=self._headers
            ) as answer:
                told = bytearray()
                async for part in answer.aiter_bytes():
                    told += part
                    if len(told) > MOST_BYTES:
                        raise Unreachable("the hub's answer is larger than 16 MiB", "Ask for less")
        except httpx2.HTTPError as error:
            raise Unreachable(
                f"the hub does not answer: {type(error).__name__}", "Is its address right?"
            ) from error
        try:
            document: Any = msgspec.json.decode(bytes(told))
        except msgspec.DecodeError as error:
            raise Unreachable(f"what answers ({answer.status_code}) is no NetTrace hub") from error
        if answer.status_code < 400 and isinstance(document, dict):
            return document  # pyright: ignore[reportUnknownVariableType] - a JSON edge
        raise _error(answer.status_code, document)


def _error(status: int, document: Any) -> NetTraceError:
    """The problem the hub told of (RFC 9457), as one of ours."""
    told: Document = cast("Document", document) if isinstance(document, dict) else {}
    detail, hint = str(told.get("detail", f"the hub answered {status}")), str(told.get("hint", ""))
    if status == 429:
        return QuotaExceeded(detail, hint, retry_after_s=60, policies=())
    known = {401: Unauthenticated, 403: NotAllowed, 404: NotFound}
    kind = known.get(status, Invalid if status < 500 else Unreachable)
    return kind(detail, hint)


def _path(part: str) -> str:
    """One segment of a path, whatever it holds.

    Raises:
        NotFound: dots alone would be another path.
    """
    if set(part) <= {"."}:
        raise NotFound(f"there is no '{part}'")
    return quote(part, safe="")


def _ends(window: Window) -> dict[str, str]:
    return {"start": rfc3339(window.start), "end": rfc3339(window.end)}
