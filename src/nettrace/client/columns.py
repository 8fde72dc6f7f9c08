"""Rows as columns with one type each, for pandas and polars; both are loaded only here and only when asked for.

Nested objects become columns joined by `_` (`last_measured_rtt_ms`), lists of numbers stay lists, other lists and
documents become JSON text: the columns of the API's own tables.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, reduce
from importlib import import_module
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from nettrace.errors import NetTraceError

if TYPE_CHECKING:
    import pandas
    import polars

_NUMBERS = {int, float}


class MissingLibrary(NetTraceError):
    """A library of tables is asked for and not installed."""

    slug = "missing-extra"
    exit_code = 2


class Column(msgspec.Struct, frozen=True):
    """A column: its name, where its values are in a row, and their type (a `list` alias, or None for JSON text)."""

    name: str
    path: tuple[str, ...]
    kind: Any


def row_of(answer: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct of an answer's `data` rows."""
    return get_args(get_type_hints(answer)["data"])[0]


@cache
def columns_of(shape: type[msgspec.Struct], before: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """The columns of a row, the same whatever rows hold."""
    found: list[Column] = []
    hints = get_type_hints(shape)
    for field in msgspec.structs.fields(shape):
        kind, path = _plain(hints[field.name]), (*before, field.name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            found += columns_of(kind, path)
        else:
            name = "_".join((*before, field.encode_name))
            found.append(Column(name, path, _listed(kind)))
    return tuple(found)


def _plain(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in {Union, UnionType}:
        kept = [part for part in get_args(hint) if part is not NoneType]
        return _plain(kept[0]) if len(kept) == 1 else hint
    return hint


def _listed(kind: Any) -> Any:
    if kind in {int, float, str, bool, datetime}:
        return kind
    if get_origin(kind) is tuple:
        inner = _plain(get_args(kind)[0])
        return list[inner] if inner in {*_NUMBERS, str} else None
    return None


def _values(rows: Sequence[msgspec.Struct], column: Column) -> list[Any]:
    def value(row: Any) -> Any:
        return reduce(lambda held, name: None if held is None else getattr(held, name), column.path, row)

    if column.kind is None:
        return [None if (held := value(row)) is None else msgspec.json.encode(held).decode() for row in rows]
    if get_origin(column.kind) is list:
        return [None if (held := value(row)) is None else list(held) for row in rows]
    return [value(row) for row in rows]


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise MissingLibrary(f"to_{name}() needs {name}", f"Install it: pip install {name}") from None


def to_polars(rows: Sequence[msgspec.Struct], shape: type[msgspec.Struct]) -> "polars.DataFrame":
    """The rows as polars: Float64, Int64, Boolean, String, Datetime(us, UTC), lists; null is "not measured".

    Raises:
        MissingLibrary: polars is not installed.
    """
    library = _library("polars")
    kinds: dict[Any, Any] = {
        int: library.Int64, float: library.Float64, str: library.String, bool: library.Boolean, None: library.String,
        datetime: library.Datetime("us", "UTC"),
    }  # fmt: skip

    def kind_of(kind: Any) -> Any:
        return library.List(kinds[get_args(kind)[0]]) if get_origin(kind) is list else kinds[kind]

    chosen = columns_of(shape)
    schema = {column.name: kind_of(column.kind) for column in chosen}
    return library.DataFrame({column.name: _values(rows, column) for column in chosen}, schema=schema)


def to_pandas(rows: Sequence[msgspec.Struct], shape: type[msgspec.Struct]) -> "pandas.DataFrame":
    """The rows as pandas: its nullable Float64, Int64, boolean, string, and datetime64[us, UTC]; lists as objects.

    `pd.NA` is "not measured": the nullable types keep it apart from numbers, where float64 would make it NaN.

    Raises:
        MissingLibrary: pandas is not installed.
    """
    library = _library("pandas")
    kinds: dict[Any, str] = {
        int: "Int64", float: "Float64", str: "string", bool: "boolean", None: "string", datetime: "datetime64[us, UTC]"
    }  # fmt: skip
    series: Callable[..., Any] = library.Series

    def made(column: Column) -> Any:
        kind = "object" if get_origin(column.kind) is list else kinds[column.kind]
        return series(_values(rows, column), dtype=kind)

    return library.DataFrame({column.name: made(column) for column in columns_of(shape)})
