"""Rows as tables: CSV, Parquet, Arrow. Column names are the JSON's, nested ones joined by `_`; units are in the names."""

import io
from functools import cache
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec

Kind = Any
"""An Arrow type; pyarrow carries no annotations. It is imported when the first table is asked for: it is large."""


@cache
def arrow() -> Any:
    """Pyarrow with the parts that are used here."""
    for part in ("csv", "parquet"):
        import_module(f"pyarrow.{part}")
    return import_module("pyarrow")


def _simple(kind: Any) -> Kind | None:
    pa = arrow()
    kinds: dict[Any, Kind] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return kinds.get(kind)


@cache
def row_shape(answer: Any) -> type[msgspec.Struct]:
    """The struct of an answer's `data` rows."""
    shape = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(answer))
    data = next(field.type for field in shape.fields if field.name == "data")
    rows = cast("msgspec.inspect.StructType", cast("msgspec.inspect.ListType", data).item_type)
    return cast("type[msgspec.Struct]", get_origin(rows.cls) or rows.cls)


def encoded(rows: list[msgspec.Struct], shape: type[msgspec.Struct], form: str) -> bytes:
    """The rows in a form: `csv`, `parquet` or `arrow` (the IPC stream)."""
    pa = arrow()
    found = table(rows, shape, flat=form == "csv")
    sink = io.BytesIO()
    if form == "csv":
        pa.csv.write_csv(found, sink)
    elif form == "parquet":
        pa.parquet.write_table(found, sink, compression="zstd")
    else:
        with pa.ipc.new_stream(sink, found.schema) as stream:
            stream.write_table(found)
    return sink.getvalue()


def table(rows: list[msgspec.Struct], shape: type[msgspec.Struct], *, flat: bool) -> Any:
    """The rows as an Arrow table; the columns are the same whatever the rows hold, with none at all too.

    With `flat`, lists become JSON text, for CSV.
    """
    columns = _columns(shape)
    plain = msgspec.json.decode(msgspec.json.encode(rows))  # documents inside rows become plain values too
    pa = arrow()
    arrays: list[Any] = []
    fields: list[Any] = []
    for name, path, kind in columns:
        values = [_at(row, path) for row in plain]
        made = kind
        if made is None or (flat and pa.types.is_nested(made)):
            values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
            made = pa.string()
        arrays.append(pa.array(values, made))
        fields.append(pa.field(name, made, metadata=_unit(name)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _columns(
    shape: type[msgspec.Struct], before: tuple[str, ...] = ()
) -> list[tuple[str, tuple[str, ...], Kind]]:
    found: list[tuple[str, tuple[str, ...], Kind]] = []
    hints = get_type_hints(shape)
    for field in msgspec.structs.fields(shape):
        kind = _without_none(hints[field.name])
        path = (*before, field.encode_name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            found += _columns(kind, path)
        else:
            found.append(("_".join(path), path, _type_of(kind)))
    return found


def _type_of(kind: Any) -> Kind | None:
    """The column type; None for what is written as JSON text."""
    if get_origin(kind) in {tuple, list}:
        inner = _simple(_without_none(get_args(kind)[0]))
        return None if inner is None else arrow().list_(inner)
    if isinstance(kind, type) and issubclass(kind, str):
        return _simple(str)
    return _simple(kind)


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in {Union, UnionType}:
        parts = [part for part in get_args(kind) if part is not NoneType]
        return parts[0] if len(parts) == 1 else kind
    return kind


def _at(row: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if row is None:
            return None
        row = row.get(name)
    return row


def _unit(name: str) -> dict[str, str] | None:
    for ending, unit in (("_ms", "ms"), ("_ns", "ns"), ("_s", "s"), ("_bytes", "bytes")):
        if name.endswith(ending):
            return {"unit": unit}
    return None


def zstd(body: bytes) -> bytes:
    """The bytes as one Zstandard frame (RFC 8878)."""
    return arrow().compress(body, codec="zstd", asbytes=True)
