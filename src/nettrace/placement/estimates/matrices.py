"""Latency matrices as others publish them, read into rows: a square CSV, `{from: {to: ms}}` JSON, or the plain table."""

import csv
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from nettrace.errors import Invalid
from nettrace.placement.estimates.evidence import Row, number_of, read_table

_EMPTY = {"", "-", "null", "nan", "n/a"}


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Whose numbers they are.

    Attributes:
        provider: put before names that have no `:`, so that `eu-west-2` becomes `aws:eu-west-2`; "" for none.
    """

    source: str
    at: str | None = None
    provider: str = ""


def read_matrix(text: str, where: str, origin: Origin) -> list[Row]:
    r"""The rows of a published matrix; of the two directions of a pair the mean, pairs of one end with itself left out.

    Raises:
        Invalid: it is none of the three forms, or a value is no time.

    >>> [row.p50_ms for row in read_matrix("Source,eu,us\neu,,80\nus,82,", "m.csv", Origin(source="x"))]
    [81.0]
    """
    text = text.lstrip("\ufeff").strip()
    heading = text.partition("\n")[0].replace(" ", "").split(",")
    if text.startswith("{"):
        found = list(_nested(text, where))
    elif {"a", "b", "p50_ms"} <= set(heading):
        found = [(row.a, row.b, row.p50_ms) for row in read_table(text, where)]
    elif len(heading) >= 3:
        found = list(_square(text, where))
    else:
        raise Invalid(
            f"{where}: no latency matrix",
            "Give a square CSV with names in its first row and column, {from: {to: ms}} as JSON, or a,b,p50_ms rows",
        )
    both: dict[tuple[str, str], list[float]] = {}
    for a, b, ms in found:
        one, other = sorted((_named(a, origin), _named(b, origin)))
        if one != other and ms > 0:
            both.setdefault((one, other), []).append(ms)
    return [
        Row(a=a, b=b, p50_ms=round(sum(values) / len(values), 4), at=origin.at, source=origin.source)
        for (a, b), values in both.items()
    ]


def _named(name: str, origin: Origin) -> str:
    return f"{origin.provider}:{name}" if origin.provider and ":" not in name else name


def _square(text: str, where: str) -> Iterator[tuple[str, str, float]]:
    lines = csv.reader(text.splitlines())
    names = [name.strip() for name in next(lines)[1:]]
    for number, cells in enumerate(lines, 2):
        if len(cells) > len(names) + 1:
            raise Invalid(f"{where}, line {number}: more values than names in the first line")
        for name, value in zip(names, cells[1:], strict=False):
            if value.strip().lower() not in _EMPTY:
                yield cells[0].strip(), name, number_of(value.strip(), f"{where}, line {number}", name)


def _nested(text: str, where: str) -> Iterator[tuple[str, str, float]]:
    try:
        raw: Any = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid(f"{where}: no JSON ({error})") from None
    table: Any = raw.get("data", raw)
    for a, row in cast("dict[str, Any]", table).items() if isinstance(table, dict) else ():
        if not isinstance(row, dict):
            raise Invalid(f"{where}: under '{a}' is no table of times", "Give {from: {to: ms}}")
        for b, value in cast("dict[str, Any]", row).items():
            if value is not None:
                yield a, b, number_of(str(value), where, f"{a} to {b}")
