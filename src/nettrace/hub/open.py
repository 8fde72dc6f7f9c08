"""Puts a hub together from its data folder: which engine the store is, who may write, what watches."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from nettrace.errors import Unreachable
from nettrace.hub.atlas import HopAtlas
from nettrace.hub.link import blocking_link
from nettrace.hub.place import Data, default_folder
from nettrace.hub.recorder import Recorder
from nettrace.model.instant import Instant
from nettrace.outside import databases
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import StoreReader, StoreWriter


def open_reader(data: Data) -> StoreReader:
    """A reader of the hub's store, for one thread.

    Raises:
        StoreError: there is no hub in this folder, or it is of another version.
    """
    return EmbeddedReader(data.folder)


def open_writer(data: Data) -> StoreWriter:
    """The store opened for writing in this process; made when there is none.

    Raises:
        StoreBusy: another process writes it.
    """
    data.make()
    return EmbeddedWriter(data.folder)


def open_recorder(data: Data, now: Callable[[], Instant], say: Callable[[str], None]) -> Recorder:
    """What the writer process runs: the store with its watchers, and what is known about hops.

    Raises:
        StoreBusy: another process writes it.
    """
    store = open_writer(data)
    try:
        atlas = HopAtlas((data.databases, databases.default_folder()), say)
        return Recorder(store, open_reader(data), now, say, atlas)
    except BaseException:
        store.close()
        raise


@contextmanager
def writer(data: Data) -> Generator[StoreWriter]:
    """The right to write, for a command: through the running hub when there is one, else by opening the store.

    Raises:
        StoreBusy: another process writes this folder and does not answer.
    """
    try:
        opened: StoreWriter = blocking_link(data.socket)
    except Unreachable:
        opened = open_writer(data)
    try:
        yield opened
    finally:
        opened.close()


def folder_of(path: Path | None) -> Data:
    """The data folder a command means."""
    return Data(path or default_folder())
