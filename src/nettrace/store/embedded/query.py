"""Read-only SQL over everything stored: DuckDB in memory, views that exist for one query, nothing else within reach.

Sealed days are read from their files as the query needs them; hot rows, rollups and the control plane are copied into
memory when the query names them, all from one moment. The SQL may read those views, and no file, network or extension.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import Any

import duckdb
import msgspec
import numpy as np

from nettrace.errors import QueryError
from nettrace.model.target import Target
from nettrace.model.vantage import Vantage
from nettrace.store.embedded import rollup
from nettrace.store.embedded.arrow import Table, pa
from nettrace.store.embedded.database import Connection, explained, open_reader, snapshot
from nettrace.store.embedded.schema import DATABASE, SEGMENTS
from nettrace.store.embedded.sealing import ROWS_SQL, table_of
from nettrace.store.embedded.segments import COLUMNS
from nettrace.store.embedded.tally import Tally
from nettrace.store.port import QUANTILES
from nettrace.wire.frames import NEVER_MADE

ROWS_AT_ONCE = 50_000
_TIME = "TIMESTAMPTZ"
_SERIES = "vantage VARCHAR, target VARCHAR, endpoint VARCHAR, method VARCHAR"
_ROLLUPS = (
    f"{_SERIES}, step_s BIGINT, start {_TIME}, rounds BIGINT, measured BIGINT, failed BIGINT, not_measured BIGINT, "
    "sent BIGINT, received BIGINT, min_ns BIGINT, max_ns BIGINT, mean_ns BIGINT, p5_ns BIGINT, p25_ns BIGINT, "
    "p50_ns BIGINT, p75_ns BIGINT, p95_ns BIGINT, p99_ns BIGINT"
)
_ROUNDS = """
SELECT vantage, target, endpoint, method, due::TIMESTAMPTZ AS due, epoch_ns(due) AS due_ns, begun_at::TIMESTAMPTZ AS begun_at,
  stored_at::TIMESTAMPTZ AS stored_at, outcome, reason, address, sent, received, not_measured, rtt_ns,
  list_min(coalesce(samples_ns, [rtt_ns])) AS min_ns, list_max(coalesce(samples_ns, [rtt_ns])) AS max_ns, error_ns,
  grade, coalesce(samples_ns, [rtt_ns]) AS samples_ns, dns_ns, connect_ns, tls_ns, ttfb_ns, total_ns, status,
  tls_version, route, hop_count, clock, request, server_hints FROM
