"""Where a hub keeps its things, and how a process gets at the store: reading always, writing through the one writer."""

import os
from pathlib import Path


class Data:
    """The paths in a hub's data folder.

    >>> Data("/srv/nettrace").socket.name
    'writer.sock'
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self.database = self.folder / "hub.sqlite"
        self.segments = self.folder / "segments"
        self.exports = self.folder / "exports"
        self.secrets = self.folder / "secrets"
        self.quota = self.folder / "quota.bin"
        self.socket = self.folder / "writer.sock"
        self.lock = self.folder / "hub.lock"
        self.node = self.folder / "node"
        self.databases = self.folder / "databases"

    def make(self) -> None:
        """Create what is missing; only the owner may look inside."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.segments, self.exports, self.node):
            folder.mkdir(exist_ok=True, mode=0o700)


def default_folder() -> Path:
    """Where data goes unless the user says otherwise (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()
    return Path(base) / "nettrace"
