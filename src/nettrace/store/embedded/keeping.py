"""Backups: the database, the sealed days it names, market data, what the operator wrote; a manifest with all checksums."""

import fcntl
import os
import shutil
import time
from hashlib import sha256
from pathlib import Path

import msgspec

from nettrace.errors import Conflict, Invalid, StoreCorrupt, StoreError, StoreFull
from nettrace.store.embedded.database import (
    Lock,
    copy,
    flush_folder,
    open_reader,
    open_writer,
    transaction,
    value,
)
from nettrace.store.embedded.memory import newest_live
from nettrace.store.embedded.schema import DATABASE, LOCK, SEGMENTS, VERSION

MANIFEST = "manifest.json"
MARKET, LEDGER = "market", "ledger.ndjson"
"""Imported bars, and the tests ever made: no hub writes them, and without them no test can be judged again."""
WRITTEN = ("tiers.toml", "alerts.toml", "fleet.toml")
"""What the operator wrote into the folder. Secrets are named in it, not held: those stay out of a backup."""
FORMAT = 1
CHUNK = 2**20
TRIES = 3
LIVE_JUMP = 1_000_000
"""After a restore the live log goes on this far ahead: no client that saw more than the backup is told "nothing new"."""


class Copied(msgspec.Struct, frozen=True):
    """One file of a backup."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds. Written last: a folder without one is no backup.

    Attributes:
        made_at: UTC ns.
        head: newest live number in it.
    """

    format: int
    schema: int
    made_at: int
    head: int
    files: tuple[Copied, ...]


def write_backup(folder: Path, to: Path) -> Manifest:
    """Copy a data folder's store into an empty folder while it is being written; what it holds.

    One moment of the database and exactly the sealed days it names. Asks no writer and stops none.

    Raises:
        Conflict: `to` has something in it.
        StoreCorrupt: a sealed day is not what the database says it is.
    """
    _empty(to)
    for left in reversed(range(TRIES)):
        try:
            return _try_backup(folder, to)
        except FileNotFoundError as error:  # sealed anew meanwhile, and the old file was let go
            if not left:
                raise StoreCorrupt(
                    f"{error.filename}: a sealed day is missing", "nettrace store check lists what is"
                ) from error
    raise AssertionError


def _try_backup(folder: Path, to: Path) -> Manifest:
    (to / SEGMENTS).mkdir(parents=True, exist_ok=True)
    source = open_reader(folder / DATABASE)
    try:
        copy(source, to / DATABASE)
    finally:
        source.close()
    copied = open_reader(to / DATABASE)
    try:
        head = newest_live(copied)
        days = list(
            copied.execute("SELECT file, bytes, sha256 FROM segment WHERE state = 'live' ORDER BY file")
        )
    finally:
        copied.close()
    files = [_described(to / DATABASE, DATABASE)]
    for name, size, checksum in days:
        made = _copy_file(folder / SEGMENTS / name, to / SEGMENTS / name, f"{SEGMENTS}/{name}")
        if (made.bytes, made.sha256) != (size, checksum):
            raise StoreCorrupt(
                f"{folder / SEGMENTS / name}: not what was sealed", "nettrace store check says more"
            )
        files.append(made)
    flush_folder(to / SEGMENTS)
    files += _copy_market(folder / MARKET, to / MARKET)
    files += [_copy_file(folder / name, to / name, name) for name in WRITTEN if (folder / name).is_file()]
    manifest = Manifest(FORMAT, VERSION, time.time_ns(), head, tuple(files))
    part = to / f"{MANIFEST}.part"
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)))
        file.flush()
        os.fsync(file.fileno())
    part.replace(to / MANIFEST)
    flush_folder(to)
    return manifest


