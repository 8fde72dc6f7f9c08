"""A series as FastAPI serves it, for `./dev bench series`: run by uvicorn in an environment of its own, never by ours.

One SQLite table with an index, 1,000 rows a request, handlers that do nothing else and no thread in between. `/plain`
returns dictionaries, what FastAPI does unless told more; `/modelled` declares the answer's shape, which it checks and
encodes in pydantic's core. Environment: PEER_DATABASE, the file.
"""

import os
import sqlite3
from typing import Any

from fastapi import FastAPI  # pyright: ignore[reportMissingImports]
from pydantic import BaseModel  # pyright: ignore[reportMissingImports]

database = sqlite3.connect(os.environ["PEER_DATABASE"])
names = [column[0] for column in database.execute("SELECT * FROM point LIMIT 0").description][1:]
app = FastAPI()


class Point(BaseModel):
    """One round, with the fields of ours."""

    at: str
    region: str
    endpoint: str
    method: str
    outcome: str
    reason: str | None
    rtt_ms: float | None
    min_ms: float | None
    max_ms: float | None
    error_ms: float | None
    sent: int
    received: int
    loss: float | None
    hop_count: int | None
    route: str | None
    round: str
    total_rtt: float | None
    route_hash: str | None
    timestamp: str


class Page(BaseModel):
    """A page of a series."""

    host: str
    data: list[Point]


def read(host: str, start: str, limit: int) -> dict[str, Any]:
    """The rows, as a handler finds them."""
    found = database.execute(
        "SELECT * FROM point WHERE host = ? AND at >= ? ORDER BY at LIMIT ?", (host, start, limit)
    )
    return {"host": host, "data": [dict(zip(names, row[1:], strict=True)) for row in found]}


@app.get("/plain/{host}")
async def plain(host: str, start: str, limit: int = 1000):  # type: ignore[no-untyped-def]
    """Dictionaries."""
    return read(host, start, limit)


@app.get("/modelled/{host}")
async def modelled(host: str, start: str, limit: int = 1000) -> Page:
    """A declared shape."""
    return Page.model_validate(read(host, start, limit))


@app.get("/livez")
async def livez() -> str:
    """Here."""
    return "ok"
