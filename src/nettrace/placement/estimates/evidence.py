"""What is known of round trips between ends, as one plain table."""

import csv
from collections.abc import Callable, Iterable, Sequence
from math import isfinite

import msgspec

from nettrace.errors import Invalid
from nettrace.model.path import Place

FindPlace = Callable[[str], Place | None]

COLUMNS = ("a", "b", "p50_ms", "p95_ms", "low_ms", "high_ms", "n", "at", "source", "own")
"""Of the table, in the order written; only the first three are needed."""

MOST_RADIUS_KM = 300.0
"""A place known no better than this says nothing of latency."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Something that stands somewhere: a region, a city, a node, a venue's engine.

    Attributes:
        latitude, longitude: None when nobody knows.
        network: whose wires it hangs on: `aws`; "" when unknown. Pairs inside one network resemble each other.
        radius_km: how far from there it may be.
    """

    name: str
    latitude: float | None = None
    longitude: float | None = None
    network: str = ""
    radius_km: float = 0.0

    @property
    def placed(self) -> bool:
        """Whether its coordinates say anything."""
        return self.latitude is not None and self.radius_km <= MOST_RADIUS_KM


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A round trip that somebody measured between two ends; directions are not told apart.

    Attributes:
        low_ms, high_ms: 90 % interval of the median, where known.
        n: samples behind it.
        at: when, `YYYY`, `YYYY-MM` or longer.
        source: who measured.
        own: measured by nodes of one's own: then it is the answer, not a hint.
    """

    a: str
    b: str
    p50_ms: float
    p95_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    n: int | None = None
    at: str | None = None
    source: str = "given"
    own: bool = False


class Evidence(msgspec.Struct, frozen=True):
    """Rows and the ends they speak of; an end without a row may be in it too."""

    ends: dict[str, End]
    rows: tuple[Row, ...] = ()

    def joined(self, *others: "Evidence") -> "Evidence":
        """This and others; of an end that several know the first that has coordinates counts."""
        ends = dict(self.ends)
        rows = list(self.rows)
        for other in others:
            for name, end in other.ends.items():
                if name not in ends or (end.placed and not ends[name].placed):
                    ends[name] = end
            rows += other.rows
        return Evidence(ends, tuple(rows))


def end_named(name: str, find: FindPlace) -> End:
    """An end by its name in the gazetteer; `aws:...` hangs on the network `aws`.

    >>> end_named("aws:eu-west-2", lambda name: None)
    End(name='aws:eu-west-2', latitude=None, longitude=None, network='aws', radius_km=0.0)
    """
    place = find(name)
    owner, mark, _ = name.partition(":")
    network = owner if mark else ""
    if place is None:
        return End(name=name, network=network)
    return End(
        name=name,
        latitude=place.latitude,
        longitude=place.longitude,
        network=network,
        radius_km=place.radius_km,
    )


def evidence_of(rows: Iterable[Row], find: FindPlace) -> Evidence:
    """Rows with their ends looked up."""
    kept = tuple(rows)
    names = dict.fromkeys(name for row in kept for name in (row.a, row.b))
    return Evidence({name: end_named(name, find) for name in names}, kept)


def read_table(text: str, where: str) -> list[Row]:
    r"""The rows of a CSV text with a heading line: `a,b,p50_ms` and any other of `COLUMNS`.

    Raises:
        Invalid: a column is missing or unknown, or a value is none; with the line.

    >>> read_table("a,b,p50_ms,n\naws:eu-west-2,LON,1.2,60\n", "mine.csv")[0].n
    60
    """
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip() and line[0] != "#"]
    reader = csv.reader(lines)
    heads = [head.strip() for head in next(reader, list[str]())]
    if not {"a", "b", "p50_ms"} <= set(heads):
        raise Invalid(f"{where}: the heading has no a, b and p50_ms", f"Columns: {', '.join(COLUMNS)}")
    strange = [head for head in heads if head not in COLUMNS]
    if strange:
        raise Invalid(f"{where}: unknown column '{strange[0]}'", f"Columns: {', '.join(COLUMNS)}")
    return [
        _row(dict(zip(heads, cells, strict=False)), f"{where}, row {number}")
        for number, cells in enumerate(reader, 1)
    ]


def write_table(rows: Sequence[Row]) -> str:
    """The CSV text that `read_table` reads."""
    made = _Written()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = [getattr(row, name) for name in COLUMNS[:-1]]
        writer.writerow(["" if value is None else value for value in values] + ["yes" if row.own else ""])
    return "".join(made)


def number_of(text: str, where: str, what: str) -> float:
    """A time in milliseconds.

    Raises:
        Invalid: it is none, below zero or above a minute.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or not 0 <= value <= 60_000:
        raise Invalid(f"{where}: {what} is {text!r}, which is no time in milliseconds")
    return value


class _Written(list[str]):
    """Takes what a CSV writer writes."""

    def write(self, text: str) -> None:
        """One more piece."""
        self.append(text)


def _row(cells: dict[str, str], where: str) -> Row:
    given = {key: value.strip() for key, value in cells.items() if value.strip()}
    for key in ("a", "b", "p50_ms"):
        if key not in given:
            raise Invalid(f"{where}: it has no {key}")
    times = {
        key: number_of(given[key], where, key)
        for key in ("p50_ms", "p95_ms", "low_ms", "high_ms")
        if key in given
    }
    count = given.get("n", "")
    if count and not count.isdigit():
        raise Invalid(f"{where}: n is {count!r}, which is no whole number")
    return Row(
        a=given["a"],
        b=given["b"],
        p50_ms=times["p50_ms"],
        p95_ms=times.get("p95_ms"),
        low_ms=times.get("low_ms"),
        high_ms=times.get("high_ms"),
        n=int(count) if count else None,
        at=given.get("at"),
        source=given.get("source", where.rpartition(", row")[0]),
        own=given.get("own", "").lower() in {"yes", "true", "1"},
    )
