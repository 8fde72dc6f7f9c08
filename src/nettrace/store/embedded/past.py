"""Where a reader's and the writer's view of stored rounds is put together."""

from pathlib import Path

from nettrace.store.embedded.database import Connection
from nettrace.store.embedded.history import History
from nettrace.store.embedded.hot import Past
from nettrace.store.embedded.rounds import Names
from nettrace.store.embedded.schema import SEGMENTS


def past(connection: Connection, folder: Path, names: Names) -> Past:
    """Everything stored that this connection can see: hot rows, and the sealed days of the folder."""
    return History(connection, folder / SEGMENTS, names)
