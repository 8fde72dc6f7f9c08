"""A writer with a store in memory, behind its real socket."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from tests.unit.hub.memory_store import MemoryStore

from nettrace.hub.link import WriterLink
from nettrace.hub.recorder import Recorder
from nettrace.hub.serving import WriterServer
from nettrace.hub.unix_socket import short_path
from nettrace.model.vantage import Vantage
from nettrace.runtime.logs import Log
from nettrace.store.port import NodeRow


def listening(path):
    import socket

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(path) as name:
        listener.bind(name)
    listener.listen(64)
    return listener


@asynccontextmanager
async def running(store: MemoryStore, path):
    """A writer serving the store at the path; gives an open link to it."""
    ended = asyncio.Event()
    with ThreadPoolExecutor(1) as thread:
        server = WriterServer(Recorder(store, store, time.time_ns), thread, Log("writer", "text"))
        serving = asyncio.create_task(server.serve(listening(path), ended))
        link = WriterLink(path)
        try:
            yield link
        finally:
            await link.close()
            ended.set()
            await serving


@pytest.fixture
def store():
    store = MemoryStore()
    for code in ("nyc", "lon", "sfo"):
        node = f"node_{code}"
        store.node_rows[node] = NodeRow(vantage=Vantage(code=code, node=node), key=code.encode() * 10)
    return store


@pytest.fixture
async def link(store, tmp_path):
    async with running(store, tmp_path / "writer.sock") as link:
        yield link
