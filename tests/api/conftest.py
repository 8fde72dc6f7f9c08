"""A hub in a folder: four targets seen from three vantages for two hours, keys of every tier, and a client."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx2
import msgspec
import pytest

from nettrace.api.app import make_app
from nettrace.api.service import Service
from nettrace.api.shield import Shield
from nettrace.api.table import OPERATIONS
from nettrace.hub import export, keys
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.account import Key, Scope
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import Clock, Grade, Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.model.target import Endpoint, Lifecycle, Role, RoundMethod, Series, Target
from nettrace.model.vantage import Vantage
from nettrace.outside.notify.channel import Fate, Receipt
from nettrace.store.port import EnrolToken, StoreReader, StoreWriter
from nettrace.store.rows import Event
from nettrace.wire.frames import Record, Report

NOW = 1_795_176_000 * NS_PER_S  # 2026-11-20T12:00:00Z
MINUTES = 120
REGIONS = {"fra": 4.0, "nyc": 9.0, "sin": 30.0}
HOSTS = {"api.example.com": 1.0, "b.example.com": 1.02, "edge.example.com": 0.4, "engine.example.com": 2.0}
TIERS = ("free", "pro", "enterprise", "enterprise_pro", "government")


def endpoint(host: str, **more: Any) -> Endpoint:
    return Endpoint(
        name="rest", host=host, role=Role.API, methods=(RoundMethod.TCP, RoundMethod.TRACE), **more
    )


def targets() -> list[Target]:
    made = [
        Target(host="api.example.com", name="Example", category="crypto", endpoints=(endpoint("api.example.com"),)),
        Target(host="b.example.com", name="Beta & <Sons>", category="crypto", endpoints=(endpoint("b.example.com"),)),
        Target(
            host="edge.example.com", name="Edge", category="crypto",
            endpoints=(endpoint("edge.example.com", fronted_by="cdn"),),
        ),
        Target(
            host="engine.example.com", name="Engine", category="equities",
            endpoints=(Endpoint(name="fix", host="engine.example.com", role=Role.ENGINE),),
        ),
        Target(
            host="gone.example.com", name="Gone", category="equities", lifecycle=Lifecycle.RETIRED,
            endpoints=(endpoint("gone.example.com"),),
        ),
        Target(
            host="own.example.com", name="Own", category="crypto", endpoints=(endpoint("own.example.com"),),
            account="acct-pro",
        ),
    ]  # fmt: skip
    return made


def ping(host: str, rtt_ms: float | None, at: int, reason: Reason | None = None) -> Ping:
    lost = rtt_ms is None
    samples = tuple(
        Sample(state=SampleState.LOST)
        if lost
        else Sample(
            state=SampleState.ANSWERED, sent_at=at, rtt_ns=int((rtt_ms + step / 100) * NS_PER_MS), error_ns=900,
            grade=Grade.KERNEL,
        )
        for step in range(5)
    )  # fmt: skip
    return Ping(
        target=host, address="198.18.0.1", at=at, method=Method.TCP, port=443, samples=samples, clock=Clock.KERNEL,
        outcome=Outcome.FAILED if lost else Outcome.MEASURED, reason=reason or (Reason.TIMEOUT if lost else None),
    )  # fmt: skip


def trace(host: str, at: int) -> Trace:
    hops = tuple(
        Hop(
            ttl=ttl, address=address, asn=64500 + ttl,
            samples=(Sample(state=SampleState.ANSWERED, rtt_ns=ttl * NS_PER_MS, error_ns=900, grade=Grade.KERNEL),),
        )
        for ttl, address in ((1, "10.0.0.1"), (2, "10.0.1.1"), (3, "198.18.0.1"))
    )  # fmt: skip
    return Trace(
        target=host, address="198.18.0.1", at=at, outcome=Outcome.MEASURED, method=Method.TCP, flow=0, port=443,
        reached=True, stop=StopReason.REACHED, rtt_ns=3 * NS_PER_MS, hops=hops,
    )  # fmt: skip


def enrol(store: StoreWriter, region: str) -> None:
    digest = region.encode() * 4
    store.put_token(
        EnrolToken(
            id=f"tok_{region}", hash=digest, region=region, created_at=NOW - 10**13, expires_at=NOW + 10**13
        )
    )
    vantage = Vantage(code=region, node=f"node-{region}", city=region, enrolled_at=NOW - 10**13)
    assert store.enrol(digest, vantage, b"k" * 32, NOW - 10**13)


def record(seq: int, host: str, way: str, due: int, measured: Any, request: str | None = None) -> Record:
    method = RoundMethod.TRACE if isinstance(measured, Trace) else RoundMethod.TCP
    return Record(
        seq=seq, target=host, endpoint=way, method=method, due=due, measurement=measured, request=request
    )


def entries(region: str) -> list[Record]:
    """Two hours of a vantage. `b.example.com` fails from sin at the end; fra has been silent for ten minutes."""
    made: list[Record] = []
    for minute in range(MINUTES - 10 if region == "fra" else MINUTES):
        due = NOW - (MINUTES - minute) * 60 * NS_PER_S
        for host, factor in HOSTS.items():
            way = "fix" if host.startswith("engine") else "rest"
            down = host == "b.example.com" and region == "sin" and minute > MINUTES - 5
            value = None if down else REGIONS[region] * factor + (minute % 7) / 50
            made.append(record(len(made) + 1, host, way, due, ping(host, value, due + 5 * NS_PER_MS)))
            if minute % 15 == 0 and way == "rest":
                made.append(record(len(made) + 1, host, way, due, trace(host, due)))
    return made


def fill(store: StoreWriter) -> None:
    store.put_targets(targets(), NOW - 10**13)
    for region in REGIONS:
        enrol(store, region)
        every = entries(region)
        for first in range(0, len(every), 1000):
            part = tuple(every[first : first + 1000])
            report = Report(
                node=f"node-{region}", epoch="e", first_seq=part[0].seq, entries=part, sent_at=NOW - NS_PER_S
            )
            at = NOW - NS_PER_S if region != "fra" else NOW - 600 * NS_PER_S
            store.accept(report, at)
            store.heard(f"node-{region}", at, report, None)
    store.publish(events(), NOW - NS_PER_S)


def events() -> list[Event]:
    series = Series("nyc", "api.example.com", "rest", RoundMethod.TCP)
    made = [
        Event(
            id=f"sig_{number:03}", kind=kind, at=NOW - (100 - number) * 60 * NS_PER_S, series=series,
            detected_at=NOW - (99 - number) * 60 * NS_PER_S, target=series.target, vantage=series.vantage,
            severity="notice", confidence=0.97, stored_at=NOW - NS_PER_S,
            body=msgspec.json.encode({"schema": "nettrace.signal/1", "kind": kind, "direction": "up", "from_ms": 9.0}),
        )
        for number, kind in enumerate(["shift", "anomaly"] * 20)
    ]  # fmt: skip
    change = {
        "schema": "nettrace.route_change/1", "class": "as_path", "from": "rt_a", "to": "rt_b", "rtt_delta_ms": 4.5
    }  # fmt: skip
    made.append(
        Event(
            id="rc_1",
            kind="route_change",
            at=NOW - 90 * NS_PER_S,
            detected_at=NOW - 60 * NS_PER_S,
            series=series,
            target=series.target,
            vantage=series.vantage,
            confidence=0.9,
            body=msgspec.json.encode(change),
        )
    )  # fmt: skip
    return made


def give_key(store: StoreWriter, tier: str, account: str | None = None, **more: Any) -> str:
    secret = keys.mint(keys.LIVE)
    scopes = more.pop("scopes", frozenset(Scope))
    store.put_key(
        Key(
            id=keys.identifier("key_"),
            hash=keys.digest(secret),
            hint=secret[-4:],
            account=account or f"acct-{tier}",
            tier=tier,
            scopes=scopes,
            created_at=NOW - 10**12,
            **more,
        )
    )  # fmt: skip
    return secret


class DirectWriter:
    """The writer's methods in this process: what the link does, without the socket."""

    def __init__(self, store: StoreWriter) -> None:
        self.store = store

    async def call(self, method: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        if method.__name__ == "status":
            return None
        return await asyncio.to_thread(getattr(self.store, method.__name__), *args, **keywords)

    async def close(self) -> None:
        self.store.close()


class Stand:
    """Stands for the service of whichever test runs: the application is built once, which takes longer than a test."""

    service: Service
    public_hosts: tuple[str, ...] = ()
    loopback = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)


