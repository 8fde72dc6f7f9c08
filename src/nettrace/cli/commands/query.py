"""`nettrace query`: read-only SQL over everything a hub has stored, while it runs or not."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import click

from nettrace.cli.folder import data_option
from nettrace.cli.number import Finite
from nettrace.cli.output import FORMATS, Document, Emitter


@click.command("query")
@click.argument("sql")
@data_option
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
@click.option(
    "--memory",
    "memory_mb",
    type=click.IntRange(64),
    default=1024,
    show_default=True,
    help="Most MB it may take.",
)
@click.option(
    "--timeout", "timeout_s", type=Finite(0.1, 86_400), default=60.0, show_default=True, help="Most seconds."
)
def command(sql: str, data: Path | None, output: str | None, memory_mb: int, timeout_s: float) -> None:
    """Answer a question in SQL (DuckDB's dialect) over the views rounds, rollups, targets, vantages, events and gaps.

    Nothing can be written, and no file or network is within the query's reach. `DESCRIBE rounds` lists columns.
    """
    from nettrace.hub.place import default_folder
    from nettrace.store.embedded.query import Query

    query = Query(data or default_folder(), memory_mb=memory_mb, timeout_s=timeout_s)
    try:
        batches = query.run(sql)
        view: _Rows | None = None
        emitter: Emitter | None = None
        for batch in batches:
            if view is None or emitter is None:
                view = _Rows(batch.schema.names)
                emitter = Emitter(output, view)
            if emitter.form == "table":
                view.hold(_rows(batch))
                continue
            for row in _rows(batch):
                emitter.emit(row)
        if view is not None and emitter is not None:
            _end(emitter, view)
        elif output == "json":
            Emitter(output, _Rows(())).close()
    finally:
        query.close()


def _end(emitter: Emitter, view: "_Rows") -> None:
    """Of a table the rows, now that their widths are known; of JSON the bracket."""
    from nettrace.cli.output import say

    for line in view.table() if emitter.form == "table" else ():
        say(line)
    emitter.close()


class _Rows:
    """Rows whose columns are known only when the answer comes."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = fields
        self._held: list[Document] = []

    def hold(self, rows: Iterator[Document]) -> None:
        """Keep rows for the table."""
        self._held += rows

    def heading(self) -> str | None:
        """No heading: `table` has its own."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """One row, its cells two blanks apart."""
        return ["  ".join(_text(document[field]) for field in self.fields)]

    def table(self) -> list[str]:
        """All rows below the columns' names, each column as wide as it must be."""
        from rich.cells import cell_len

        cells = [list(self.fields), *([_text(row[field]) for field in self.fields] for row in self._held)]
        widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
        numbers = [
            bool(self._held) and all(isinstance(row[field], int | float | None) for row in self._held)
            for field in self.fields
        ]
        return [
            "  ".join(
                " " * (width - cell_len(cell)) + cell if right else cell + " " * (width - cell_len(cell))
                for cell, width, right in zip(line, widths, numbers, strict=True)
            ).rstrip()
            for line in cells
        ]


def _rows(batch: Any) -> Iterator[Document]:
    """The rows of a record batch as documents: times as RFC 3339, whole decimals as numbers."""
    columns = [_values(batch.column(place)) for place in range(batch.num_columns)]
    for row in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _values(column: Any) -> list[Any]:
    from nettrace.model.instant import rfc3339
    from nettrace.store.embedded.arrow import pa

    if pa.types.is_timestamp(column.type):
        return [None if at is None else rfc3339(at) for at in column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()]  # fmt: skip
    if pa.types.is_decimal(column.type) and column.type.scale == 0:
        return [None if each is None else int(each) for each in column.to_pylist()]
    if pa.types.is_decimal(column.type):
        return [None if each is None else float(each) for each in column.to_pylist()]
    if pa.types.is_interval(column.type) or pa.types.is_binary(column.type):
        return [None if each is None else str(each) for each in column.to_pylist()]
    return list(column.to_pylist())


def _text(value: object) -> str:
    """A cell for a person."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + " ".join(_text(each) for each in cast("list[object]", value)) + "]"
    return str(value)
