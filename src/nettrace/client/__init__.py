"""NetTrace for other people's Python: `Client`, and `AsyncClient` for asyncio.

Needs the optional part `client`; importing this without it raises `MissingExtra`. See docs/guides/python-client.md.
"""

from nettrace.client.asynchronous import AsyncClient, AsyncRows
from nettrace.client.blocking import Client, Rows
from nettrace.client.stream import Gap, LiveRound, Notice, Snapshot, StreamEvent

__all__ = [
    "AsyncClient",
    "AsyncRows",
    "Client",
    "Gap",
    "LiveRound",
    "Notice",
    "Rows",
    "Snapshot",
    "StreamEvent",
]
