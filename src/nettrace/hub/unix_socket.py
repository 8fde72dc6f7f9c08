"""Unix sockets by paths of any length."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from nettrace.errors import Unreachable


@contextmanager
def short_path(path: Path) -> Generator[str]:
    """The path by way of an open folder: a Unix socket's name holds only 107 bytes."""
    if len(os.fsencode(path)) <= 107:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def dial(path: Path) -> socket.socket:
    """A connection to whoever listens there.

    Raises:
        Unreachable: nobody does.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as name:
            link.connect(name)
    except OSError as error:
        link.close()
        raise Unreachable(
            f"the hub's writer does not answer at {path} ({error.strerror})", "Is `nettrace up` running?"
        ) from error
    return link
