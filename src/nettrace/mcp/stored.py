"""A hub's folder on this machine, read in one thread of its own; the hub itself need not run."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from nettrace.errors import Invalid, NotFound
from nettrace.hub import query
from nettrace.hub.access import Access, Caller
from nettrace.hub.latest import Newest, Snapshot, measured_now
from nettrace.hub.link import blocking_link
from nettrace.hub.open import open_reader
from nettrace.hub.place import Data
from nettrace.hub.request import Wish, cost_of, request_of
from nettrace.hub.whereabouts import Seen, seen_by_hub
from nettrace.mcp import rows
from nettrace.mcp.plain import Document
from nettrace.model.account import Scope
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.model.target import RoundMethod, Target
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Event, MeasurementRequest, StoredTrace, Window

T = TypeVar("T")
P = ParamSpec("P")
DAY_NS = 86_400 * NS_PER_S


class Stored:
    """Answers from a folder.

    Args:
        access: cuts windows to what a tier reaches.
        now: the clock.

    Raises:
        StoreError: there is no hub in this folder.
    """

    def __init__(self, data: Data, access: Access, now: Callable[[], Instant]) -> None:
        self.data = data
        self._access = access
        self._now = now
        self._pool = ThreadPoolExecutor(1, "mcp-reader")
        self._reader: StoreReader = self._pool.submit(open_reader, data).result()
        self._newest = Newest(now())

    async def close(self) -> None:
        """Let go of the store."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._reader.close)
        self._pool.shutdown(wait=True)

    async def ask(
        self,
        question: Callable[Concatenate[StoreReader, Snapshot, P], T],
        *args: P.args,
        **keywords: P.kwargs,
    ) -> T:
        """What a question to the store and its newest rounds finds, asked in the reader's thread."""

        def asked() -> T:
            self._newest.refresh(self._reader, self._now())
            return question(self._reader, self._newest.snapshot, *args, **keywords)

        return await asyncio.get_running_loop().run_in_executor(self._pool, asked)

    def held(self, caller: Caller, window: Window) -> Window:
        """The part of a window that the caller's tier reaches.

        Raises:
            Invalid: it ends before it begins.
        """
        if window.end < window.start:
            raise Invalid("the window ends before it begins")
        return self._access.window(caller, window, self._now())

    async def scopes(self, caller: Caller) -> frozenset[Scope]:
        """The caller's own."""
        return caller.scopes

    async def targets(self, caller: Caller, region: str | None) -> list[Document]:
        """Every visible target with its newest round."""

        def find(_: StoreReader, snapshot: Snapshot) -> list[Document]:
            query.check_regions(snapshot, [region] if region else ())
            return [rows.target_row(snapshot, each, region) for each in snapshot.visible(caller.account)]

        return await self.ask(find)

    async def latency(self, caller: Caller, host: str, region: str | None) -> list[Document]:
        """The newest round of each series of a target."""

        def find(_: StoreReader, snapshot: Snapshot) -> list[Document]:
            target, regions = _meant(snapshot, caller, host, region)
            return [
                rows.reading_row(snapshot, row, target) for row in query.readings(snapshot, target, regions)
            ]

        return await self.ask(find)

    async def history(
        self, caller: Caller, host: str, region: str | None, window: Window, most: int
    ) -> Document:
        """Buckets of what speaks for the target."""
        held = self.held(caller, window)

        def find(reader: StoreReader, snapshot: Snapshot) -> Document:
            target, regions = _meant(snapshot, caller, host, region)
            endpoint = target.endpoints[0]
            seen = len(regions) or max(1, len(query.speaking(snapshot, target)))
            question = query.Question(
                choice=Choice(
                    targets=(target.host,), vantages=regions, endpoints=(endpoint.name,),
                    methods=(query.method_of(snapshot, target, endpoint).value,),
                ),
                window=held, resolution=query.resolution_for(held, max(1, most // seen)), quantiles=(0.5, 0.95),
                as_of=None, limit=most,
            )  # fmt: skip
            found, more = query.buckets(reader, question, None)
            return {
                "data": [rows.bucket_row(each) for each in found], "has_more": more,
                "resolution": question.resolution.value,
                "window": {"start": rfc3339(held.start), "end": rfc3339(held.end)},
            }  # fmt: skip

        return await self.ask(find)

    async def compare(
        self, caller: Caller, hosts: Sequence[str], regions: Sequence[str], window: Window
    ) -> Document:
        """Targets beside each other."""
        held = self.held(caller, window)

        def find(reader: StoreReader, snapshot: Snapshot) -> Document:
            query.check_regions(snapshot, regions)
            targets = [query.target_of(snapshot, host, caller.account) for host in dict.fromkeys(hosts)]
            places = tuple(regions) or tuple(query.known_regions(snapshot))
            found, differences = query.compare(reader, snapshot, targets, places, held)
            return {
                "data": [rows.compared_row(each) for each in found], "fastest": query.fastest(found, differences),
                "differences": [rows.difference_row(each) for each in differences],
            }  # fmt: skip

        return await self.ask(find)

    async def rankings(
        self, caller: Caller, category: str | None, region: str | None, window: Window
    ) -> Document:
        """Targets by median from one vantage."""
        held = self.held(caller, window)

        def find(reader: StoreReader, snapshot: Snapshot) -> Document:
            query.check_regions(snapshot, [region] if region else ())
            every = measured_now(snapshot.visible(caller.account))
            known = sorted({each.category for each in every})
            if category is not None and category not in known:
                raise Invalid(f"no category '{category[:50]}'", f"There are: {', '.join(known)}")
            chosen = [each for each in every if category in {None, each.category}]
            place = region or query.default_region(snapshot, chosen)
            if place is None:
                return {"data": [], "region": None, "unranked": [each.host for each in chosen]}
            ranked, unranked = query.rank(reader, chosen, snapshot, place, held)
            return {"data": [rows.ranked_row(each) for each in ranked], "region": place, "unranked": unranked}

        return await self.ask(find)

    async def routes(
        self, caller: Caller, host: str, region: str | None, at: Instant | None
    ) -> list[Document]:
        """The routes that held at an instant, by the traces of the day before it."""
        end = (self._now() if at is None else at) + 1
        held = self.held(caller, Window(max(0, end - DAY_NS), end))

        def find(reader: StoreReader, snapshot: Snapshot) -> list[Document]:
            target, regions = _meant(snapshot, caller, host, region)
            choice = Choice(targets=(target.host,), vantages=regions, methods=(RoundMethod.TRACE.value,))
            return [rows.route_row(each) for each in query.routes_now(reader, choice, held)]

        return await self.ask(find)

    async def events(
        self,
        caller: Caller,
        kinds: Sequence[str],
        about: tuple[str | None, str | None],
        window: Window,
        most: int,
    ) -> tuple[list[Document], bool]:
        """Events, newest first."""
        held = self.held(caller, window)

        def find(reader: StoreReader, snapshot: Snapshot) -> tuple[list[Document], bool]:
            host, region = about
            query.check_regions(snapshot, [region] if region else ())
            hosts = () if host is None else (query.target_of(snapshot, host, caller.account).host,)
            choice = Choice(targets=hosts, vantages=() if region is None else (region,))
            shown: list[Event] = []
            before: tuple[Instant, str] | None = None
            while len(shown) <= most:
                part = reader.events(
                    held,
                    kinds=kinds,
                    choice=choice if hosts or region else None,
                    limit=most + 1,
                    before=before,
                )
                shown += [each for each in part if _visible(snapshot, each, caller)]
                if len(part) <= most:
                    break
                before = (part[-1].detected_at, part[-1].id)
            return [rows.event_row(each) for each in shown[:most]], len(shown) > most

        return await self.ask(find)

    async def vantages(self, caller: Caller) -> list[Document]:
        """The vantages and how they are."""
        del caller
        return await self.ask(
            lambda _, snapshot: [rows.vantage_row(snapshot, each) for each in snapshot.vantages.values()]
        )

    async def limits(self, caller: Caller) -> Document:
        """What the caller may do."""
        tier = caller.tier
        return {
            "tier": tier.name, "scopes": sorted(caller.scopes), "features": sorted(tier.features),
            "history_days": tier.history_days,
            "policies": [
                {"name": each.name, "limit": each.limit, "used": each.used, "remaining": each.remaining, "reset_s": each.reset_s}
                for each in self._access.usage(caller, self._now()).policies
            ],
        }  # fmt: skip

    async def traces(self, caller: Caller, host: str | None, window: Window, most: int) -> list[StoredTrace]:
        """Stored traces of one target or all visible ones, newest first."""
        held = self.held(caller, window)

        def find(reader: StoreReader, snapshot: Snapshot) -> list[StoredTrace]:
            chosen = snapshot.visible(caller.account)
            if host is not None:
                chosen = [query.target_of(snapshot, host, caller.account)]
            if not chosen:
                return []
            choice = Choice(targets=tuple(each.host for each in chosen), methods=(RoundMethod.TRACE.value,))
            return reader.traces(choice, held, most)

        return await self.ask(find)

    async def seen(self, caller: Caller, host: str, window: Window) -> list[Seen]:
        """What vantages saw of a visible target's host."""
        held = self.held(caller, window)

        def find(reader: StoreReader, snapshot: Snapshot) -> list[Seen]:
            return seen_by_hub(reader, query.target_of(snapshot, host, caller.account).host, held)

        return await self.ask(find)

    async def measure(self, caller: Caller, wanted: Document, *, dry_run: bool) -> Document:
        """A measurement put before the running hub.

        Raises:
            Unmeasurable: the target is not watched, or no vantage takes work. Unreachable: the hub does not run.
        """
        request = await self.ask(lambda _, snapshot: _request(snapshot, caller, wanted, self._now()))
        if dry_run:
            return {**msgspec.to_builtins(cost_of(request)), "regions": list(request.wanted)}

        def put() -> None:
            link = blocking_link(self.data.socket)
            try:
                link.put_request(request)
            finally:
                link.close()

        await asyncio.to_thread(put)
        return rows.measurement_row(request, [])

    async def measurement(self, caller: Caller, identity: str) -> Document:
        """A measurement with its results so far."""

        def find(reader: StoreReader, _: Snapshot) -> Document:
            own = reader.requests(account=caller.account, limit=1000)
            request = next((each for each in own if each.id == identity), None)
            if request is None:
                raise NotFound(f"no measurement '{identity[:60]}'")
            return rows.measurement_row(request, reader.request_rounds(request.id))

        return await self.ask(find)


def _meant(
    snapshot: Snapshot, caller: Caller, host: str, region: str | None
) -> tuple[Target, tuple[str, ...]]:
    query.check_regions(snapshot, [region] if region else ())
    return query.target_of(snapshot, host, caller.account), (region,) if region else ()


def _visible(snapshot: Snapshot, event: Event, caller: Caller) -> bool:
    target = snapshot.targets.get(event.target or "")
    return target is None or target.account in {None, caller.account}


def _request(snapshot: Snapshot, caller: Caller, wanted: Document, now: Instant) -> MeasurementRequest:
    wish = Wish(
        target=wanted["target"], regions=tuple(wanted.get("regions") or ()) or None, method=wanted.get("method"),
        probes=wanted["probes"],
    )  # fmt: skip
    return request_of(snapshot, caller.account, wish, now)
