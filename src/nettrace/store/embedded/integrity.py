"""Is everything as it should be? Looks, and changes nothing."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from nettrace.errors import StoreCorrupt
from nettrace.store.embedded.database import RESTORE, Connection, explained, open_reader
from nettrace.store.embedded.keeping import checksum
from nettrace.store.embedded.schema import DATABASE, SEGMENTS, SLOT_NS
from nettrace.store.embedded.sheet import sound
from nettrace.store.rows import Fault

SHEETS_AT_ONCE = 1_000

REPORT = "Report it: a transaction was not whole"

_FACTS = (
    ("round", "rounds of a series without a name", "SELECT count(*) FROM round WHERE series NOT IN (SELECT id FROM series)"),
    ("round", "rounds to an address without a text",
     "SELECT count(*) FROM round WHERE address IS NOT NULL AND address NOT IN (SELECT id FROM address)"),
    ("round", "rounds over a route without a name",
     "SELECT count(*) FROM round WHERE route IS NOT NULL AND route NOT IN (SELECT id FROM route)"),
    ("round", "rounds with more answers than probes", "SELECT count(*) FROM round WHERE received > sent"),
    ("round", "rounds that lie in the wrong slot", f"SELECT count(*) FROM round WHERE slot != due / {SLOT_NS}"),  # noqa: S608
    ("latest", "newest rounds of a series without a name",
     "SELECT count(*) FROM latest WHERE series NOT IN (SELECT id FROM series)"),
    ("latest", "series whose newest round is older than one that is stored",
     "SELECT count(*) FROM latest JOIN (SELECT series, max(due) due FROM round WHERE request IS NULL GROUP BY series) newest"
     " ON newest.series = latest.series WHERE latest.due < newest.due"),
    ("latest", "changes newer than the live log",
     "SELECT count(*) FROM latest WHERE seq > max((SELECT coalesce(max(seq), 0) FROM live),"
     " (SELECT value FROM meta WHERE name = 'live_head'))"),
    ("live", "numbers missing in the live log", "SELECT coalesce(max(seq) - min(seq) + 1 - count(*), 0) FROM live"),
    ("trace", "traces of a series without a name", "SELECT count(*) FROM trace WHERE series NOT IN (SELECT id FROM series)"),
    ("route_state", "routes held without a name",
     "SELECT count(*) FROM route_state WHERE route NOT IN (SELECT id FROM route)"),
    ("rollup", "rollups of a series without a name",
     "SELECT count(*) FROM rollup WHERE series NOT IN (SELECT id FROM series)"),
    ("sheet", "rollups of a series without a name",
     "SELECT count(*) FROM sheet WHERE id & 4294967295 NOT IN (SELECT id FROM series)"),
    ("progress", "reports of a node that never enrolled",
     "SELECT count(*) FROM progress WHERE node NOT IN (SELECT id FROM node)"),
    ("segment", "days sealed twice",
     "SELECT count(*) FROM (SELECT day FROM segment WHERE state = 'live' GROUP BY day HAVING count(*) > 1)"),
)  # fmt: skip


def check_folder(folder: Path) -> list[Fault]:
    """The faults of a data folder, its hub running or not. A file that cannot be opened as a store is one."""
    try:
        connection = open_reader(folder / DATABASE)
    except StoreCorrupt as error:
        return [Fault(where=DATABASE, what=error.detail, remedy=RESTORE)]
    try:
        return faults(connection, folder)
    finally:
        connection.close()


def faults(connection: Connection, folder: Path) -> list[Fault]:
    """Everything that is not as it should be, with what mends it; empty is sound."""
    try:
        with explained(folder / DATABASE):
            damage = [words for (words,) in connection.execute("PRAGMA quick_check(20)") if words != "ok"]
            if damage:
                return [Fault(where=DATABASE, what=str(words), remedy=RESTORE) for words in damage]
            files = sorted(path.name for path in (folder / SEGMENTS).glob("*.parquet"))
            connection.execute("BEGIN")
            try:
                found = [
                    *_facts(connection), *_sheets(connection), *_segments(connection, folder / SEGMENTS)
                ]  # fmt: skip
            finally:
                connection.execute("COMMIT")
            return found + _strays(connection, files)
    except StoreCorrupt as error:
        return [Fault(where=DATABASE, what=error.detail, remedy=RESTORE)]


def _facts(connection: Connection) -> Iterator[Fault]:
    for where, what, sql in _FACTS:
        for (count,) in connection.execute(sql):
            if count:
                yield Fault(
                    where=where, what=f"{count} {what}", remedy=RESTORE if where != "latest" else REPORT
                )


def _sheets(connection: Connection) -> Iterator[Fault]:
    """Sheets that cannot be read, or whose answers are not what their sketches say."""
    rows = connection.execute("SELECT id, body FROM sheet ORDER BY id")
    wrong = 0
    while lot := list(islice(rows, SHEETS_AT_ONCE)):
        if not sound(lot):
            wrong += sum(not sound([each]) for each in lot)
    if wrong:
        yield Fault(where="sheet", what=f"{wrong} sheets whose answers cannot be right", remedy=RESTORE)


def _segments(connection: Connection, folder: Path) -> Iterator[Fault]:
    for name, size, wanted in connection.execute(
        "SELECT file, bytes, sha256 FROM segment WHERE state = 'live'"
    ):
        path = folder / name
        if not path.exists():
            yield Fault(where=f"{SEGMENTS}/{name}", what="missing", remedy=_REPLACE)
        elif path.stat().st_size != size or checksum(path) != wanted:
            yield Fault(where=f"{SEGMENTS}/{name}", what="not what was sealed", remedy=_REPLACE)


def _strays(connection: Connection, files: Sequence[str]) -> list[Fault]:
    """Files no day names. They were listed before the database is asked: one just being sealed is named by now."""
    named = {name for (name,) in connection.execute("SELECT file FROM segment")}
    return [
        Fault(
            where=f"{SEGMENTS}/{name}", what="no day names this file",
            remedy="Nothing reads it; the hub removes it when it starts, or delete it",
        )
        for name in files
        if name not in named
    ]  # fmt: skip


_REPLACE = "Copy it back from a backup's segments folder, or nettrace store restore"
