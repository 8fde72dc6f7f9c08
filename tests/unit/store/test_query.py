"""SQL over everything stored: all of it, once, and nothing else within reach."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.store.filled import DAY, EVER, START, fill, keep_up, seen

from nettrace.errors import QueryError, StoreError
from nettrace.model.target import Endpoint, Role, Target
from nettrace.store.embedded.query import Query
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.port import Choice
from nettrace.store.rows import Resolution


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three sealed days and two hot ones; the writer goes on running, as a hub does."""
    folder = tmp_path_factory.mktemp("store")
    writer = fill(folder, days=5)
    keep_up(writer, START + 5 * DAY + 10**12)
    endpoint = Endpoint(name="rest", host="a.example", role=Role.API)
    writer.put_targets([Target(host="a.example", name="A", category="crypto", endpoints=(endpoint,))], START)
    yield folder
    writer.close()


def ask(folder: Path, sql: str, **limits: Any) -> list[tuple[Any, ...]]:
    query = Query(folder, **limits)
    try:
        return [tuple(row.values()) for batch in query.run(sql) for row in batch.to_pylist()]
    finally:
        query.close()


def test_sealed_and_hot_rounds_are_one_view(folder: Path) -> None:
    stored = seen(folder)
    assert 2 <= len(list((folder / "segments").iterdir())) <= 4
    found = ask(folder, "SELECT target, due_ns, outcome, rtt_ns, min_ns, max_ns, samples_ns FROM rounds")
    assert sorted(found, key=lambda row: row[:2]) == sorted(
        (
            (each.series.target, each.due, str(each.outcome), each.rtt_ns, each.min_ns, each.max_ns, list(each.samples_ns))
            for each in stored
        ),
        key=lambda row: row[:2],
    )  # fmt: skip


def test_rollups_say_what_the_history_says(folder: Path) -> None:
    with EmbeddedReader(folder) as reader:
        expected = [
            (each.series.target, rounds, low, p95)
            for each in reader.history(Choice(), EVER, Resolution.DAY, (0.95,))
            for rounds, low, p95 in zip(each.rounds, each.min_ns, each.quantiles_ns["p95"], strict=True)
        ]
    assert (
        ask(
            folder,
            "SELECT target, rounds, min_ns, p95_ns FROM rollups WHERE step_s = 86400 ORDER BY target, start",
        )
        == expected
    )


def test_every_view_can_be_asked(folder: Path) -> None:
    assert [row[0] for row in ask(folder, "SHOW TABLES")] == [
        "events", "gaps", "rollups", "rounds", "targets", "vantages",
    ]  # fmt: skip
    assert ask(folder, "SELECT host, category FROM targets") == [("a.example", "crypto")]
    assert ask(folder, "SELECT code, state FROM vantages") == [("ams", "active")]
    assert ask(folder, "FROM events") == ask(folder, "FROM gaps") == []


@pytest.mark.parametrize(
    "sql",
    [
        "COPY rounds TO '/tmp/nettrace-out.csv'", "CREATE TABLE t AS FROM rounds", "ATTACH '/tmp/nettrace.db'",
        "INSTALL httpfs", "LOAD httpfs", "SET memory_limit = '9GB'", "PRAGMA version", "EXPLAIN ANALYZE SELECT 1",
        "INSERT INTO rollups SELECT * FROM rollups", "DELETE FROM rollups", "SELECT 1; SELECT 2", "", "CALL pragma_version()",
    ],
)  # fmt: skip
def test_nothing_but_one_reading_statement_is_taken(folder: Path, sql: str) -> None:
    with pytest.raises(QueryError, match="only one reading statement"):
        ask(folder, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('/etc/passwd')", "FROM '/etc/passwd'", "FROM read_csv('/etc/passwd')", "FROM glob('/etc/*')",
        "FROM read_parquet('https://192.0.2.1/x.parquet')", "FROM query('COPY rounds TO ''/tmp/x''')",
        "FROM sqlite_scan('{folder}/hub.sqlite', 'key')", "FROM read_blob('{folder}/hub.sqlite')", "FROM secrets",
    ],
)  # fmt: skip
def test_no_file_network_or_extension_is_within_reach(folder: Path, sql: str) -> None:
    with pytest.raises(QueryError):
        ask(folder, f"{sql.replace('{folder}', str(folder))} -- rounds")


def test_an_unknown_column_is_answered_with_those_there_are(folder: Path) -> None:
    with pytest.raises(QueryError) as found:
        ask(folder, "SELECT latency FROM rounds")
    assert "latency" in str(found.value)
    assert "rounds(vantage, target," in str(found.value)
    assert "rtt_ns" in str(found.value)


def test_what_takes_too_long_is_ended(folder: Path) -> None:
    with pytest.raises(QueryError, match="longer than"):
        ask(
            folder,
            "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range % 7 = b.range",
            timeout_s=0.3,
        )


def test_what_needs_too_much_memory_is_ended(folder: Path) -> None:
    with pytest.raises(QueryError, match="more than 64 MB"):
        ask(folder, "SELECT list(range) FROM range(100000000)", memory_mb=64)


def test_a_folder_without_a_hub_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no hub"):
        Query(tmp_path)
