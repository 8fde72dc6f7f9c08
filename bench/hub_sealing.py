"""Meets a hub's writer while it seals a day, to kill it there."""

import os
import subprocess
import threading
import time
from contextlib import closing, suppress

from nettrace.hub.place import Data
from nettrace.store.embedded.database import Connection, open_reader, value
from nettrace.store.embedded.schema import DATABASE, SEGMENTS
from nettrace.store.embedded.segments import PART, strays

SEAL_S = 20.0
"""So long a seal is waited for; then the writer is killed all the same."""


def kill_sealing(data: Data, writer: "subprocess.Popen[bytes]", pause_s: float | None) -> bool:
    """Kill the writer so long after it began a day's file; with None, while it deletes the rows that the file holds.

    True when what it left shows that it was met in the middle. Where it may, this thread goes before others: the moment
    is some milliseconds long.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
    until = time.monotonic() + SEAL_S
    with closing(open_reader(data.folder / DATABASE)) as connection:
        before = len(entered(connection))
        while time.monotonic() < until:
            if clears_up(connection) or len(entered(connection)) > before:
                break
            if pause_s is not None and writes_day(data):
                time.sleep(pause_s)
                break
            time.sleep(0.0005)
        writer.kill()
        writer.wait(20)
        return bool(strays(data.folder / SEGMENTS, entered(connection))) or clears_up(connection)


def writes_day(data: Data) -> bool:
    """Whether there is a day's file that is not finished."""
    return any((data.folder / SEGMENTS).glob("*" + PART))


def clears_up(connection: Connection) -> bool:
    """Whether hot rows are being deleted that a file holds."""
    return bool(value(connection, "SELECT count(*) FROM meta WHERE name = 'trimming'"))


def entered(connection: Connection) -> set[str]:
    """The days' files that belong to the store."""
    return {str(file) for (file,) in connection.execute("SELECT file FROM segment")}
