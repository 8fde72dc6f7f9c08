"""Every test ever made on a data folder, nulls too, in a file that only grows and that shows when a line was changed.

A line is JSON with the SHA-256 over itself and the line before. Whoever deletes the file forgets his trials and knows it;
a line changed, added or taken out in between is found.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nettrace.errors import SourceError

Row = dict[str, Any]
_FIRST = "0" * 64


class Ledger:
    """The tests of a data folder.

    Args:
        folder: the hub's data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "market" / "ledger.ndjson"

    def rows(self) -> list[Row]:
        """All of them, oldest first.

        Raises:
            SourceError: a line was changed or lost.
        """
        return list(self._checked())

    def tests(self) -> dict[str, Row]:
        """The newest row of every distinct test, by its `test` name: the same test on the same data is one trial."""
        return {row["test"]: row for row in self._checked()}

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows durably; each needs a `test` name. Before their results are told."""
        self._path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.parent.mkdir(exist_ok=True, mode=0o700)
        with self._path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = _FIRST
            for kept in self._checked():
                last = kept["sha256"]
            for row in rows:
                last = _seal(row, last)
                file.write(json.dumps({**row, "sha256": last}, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _checked(self) -> Iterator[Row]:
        if not self._path.is_file():
            return
        last = _FIRST
        with self._path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    row: Row = json.loads(line)
                    claimed = row.pop("sha256")
                    whole = claimed == _seal(row, last) and "test" in row
                except (ValueError, KeyError, AttributeError):
                    whole, row, claimed = False, {}, ""
                if not whole:
                    raise SourceError(
                        f"{self._path}, line {number}, was changed, or one before it lost",
                        "Restore it: without all trials no result can be judged",
                    )
                last = claimed
                yield {**row, "sha256": claimed}


def name_of(words: Row) -> str:
    """What makes a test this one: the same words always give the same name.

    >>> name_of({"market": "a"}) == name_of({"market": "a"}) != name_of({"market": "b"})
    True
    """
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]


def _seal(row: Row, last: str) -> str:
    return hashlib.sha256((last + json.dumps(row, sort_keys=True)).encode()).hexdigest()
