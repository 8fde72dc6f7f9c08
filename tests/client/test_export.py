"""An export comes whole or not at all: broken downloads go on where they broke, and every file is checked."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pyarrow.parquet as pq
import pytest
from tests.api.conftest import Hub
from tests.api.test_stream import Served
from tests.client.conftest import asked, breaking

from nettrace.client import AsyncClient, Client
from nettrace.client.jobs import NotDone
from nettrace.errors import SourceError

START, END = datetime(2026, 11, 20, 10, tzinfo=UTC), datetime(2026, 11, 20, 12, tzinfo=UTC)
PATIENCE_S = 60


async def soon(seconds: float) -> None:
    del seconds
    await asyncio.sleep(0)


async def made(hub: Hub) -> str:
    """An export that is done."""
    hub.service.exporter = lambda service: None
    async with asked(hub) as client:
        found = await client.create_export(START, END, format="ndjson")
        await asyncio.to_thread(hub.work_off)
        return found.id


async def test_it_waits_until_the_export_is_done_and_checks_the_files(hub: Hub, tmp_path: Path) -> None:
    hub.service.exporter = lambda service: None
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            await asyncio.to_thread(hub.work_off)

    async with asked(hub, pause=pause) as client:
        assert (await client.export_cost(START, END, host="api.example.com")).rows
        paths = await client.export(START, END, tmp_path / "new", host="api.example.com", method="tcp")
        assert len(waits) == 2
        (export,) = [each async for each in client.exports()]
        assert [path.name for path in paths] == [file.name for file in export.files]
        assert pq.read_table(paths[0]).num_rows == export.rows > 300
        with pytest.raises(NotDone, match="Fetch it later: download"):
            await client.export(START, END, tmp_path / "never", host="b.example.com", wait_s=2)
    assert not (tmp_path / "never").exists()


async def test_a_broken_download_goes_on_where_it_broke(served: Served, tmp_path: Path) -> None:
    export = await made(served.hub)
    async with AsyncClient(f"http://127.0.0.1:{served.port}") as client:
        (file,) = (await client.export_state(export)).files
    size = file.bytes
    cuts = [10_000, size // 3, size // 3, 100]  # the first connection also carries the state
    async with breaking(served, cuts) as (url, line), asyncio.timeout(PATIENCE_S):
        async with AsyncClient(url, pause=soon, retries=2) as client:
            (path,) = await client.download(export, tmp_path)
        ranges = b"".join(line.asked).lower().count(b"range: bytes=")
    assert line.broken == 4
    assert ranges >= 3
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    assert not path.with_name(f"{file.name}.part").exists()


async def test_the_blocking_client_goes_on_with_what_another_left_and_fetches_nothing_twice(
    served: Served, tmp_path: Path
) -> None:
    export = await made(served.hub)
    async with AsyncClient(f"http://127.0.0.1:{served.port}") as client:
        (path,) = await client.download(export, tmp_path)
    whole = path.read_bytes()
    path.unlink()
    path.with_name(f"{path.name}.part").write_bytes(whole[:5000])

    def fetch(url: str) -> list[Path]:
        with Client(url) as client:
            client.download(export, tmp_path)
            return client.download(export, tmp_path)

    async with breaking(served, []) as (url, line), asyncio.timeout(PATIENCE_S):
        assert await asyncio.to_thread(fetch, url) == [path]
        said = b"".join(line.asked)
    assert path.read_bytes() == whole
    assert said.count(b"/files/") == 1
    assert b"bytes=5000-" in said


@pytest.mark.parametrize("damage", ["other bytes", "name"])
async def test_what_is_not_what_the_manifest_says_is_refused(hub: Hub, tmp_path: Path, damage: str) -> None:
    export = await made(hub)
    inner = httpx2.ASGITransport(app=hub.app)

    class Damaging(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await inner.handle_async_request(request)
            body = await answer.aread()
            if damage == "name":
                body = body.replace(b'"name":"', b'"name":"../')
            elif "/files/" in request.url.path:
                body = b"x" + body[1:]
            return httpx2.Response(answer.status_code, content=body)

    async with AsyncClient("http://localhost", transport=Damaging()) as client:
        with pytest.raises(SourceError):
            await client.download(export, tmp_path / "to")
    assert [each.stat().st_size for each in (tmp_path / "to").iterdir()] in ([], [0])
