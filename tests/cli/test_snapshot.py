"""`nettrace` alone: ranked by the handshake, honest about who answered, and never silent about a venue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from nettrace.cli.commands import snapshot
from nettrace.cli.commands.snapshot import Venue, measure, venues
from nettrace.outside.places import find

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def server(respond: Callable[[asyncio.StreamWriter], object] | None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if respond is None:
                    continue
                respond(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/time"


def test_the_dozen_is_a_dozen_and_every_known_engine_is_a_known_place() -> None:
    dozen = venues()
    assert len(dozen) == 12
    assert all(venue.engine == "unknown" or find(venue.engine) for venue in dozen)
    assert all(venue.source for venue in dozen)


def test_a_venue_that_answers_faster_than_light_from_its_engine_is_called_an_edge() -> None:
    async def run() -> dict[str, object]:
        async with server(lambda writer: writer.write(ANSWER)) as url:
            (row,) = await measure([Venue("Far", url, "Tokyo", "given")], find("Frankfurt"))
            return row

    row = asyncio.run(run())
    assert (row["outcome"], row["stands"], row["answered"]) == ("measured", "edge", 5)
    assert row["connect_ms"] < row["floor_ms"]  # type: ignore[operator]
    assert "light" in str(row["why"])


def test_nobody_is_dropped_refused_venues_are_rows_too() -> None:
    (row,) = asyncio.run(measure([Venue("Gone", "http://127.0.0.1:1/", "unknown", "given")], None))
    assert (row["outcome"], row["reason"], row["connect_ms"]) == ("failed", "refused", None)


def test_a_venue_that_does_not_end_in_time_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "BUDGET_S", 0.2)

    async def run() -> dict[str, object]:
        async with server(None) as url:
            (row,) = await measure([Venue("Slow", url, "unknown", "given")], None)
            return row

    row = asyncio.run(run())
    assert (row["outcome"], row["reason"]) == ("not_measured", "aborted")
    assert "0.2 s" in str(row["detail"])