"""

_LOCKS = (
    "SET TimeZone = 'UTC'",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET temp_directory = ''",
)


class Query:
    """A store opened for SQL.

    Args:
        folder: the hub's data folder.
        memory_mb: the most memory a query may take.
        timeout_s: the longest it may run.
        threads: how many it may use.
    """

    def __init__(
        self, folder: Path, *, memory_mb: int = 1024, timeout_s: float = 60.0, threads: int = 2
    ) -> None:
        self._path = folder / DATABASE
        self._segments = folder / SEGMENTS
        self._memory_mb = memory_mb
        self._timeout_s = timeout_s
        self._store = open_reader(self._path)
        self._duck: Any = duckdb.connect(
            config={"memory_limit": f"{memory_mb}MB", "threads": threads, "custom_user_agent": "nettrace"}
        )
        self._duck.execute("CREATE SCHEMA store")
        for line in _LOCKS:
            self._duck.execute(line)

    def run(self, sql: str) -> Iterator[Table]:
        """The answer as Arrow record batches, as they are made. Once for each object.

        Raises QueryError with the views and their columns, or what was too much; StoreError for a store that is not sound.
        """
        self._check(sql)
        watch = Timer(self._timeout_s, self._duck.interrupt)
        watch.daemon = True
        watch.start()
        try:
            with explained(self._path), snapshot(self._store, self._path):
                self._make_views(sql)
            self._duck.execute("SET enable_external_access = false")
            self._duck.execute("SET lock_configuration = true")
            relation = self._duck.sql(sql)
            if relation is not None:
                reader = relation.to_arrow_reader(10_000)
                yield reader.schema.empty_table()  # an answer without rows has columns too
                yield from reader
        except duckdb.InterruptException as error:
            raise QueryError(
                f"the query took longer than {self._timeout_s:g} s", "Ask for less, or give --timeout"
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise QueryError(
                f"the query needs more than {self._memory_mb} MB", "Ask for less, or give --memory"
            ) from error
        except duckdb.Error as error:
            raise self._explained(error) from error
        finally:
            watch.cancel()

    def close(self) -> None:
        """Let go of everything."""
        self._duck.close()
        self._store.close()

    def _check(self, sql: str) -> None:
        """One statement, and one that only reads: others are refused before anything is opened."""
        try:
            found = self._duck.extract_statements(sql)
        except duckdb.Error as error:
            raise QueryError(_first_words(error), "") from error
        if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
            raise QueryError(
                "only one reading statement at a time: SELECT, WITH, FROM, DESCRIBE or SHOW TABLES",
                "Nothing can be written here",
            )

    def _make_views(self, sql: str) -> None:
        """Every view, those that the query names with what is in them."""
        for name, make in self._makers().items():
            make(re.search(rf"\b{name}\b", sql, re.IGNORECASE) is not None)

    def _makers(self) -> dict[str, Callable[[bool], None]]:
        return {
            "rounds": self._rounds,
            "rollups": self._rollups,
            "targets": self._targets,
            "vantages": self._vantages,
            "events": self._events,
            "gaps": self._gaps,
        }

    def _rounds(self, wanted: bool) -> None:  # noqa: FBT001
        self._fill("store.hot", _hot(self._store) if wanted else iter(()), COLUMNS)
        files = [
            str(self._segments / str(file))
            for (file,) in self._store.execute("SELECT file FROM segment WHERE state = 'live' ORDER BY day")
        ]
        if not files or not wanted:
            self._duck.execute(f"CREATE VIEW rounds AS {_ROUNDS} store.hot")
            return
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        self._duck.execute(f"SET allowed_paths = [{listed}]")
        again = ""
        for (file,) in self._store.execute("SELECT value FROM meta WHERE name = 'trimming'"):
            path = str(self._segments / str(file)).replace("'", "''")
            again = f" WHERE NOT EXISTS (FROM read_parquet('{path}') p WHERE p.series = store.hot.series AND p.due = store.hot.due)"
        self._duck.execute(
            f"CREATE VIEW rounds AS {_ROUNDS} read_parquet([{listed}], union_by_name = true) UNION ALL {_ROUNDS} store.hot{again}"
        )

    def _rollups(self, wanted: bool) -> None:  # noqa: FBT001
        self._duck.execute(f"CREATE TABLE rollups ({_ROLLUPS})")
        if not wanted:
            return
        names = {number: series for number, *series in self._store.execute("SELECT id, vantage, target, endpoint, method FROM series")}  # fmt: skip
        for step, made in rollup.all_of(self._store):
            self._append("rollups", _rollup_table(made, step, names))

    def _targets(self, wanted: bool) -> None:  # noqa: FBT001
        self._duck.execute(
            "CREATE TABLE targets (host VARCHAR, name VARCHAR, category VARCHAR, lifecycle VARCHAR, account VARCHAR, "
            "endpoints VARCHAR)"
        )
        if wanted:
            bodies = self._store.execute("SELECT body FROM target ORDER BY host")
            self._insert(
                "targets", [_target_row(msgspec.msgpack.decode(body, type=Target)) for (body,) in bodies]
            )

    def _vantages(self, wanted: bool) -> None:  # noqa: FBT001
        self._duck.execute(
            "CREATE TABLE vantages (code VARCHAR, node VARCHAR, state VARCHAR, city VARCHAR, country VARCHAR, "
            f"latitude DOUBLE, longitude DOUBLE, enrolled_at {_TIME}, last_seen {_TIME}, version VARCHAR, lost_records BIGINT)"
        )
        if wanted:
            bodies = self._store.execute("SELECT body FROM node")
            rows = [_vantage_row(msgspec.msgpack.decode(body, type=Vantage)) for (body,) in bodies]
            self._insert("vantages", rows, times=(7, 8))

    def _events(self, wanted: bool) -> None:  # noqa: FBT001
        self._duck.execute(
            f"CREATE TABLE events (id VARCHAR, kind VARCHAR, happened_at {_TIME}, detected_at {_TIME}, target VARCHAR, "
            f"vantage VARCHAR, severity VARCHAR, confidence DOUBLE, document VARCHAR, stored_at {_TIME})"
        )
        if wanted:
            rows = self._store.execute(
                "SELECT id, kind, at, detected_at, target, vantage, severity, confidence, CAST(body AS TEXT), stored_at FROM event"
            )
            self._insert("events", list(rows), times=(2, 3, 9))

    def _gaps(self, wanted: bool) -> None:  # noqa: FBT001
        self._duck.execute(
            f"CREATE TABLE gaps (vantage VARCHAR, node VARCHAR, reason VARCHAR, since {_TIME}, until {_TIME}, records BIGINT, "
            "target VARCHAR)"
        )
        if wanted:
            unmade = ", ".join(f"'{reason}'" for reason in sorted(NEVER_MADE))
            rows = self._store.execute(
                "SELECT vantage, node, reason, since, until,"  # noqa: S608 - own words
                f" iif(reason IN ({unmade}), 0, last_seq - seq + 1), nullif(target, '') FROM gap"
            )
            self._insert("gaps", list(rows), times=(3, 4))

    def _insert(self, name: str, rows: list[tuple[Any, ...]], times: tuple[int, ...] = ()) -> None:
        """Few rows into a table; `times` are the places of UTC ns."""
        if not rows:
            return
        marks = ["make_timestamp_ns(?)::TIMESTAMP AT TIME ZONE 'UTC'" if n in times else "?" for n in range(len(rows[0]))]  # fmt: skip
        self._duck.executemany(f"INSERT INTO {name} VALUES ({', '.join(marks)})", rows)  # noqa: S608 - own words

    def _fill(self, name: str, tables: Iterator[Table], schema: Any) -> None:
        self._duck.register("waiting", schema.empty_table())
        self._duck.execute(f"CREATE TABLE {name} AS FROM waiting")
        self._duck.unregister("waiting")
        for table in tables:
            self._append(name, table)

    def _append(self, name: str, table: Table) -> None:
        self._duck.register("waiting", table)
        self._duck.execute(f"INSERT INTO {name} FROM waiting")
        self._duck.unregister("waiting")

    def _explained(self, error: duckdb.Error) -> QueryError:
        """What DuckDB says, with what can be asked for when a name is not known."""
        if not isinstance(error, duckdb.BinderException | duckdb.CatalogException):
            return QueryError(_first_words(error), "")
        lines: list[str] = []
        with suppress(duckdb.Error):
            lines = [
                f"{name}({columns})"
                for name, columns in self._duck.execute(
                    "SELECT table_name, string_agg(column_name, ', ' ORDER BY ordinal_position) "
                    "FROM information_schema.columns WHERE table_schema = 'main' GROUP BY 1 ORDER BY 1"
                ).fetchall()
            ]
        return QueryError(_first_words(error), "There are " + "; ".join(lines) if lines else "")


def _first_words(error: duckdb.Error) -> str:
    return " ".join(str(error).split("\n\nLINE")[0].split())


def _hot(store: Connection) -> Iterator[Table]:
    """All hot rows, some thousand at a time."""
    rows = store.execute(ROWS_SQL)
    while some := list(islice(rows, ROWS_AT_ONCE)):
        yield table_of(some)


def _rollup_table(made: Tally, step_s: int, names: dict[int, list[str]]) -> Table:
    answered = made.sketches.totals()
    mean = [
        total // count if count else None
        for total, count in zip(made.total.tolist(), answered.tolist(), strict=True)
    ]
    quantiles = np.clip(made.sketches.quantiles(QUANTILES), made.low[:, None], made.high[:, None])
    words = [pa.array([names[number][place] for number in made.series.tolist()]) for place in range(4)]
    step, start = (
        pa.array(np.full(len(made.series), step_s)),
        pa.array(made.start * 1_000_000, pa.timestamp("us", "UTC")),
    )
    numbers = [pa.array(each) for each in made[2:8]]
    low, high, *found = (
        pa.array(each, mask=each < 0)
        for each in (made.low, made.high, *(quantiles[:, n] for n in range(len(QUANTILES))))
    )
    columns = [*words, step, start, *numbers, low, high, pa.array(mean, pa.int64()), *found]
    return pa.table(columns, names=[each.split()[0] for each in _ROLLUPS.split(", ")])


def _target_row(known: Target) -> tuple[Any, ...]:
    return (
        known.host, known.name, known.category, str(known.lifecycle), known.account,
        msgspec.json.encode(known.endpoints).decode(),
    )  # fmt: skip


def _vantage_row(known: Vantage) -> tuple[Any, ...]:
    return (
        known.code, known.node, str(known.state), known.city, known.country, known.latitude, known.longitude,
        known.enrolled_at, known.last_seen, known.version, known.lost_records,
    )  # fmt: skip
