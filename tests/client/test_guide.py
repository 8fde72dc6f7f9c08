"""The guide's examples run as they stand, against a hub."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from tests.api.test_stream import Served

GUIDE = Path(__file__).parents[2] / "docs/guides/python-client.md"
PATIENCE_S = 60


async def test_every_example_of_the_guide_runs(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    served.hub.service.exporter = lambda service: service.keep(asyncio.to_thread(served.hub.work_off))
    blocks = re.findall(r"```py\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) == 8

    def run() -> dict[str, Any]:
        names: dict[str, Any] = {}
        for block in blocks:
            exec(block.replace("http://127.0.0.1:8787", f"http://127.0.0.1:{served.port}"), names)
        names["patient"].close()
        names["client"].close()
        return names

    running = asyncio.create_task(asyncio.to_thread(run))
    async with asyncio.timeout(PATIENCE_S):
        while not running.done():
            if served.feed.listening:
                served.measure()
            await asyncio.wait([running], timeout=0.1)
        names = await running
    assert names["resume"] is None
    assert [path.suffix for path in names["paths"]] == [".parquet"]
    assert "no target 'nowhere.example'" in capsys.readouterr().out