def _copy_market(source: Path, to: Path) -> list[Copied]:
    """Copy bars and ledger, if there are any: each market's file is whole at any moment, the ledger while nobody appends."""
    names = sorted(path.name for path in source.glob("*") if path.name == LEDGER or path.suffix == ".parquet")
    if not names:
        return []
    to.mkdir(exist_ok=True, mode=0o700)
    made: list[Copied] = []
    for name in names:
        with (source / name).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            made.append(_copy_file(source / name, to / name, f"{MARKET}/{name}"))
    flush_folder(to)
    return made


def restore(backup: Path, folder: Path) -> Manifest:
    """Make a data folder from a backup; what was in it. The backup stays as it is.

    Raises:
        Invalid: `backup` is none.
        StoreCorrupt: a file of it is damaged.
        Conflict: `folder` has a store already.
    """
    manifest = read_manifest(backup)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock(folder / LOCK)
    try:
        if (folder / DATABASE).exists() or any(any((folder / name).glob("*")) for name in (SEGMENTS, MARKET)):
            raise Conflict(
                f"{folder}: has a store already", "Restore into a new folder, then move it into place"
            )
        if there := [each.name for each in manifest.files if (folder / each.name).exists()]:
            raise Conflict(
                f"{folder}: has {', '.join(there)} already",
                "Restore into a new folder, then move it into place",
            )
        (folder / SEGMENTS).mkdir(exist_ok=True, mode=0o700)
        for wanted in sorted(manifest.files, key=lambda each: each.name == DATABASE):  # the database last
            (folder / wanted.name).parent.mkdir(exist_ok=True, mode=0o700)
            made = _copy_file(backup / wanted.name, folder / wanted.name, wanted.name)
            if made != wanted:
                (folder / wanted.name).unlink()
                raise StoreCorrupt(f"{backup / wanted.name}: not what was backed up", "Take an older backup")
        for name in {str(Path(each.name).parent) for each in manifest.files}:
            flush_folder(folder / name)
        _go_on_ahead(folder / DATABASE, manifest.head)
    finally:
        lock.release()
    return manifest


def _go_on_ahead(path: Path, head: int) -> None:
    connection = open_writer(path, make=False)
    try:
        damage = value(connection, "PRAGMA quick_check(1)")
        if damage != "ok":
            raise StoreCorrupt(f"{path}: {damage}", "Take an older backup")
        with transaction(connection, path):
            connection.execute("DELETE FROM live")
            connection.execute("UPDATE meta SET value = ? WHERE name = 'live_head'", (head + LIVE_JUMP,))
    finally:
        connection.close()


def read_manifest(backup: Path) -> Manifest:
    """What a backup says it holds. Raises Invalid for a folder that is none."""
    try:
        manifest = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(
            f"{backup}: no whole backup ({MANIFEST}: {error})",
            "Give a folder that nettrace store backup wrote",
        ) from error
    places = {Path(each.name).parent for each in manifest.files}
    if not places <= {Path(), Path(SEGMENTS), Path(MARKET)} or any(
        "/.." in f"/{each.name}" for each in manifest.files
    ):
        raise Invalid(
            f"{backup}: its {MANIFEST} names files outside of a store", "Take one you made yourself"
        )
    if manifest.format != FORMAT or manifest.schema > VERSION:
        raise StoreError(f"{backup}: made by a newer NetTrace", "Install that one")
    return manifest


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise Conflict(f"{folder}: not empty", "Back up into a new folder")


def _copy_file(source: Path, to: Path, name: str) -> Copied:
    """Copy, flush, and say what was copied."""
    digest = sha256()
    size = 0
    try:
        with source.open("rb") as old, to.open("wb") as new:
            while chunk := old.read(CHUNK):
                new.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            new.flush()
            os.fsync(new.fileno())
    except FileNotFoundError:
        raise
    except OSError as error:
        room = shutil.disk_usage(to.parent).free
        raise StoreFull(f"{to}: {error.strerror} ({room // CHUNK} MiB free)", "Free some room") from error
    return Copied(name, size, digest.hexdigest())


def _described(path: Path, name: str) -> Copied:
    return Copied(name, path.stat().st_size, checksum(path))


def checksum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        digest = sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
