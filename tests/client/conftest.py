"""A hub on a real socket, a line to it that breaks on demand, and both clients."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from tests.api.conftest import Hub, filled, hub  # noqa: F401 - fixtures
from tests.api.test_stream import Served, streaming

from nettrace.client import AsyncClient, Client


@pytest.fixture
async def served(filled: Path, tmp_path: Path) -> AsyncIterator[Served]:  # noqa: F811
    async with streaming(shutil.copytree(filled, tmp_path / "hub")) as made:
        yield made


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[AsyncClient]:  # noqa: F811
    """An asynchronous client of a hub in this process."""
    async with asked(hub) as made:
        yield made


@asynccontextmanager
async def asked(hub: Hub, key: str | None = None, **more: object) -> AsyncIterator[AsyncClient]:  # noqa: F811
    transport = httpx2.ASGITransport(app=hub.app)
    async with AsyncClient("http://localhost", key, transport=transport, **more) as made:
        yield made


@pytest.fixture
async def blocking(served: Served) -> AsyncIterator[Client]:
    """A blocking client of a hub on a socket; call it in a thread."""
    with Client(f"http://127.0.0.1:{served.port}") as made:
        yield made


class Line:
    """A relay to the hub that cuts each of its connections after so many bytes of answer, in the middle of whatever."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self._port = port
        self.cuts = cuts
        self.broken = 0
        self.asked: list[bytes] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        left = self.cuts.pop(0) if self.cuts else None

        async def upward() -> None:
            with suppress(ConnectionError):
                while piece := await reader.read(65536):
                    self.asked.append(piece)
                    up_writer.write(piece)
            up_writer.close()

        sending = asyncio.create_task(upward())
        try:
            while piece := await up_reader.read(65536):
                if left is not None and len(piece) > left:
                    writer.write(piece[:left])
                    await writer.drain()
                    self.broken += 1
                    break
                left = None if left is None else left - len(piece)
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            up_writer.close()
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending


@asynccontextmanager
async def breaking(served: Served, cuts: list[int]) -> AsyncIterator[tuple[str, Line]]:
    """The address of a line to the hub."""
    line = Line(served.port, cuts)
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(line.carry(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", line
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
