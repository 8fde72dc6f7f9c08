"""A desk over a copy of the API tests' hub, its clock standing still, and an official client of it in memory."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mcp_types import CallToolResult, ListToolsResult
from tests.api.conftest import NOW, fill, give_key

from mcp import Client
from nettrace.hub.access import Access
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.hub.quota import Quota
from nettrace.hub.tiers import Tiers
from nettrace.mcp.desk import Desk
from nettrace.mcp.server import local_server
from nettrace.mcp.stored import Stored
from nettrace.model.account import Scope
from nettrace.store.rows import Audit

EVERYTHING = frozenset({Scope.READ, Scope.MEASURE, Scope.FLEET})


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder all tests copy."""
    folder = tmp_path_factory.mktemp("mcp-hub")
    store = open_writer(Data(folder))
    fill(store)
    store.close()
    return folder


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Data:
    """A hub's folder of one's own."""
    return Data(shutil.copytree(filled, tmp_path / "hub"))


class World:
    """A folder with what a server needs of it."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.clock = NOW
        self._keys = open_reader(data)
        self._quota = Quota(data.quota)
        self.access = Access(self._keys, Tiers(data.folder / "tiers.toml"), self._quota, single_user=True)

    def desk(self, *scopes: Scope, audited: bool = False) -> Desk:
        """A desk whose local caller has these scopes."""
        hub = Stored(self.data, self.access, lambda: self.clock)
        return Desk(hub, self.access, now=lambda: self.clock, scopes=frozenset(scopes), audited=audited)

    def key(self, tier: str = "enterprise", **more: Any) -> str:
        """A new key of the hub."""
        store = open_writer(self.data)
        try:
            return give_key(store, tier, **more)
        finally:
            store.close()

    def audit(self) -> list[Audit]:
        """The audit log, newest first."""
        return self._keys.audit(limit=1000)

    def states(self) -> dict[str, str]:
        """Every node's state."""
        return {row.vantage.node: row.vantage.state.value for row in self._keys.nodes()}

    def close(self) -> None:
        """Let go."""
        self._quota.close()
        self._keys.close()


@contextmanager
def opened(data: Data) -> Iterator[World]:
    world = World(data)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def world(data: Data) -> Iterator[World]:
    """A folder of one's own, opened."""
    with opened(data) as made:
        yield made


@asynccontextmanager
async def session(desk: Desk) -> AsyncIterator[Client]:
    """An official client connected to the desk in memory."""
    try:
        async with Client(local_server(desk)) as client:
            yield client
    finally:
        await desk.close()


def wire(result: CallToolResult | ListToolsResult) -> bytes:
    """The JSON a client really gets."""
    return result.model_dump_json(by_alias=True, exclude_none=True).encode()


def tokens(result: CallToolResult | ListToolsResult) -> int:
    """The stated approximation: four bytes a token."""
    return -(-len(wire(result)) // 4)


def text(result: Any) -> str:
    """What an answer says in words."""
    return "".join(part.text for part in result.content)


def document(result: Any) -> dict[str, Any]:
    """What an answer says in fields, which must not be an error."""
    assert not result.is_error, text(result)
    return msgspec.json.decode(msgspec.json.encode(result.structured_content))
