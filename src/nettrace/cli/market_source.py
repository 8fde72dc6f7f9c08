"""Latency and events for the market tests: from files, or from a hub's data folder."""

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nettrace.analysis.market.bars import Times
from nettrace.analysis.signals.replay import read_rows
from nettrace.cli.output import note
from nettrace.errors import Invalid, NotFound, SourceError
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.outside.market_file import Layout, Wrong, clock
from nettrace.runtime.named_file import unreadable

LATEST: Instant = 9_000_000_000 * NS_PER_S


@dataclass(frozen=True)
class Latency:
    """One series: when each probe was due, and its RTT; what was lost is not in it."""

    name: str
    at: Times
    rtt_ns: Times

    def digest(self) -> str:
        """What tells this data from other data of the same name."""
        return hashlib.sha256(self.at.tobytes() + self.rtt_ns.tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Asked:
    """Which part of a hub's history, or of the files."""

    files: Sequence[Path]
    targets: Sequence[str]
    regions: Sequence[str]
    start: Instant = 0
    end: Instant = LATEST


def latency_of(asked: Asked, data: Path) -> list[Latency]:
    """The series asked for: of the files when there are some, else of the hub.

    Raises:
        NotFound: there is none.
    """
    series = (
        [each for file in asked.files for each in _from_file(file)] if asked.files else _from_hub(asked, data)
    )
    made: list[Latency] = []
    for each in series:
        inside = (each.at >= asked.start) & (each.at < asked.end) & (each.rtt_ns > 0)
        if inside.any():
            made.append(Latency(each.name, each.at[inside], each.rtt_ns[inside]))
    if not made:
        raise NotFound(
            "no latency was measured of that", "Give --latency FILE.csv, or --data of a hub with history"
        )
    return made


def _series(name: str, rows: Iterable[tuple[Instant, int]]) -> Latency:
    kept = sorted(rows)
    return Latency(
        name,
        np.array([at for at, _ in kept], dtype=np.int64),
        np.array([rtt for _, rtt in kept], dtype=np.int64),
    )


def _from_file(path: Path) -> list[Latency]:
    """A CSV `t,rtt_ms` is one series; a CSV of `nettrace export` one for each vantage, target and method."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            if "rtt_ns" not in header:
                late: list[int] = []
                found = _series(
                    path.stem, [(row.at, row.rtt_ns or 0) for row in read_rows(file, late.append)]
                )
                if late:
                    note(f"nettrace: {path}: {len(late)} rows came late and were passed over")
                return [found]
            rows: dict[str, list[tuple[Instant, int]]] = {}
            for row in csv.DictReader(file):
                name = " ".join(row.get(each) or "-" for each in ("vantage", "target", "method"))
                rows.setdefault(name, []).append((int(row["due_ns"]), int(row["rtt_ns"] or 0)))
            return [_series(name, each) for name, each in rows.items()]
    except (OSError, UnicodeDecodeError) as problem:
        raise unreadable(str(path), problem, error=SourceError) from None
    except (KeyError, ValueError, TypeError) as problem:
        raise Invalid(f"{path} is no export of rounds ({problem})", "nettrace export --help") from None


def _from_hub(asked: Asked, data: Path) -> list[Latency]:
    sql = "SELECT vantage, target, method, due_ns, rtt_ns FROM rounds WHERE outcome = 'measured'"
    rows: dict[str, list[tuple[Instant, int]]] = {}
    for row in _query(data, sql + _only(asked)):
        name = f"{row['vantage']} {row['target']} {row['method']}"
        rows.setdefault(name, []).append((row["due_ns"], row["rtt_ns"] or 0))
    return [_series(name, each) for name, each in sorted(rows.items())]


def _only(asked: Asked) -> str:
    made = ""
    for column, values in (("target", asked.targets), ("vantage", asked.regions)):
        if values:
            quoted = ", ".join("'" + each.replace("'", "''") + "'" for each in values)
            made += f" AND {column} IN ({quoted})"
    return made


def _query(data: Path, sql: str) -> list[dict[str, Any]]:
    from nettrace.store.embedded.query import Query

    query = Query(data, memory_mb=2048, timeout_s=300.0)
    try:
        return [row for batch in query.run(sql) for row in batch.to_pylist()]
    finally:
        query.close()


def events_of(asked: Asked, data: Path, files: Sequence[Path], *, happened: bool) -> dict[str, Times]:
    """Instants by kind: of files (signals as NDJSON, or CSV with `at` and perhaps `kind`) or of the hub's events.

    By default the instant is when an event was detected: nobody could have acted on it earlier.

    Raises:
        NotFound: there is none.
    """
    kinds: dict[str, list[Instant]] = {}
    column = "happened_at" if happened else "detected_at"
    if files:
        for path in files:
            for kind, at in _events_in(path, happened=happened):
                kinds.setdefault(kind, []).append(at)
    else:
        sql = f"SELECT kind, epoch_ns({column}) AS at FROM events WHERE true{_only(asked)}"  # noqa: S608 - quoted above
        for row in _query(data, sql):
            kinds.setdefault(row["kind"], []).append(row["at"])
    found = {
        kind: np.array(sorted(each for each in instants if asked.start <= each < asked.end), dtype=np.int64)
        for kind, instants in sorted(kinds.items())
    }
    found = {kind: instants for kind, instants in found.items() if len(instants)}
    if not found:
        raise NotFound(
            "no events of that",
            "nettrace signals replay FILE.csv > events.ndjson, then --events events.ndjson",
        )
    return found


def _events_in(path: Path, *, happened: bool) -> list[tuple[str, Instant]]:
    instant = clock(Layout(zone="UTC"))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.read(1)
            file.seek(0)
            rows: list[dict[str, Any]] = (
                [json.loads(line) for line in file if line.strip()]
                if first == "{"
                else list(csv.DictReader(file))
            )
        made: list[tuple[str, Instant]] = []
        for row in rows:
            at = row["at"] if happened or not row.get("detected_at") else row["detected_at"]
            made.append((str(row.get("kind") or "event"), instant(at)))
    except (OSError, UnicodeDecodeError) as problem:
        raise unreadable(str(path), problem, error=SourceError) from None
    except (KeyError, ValueError, TypeError, AttributeError, Wrong) as problem:
        raise Invalid(
            f"{path}: no events ({problem})", "CSV with a column 'at', or NDJSON of `nettrace signals replay`"
        ) from None
    return made