STAND = Stand()


@cache
def one_app() -> Shield:
    return make_app(cast(Service, STAND))


class Hub:
    """A running application on a store, a clock that stands still, and requests to it."""

    def __init__(self, folder: Path, *, single_user: bool = True, **more: Any) -> None:
        self.data = Data(folder)
        self.store = open_writer(self.data)
        self.clock = NOW
        self.sent = 0
        self.service = Service(
            self.data, lambda: open_reader(self.data), DirectWriter(self.store), now=lambda: self.clock,
            single_user=single_user, **more,
        )  # fmt: skip
        self.service.operations = OPERATIONS
        self.names: dict[str, list[str]] = {}
        self.service.resolve = self.resolve
        self.service.deliver = lambda *_: Receipt(fate=Fate.DELIVERED)
        self.app = one_app()
        STAND.service = self.service
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://localhost"
        )

    async def resolve(self, host: str) -> list[str]:
        """Addresses by a table instead of a resolver: a documentation address, unless a test says another."""
        return self.names.get(host, ["8.8.8.8"])

    def key(self, tier: str = "enterprise", account: str | None = None, **more: Any) -> dict[str, str]:
        """Headers of a new key."""
        return {"Authorization": f"Bearer {give_key(self.store, tier, account, **more)}"}

    @contextmanager
    def reading(self) -> Iterator[StoreReader]:
        """A reader of the store."""
        reader = open_reader(self.data)
        try:
            yield reader
        finally:
            reader.close()

    def work_off(self) -> None:
        """Do what the exporting process does, with the store that is open here."""
        with self.reading() as reader:
            for each in reader.exports():
                if each.state == "queued":
                    export.run(reader, self.store, each, self.data.exports / each.id, lambda: self.clock)

    def report(self, region: str, measured: list[tuple[int, str, Any]], request: str | None = None) -> None:
        """A report with new rounds from a region."""
        seq = len(entries(region)) + 1 + self.sent
        made = tuple(
            record(seq + place, host, "rest", due, each, request)
            for place, (due, host, each) in enumerate(measured)
        )
        self.sent += len(made)
        self.store.accept(
            Report(node=f"node-{region}", epoch="e", first_seq=seq, entries=made, sent_at=self.clock),
            self.clock,
        )

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.client.get(path, **more)

    async def json(self, path: str, **more: Any) -> Any:
        answer = await self.client.get(path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, **more: Any) -> httpx2.Response:
        return await self.client.post(path, json=body, **more)


@asynccontextmanager
async def running(folder: Path, **more: Any) -> AsyncIterator[Hub]:
    hub = Hub(folder, **more)
    await hub.service.start()
    try:
        yield hub
    finally:
        await hub.client.aclose()
        await hub.service.stop()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder all tests copy."""
    folder = tmp_path_factory.mktemp("hub")
    store = open_writer(Data(folder))
    fill(store)
    store.close()
    yield folder


@pytest.fixture
async def hub(filled: Path, tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub of one user."""
    async with running(shutil.copytree(filled, tmp_path / "hub")) as made:
        yield made
