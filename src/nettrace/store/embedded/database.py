"""Connections to `hub.sqlite`: one that writes, any number that read, and what their failures mean.

SQLite in WAL mode lets other processes read while one writes. Libraries before 3.51.3 can corrupt such a file
(https://www.sqlite.org/wal.html, "the WAL-reset bug"), so they are refused. `synchronous=FULL`: a commit that
returned has been flushed.
"""

import fcntl
import os
import resource
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import apsw

from nettrace.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull
from nettrace.store.embedded.schema import APPLICATION_ID, MIGRATIONS, VERSION

OLDEST_SAFE = (3, 51, 3)
BUSY_MS = 5_000
MEBIBYTE = 2**20
BEFORE = ".before-"
"""Behind a database's name, and before the number of the version it was brought to: the copy made first."""
RESTORE = "Stop the hub, then: nettrace store restore BACKUP --data NEWFOLDER"

Row = tuple[Any, ...]


class Connection(Protocol):
    """What is used of `apsw.Connection`; its own annotations leave types open."""

    in_transaction: bool
    filename: str

    def execute(self, statements: str, bindings: Row | None = None) -> Iterator[Row]:
        """Run statements; the rows as they are asked for."""
        ...

    def executemany(self, statements: str, sequence: Iterable[Row]) -> Iterator[Row]:
        """Run one statement for each row of bindings."""
        ...

    def changes(self) -> int:
        """Rows the last statement changed."""
        ...

    def total_changes(self) -> int:
        """Rows changed since the connection was opened."""
        ...

    def last_insert_rowid(self) -> int:
        """Number of the row inserted last."""
        ...

    def set_busy_timeout(self, milliseconds: int) -> None:
        """How long to wait for others."""
        ...

    def backup(self, databasename: str, sourceconnection: Any, sourcedatabasename: str) -> Any:
        """SQLite's online backup, as a context manager."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def refuse_old_library(version: str = apsw.sqlite_lib_version()) -> None:
    """Raise unless the SQLite library is one that does not lose a WAL that several processes share.

    >>> refuse_old_library("3.51.2")
    Traceback (most recent call last):
    ...
    nettrace.errors.StoreError: SQLite 3.51.2 can corrupt a database that other processes read. Install apsw 3.51.3 or newer: pip install -U apsw
    """
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SAFE:
        raise StoreError(
            f"SQLite {version} can corrupt a database that other processes read",
            "Install apsw 3.51.3 or newer: pip install -U apsw",
        )


@contextmanager
def explained(path: Path) -> Generator[None]:
    """Within it, SQLite's errors become the store's: full, busy, corrupt, missing, each with what to do next."""
    try:
        yield
    except apsw.Error as error:
        raise explanation(path, error) from error


def explanation(path: Path, error: apsw.Error) -> StoreError:
    """What an error of SQLite means for the store of this database, and what to do next."""
    match error:
        case apsw.FullError():
            return StoreFull(
                f"{path}: no room left on its disk", "Free some; everything acknowledged is safe"
            )
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(f"{path}: another process holds it", "Wait for it, or stop it")
        case apsw.CorruptError() | apsw.NotADBError():
            return StoreCorrupt(f"{path}: damaged ({error})", RESTORE)
        case apsw.CantOpenError():
            if not path.exists():
                return StoreError(f"{path}: there is no hub in this folder", "Start one: nettrace up")
            return StoreError(f"{path}: cannot be opened ({error})", "Look at its owner and rights")
        case apsw.IOError():
            if _no_room(path, error):
                return StoreFull(
                    f"{path}: cannot grow ({error})", "Free some room; everything acknowledged is safe"
                )
            return StoreError(f"{path}: the disk fails ({error})", "Look at the system's log")
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return StoreError(f"{path}: may not be written", "Look at its owner and rights")
        case _:
            return StoreError(f"{path}: {error}", "nettrace store check says more")


def _no_room(path: Path, error: apsw.IOError) -> bool:
    """True when a failed write is a full disk or a file at its limit: SQLite calls both an I/O error at times."""
    if getattr(error, "extendedresult", 0) not in (
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_SHMSIZE,
    ):
        return False
    try:
        room = os.statvfs(path.parent)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < 16 * MEBIBYTE or _limited()


def _limited() -> bool:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _connect(path: Path, flags: int) -> Connection:
    return cast(Connection, apsw.Connection(str(path), flags=flags, statementcachesize=300))


def open_reader(path: Path) -> Connection:
    """A connection that can only read. Raises StoreError when there is nothing, or something newer than this program."""
    refuse_old_library()
    with explained(path):
        connection = _connect(path, apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(BUSY_MS)
            connection.execute(
                f"PRAGMA cache_size=-{32 * 1024}; PRAGMA mmap_size={256 * MEBIBYTE}; PRAGMA query_only=1"
            )
            found = version(connection)
        except BaseException:
            connection.close()
            raise
    if found != VERSION:
        connection.close()
        _refuse(path, found)
    return connection


def open_writer(path: Path, *, make: bool = True) -> Connection:
    """The connection that writes, its schema brought up to date; made when there is none and `make` is set."""
    refuse_old_library()
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if make else 0)
    with explained(path):
        connection = _connect(path, flags)
        try:
            connection.set_busy_timeout(BUSY_MS)
            version(connection)  # before anything is changed: it may be somebody else's file
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                f"PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=40000; PRAGMA cache_size=-{256 * 1024};"
                f"PRAGMA journal_size_limit={64 * MEBIBYTE}; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=0"
            )
            migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def version(connection: Connection) -> int:
    """The schema's version, 0 for an empty file. Raises StoreError for a database that is not a hub's."""
    number, application = (value(connection, f"PRAGMA {name}") for name in ("user_version", "application_id"))
    if application != APPLICATION_ID and (number or value(connection, "SELECT count(*) FROM sqlite_schema")):
        raise StoreError(
            f"{connection.filename}: a database, but not a hub's", "Give the hub's own folder: --data"
        )
    return int(number)


def migrate(connection: Connection, path: Path, migrations: tuple[str, ...] = MIGRATIONS) -> int:
    """Bring the schema up to date, all steps in one transaction; the version it had.

    What was there is copied to `hub.sqlite.before-N` first, N being the new version; `Forgetter` removes it after a month.
    """
    found = version(connection)
    if found > len(migrations):
        _refuse(path, found, len(migrations))
    if found == len(migrations):
        return found
    if found:
        copy(connection, path.with_name(f"{path.name}{BEFORE}{len(migrations)}"))
    connection.execute("BEGIN IMMEDIATE")
    try:
        for script in migrations[found:]:
            connection.execute(script)
        connection.execute(
            f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={len(migrations)}; COMMIT"
        )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return found


def _refuse(path: Path, found: int, known: int = VERSION) -> None:
    if found > known:
        raise StoreError(
            f"{path}: its schema is version {found}, this program knows {known}", "Install the newer NetTrace"
        )
    raise StoreError(
        f"{path}: its schema is version {found}, this program reads {known}",
        "Start the hub once: nettrace up",
    )


def copy(connection: Connection, to: Path) -> None:
    """Write a consistent copy of the whole database to `to` (SQLite's online backup), replacing what was there."""
    part = to.with_name(to.name + ".part")
    part.unlink(missing_ok=True)
    with explained(part):
        made = _connect(part, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            with made.backup("main", connection, "main") as backup:
                backup.step(-1)  # in one go: in slices it would begin anew at every commit of another process
            made.execute("PRAGMA journal_mode=DELETE")
        finally:
            made.close()
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(to)
    flush_folder(to.parent)


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def value(connection: Connection, sql: str, bindings: Row = ()) -> Any:
    """The first column of the first row, or None without a row."""
    for row in connection.execute(sql, bindings):
        return row[0]
    return None


@contextmanager
def transaction(connection: Connection, path: Path) -> Generator[None]:
    """All that is written within it is on disk when it ends, or nothing is; errors as in `explained`."""
    with explained(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have rolled back already
                connection.execute("ROLLBACK")
            raise


@contextmanager
def snapshot(connection: Connection, path: Path) -> Generator[None]:
    """Reads within it all see the same moment."""
    with explained(path):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")


class Lock:
    """The right to be a data folder's one writer, held by a process until it ends, however it ends (flock).

    Raises StoreBusy while another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise StoreBusy(
                f"{path.parent}: process {holder or 'unknown'} writes this data folder",
                "One hub has one writer; stop that one or choose another folder with --data",
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another process have it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
