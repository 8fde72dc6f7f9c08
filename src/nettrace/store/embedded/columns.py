"""Rows of `round` and of sealed days as the columns of rounds: only those asked for, each made for all rows at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nettrace.model.instant import NS_PER_MS
from nettrace.model.measurement import Outcome, Reason
from nettrace.model.target import Series
from nettrace.store.embedded.arrow import Table, pa
from nettrace.store.embedded.rounds import Names, round_ids
from nettrace.store.embedded.samples import (
    LOST,
    extremes,
    tuples_of,
    unpack_hints,
    unpack_many,
    unpack_stages,
)
from nettrace.store.embedded.schema import CLOCKS, NS_PER_US, OUTCOMES, REASONS, STAGES
from nettrace.store.embedded.segments import whole
from nettrace.store.rows import RawColumns

T = TypeVar("T")
V = TypeVar("V")
Ints = npt.NDArray[np.int64]
Made = dict[str, list[Any]]
"""Columns by the name of their field."""

_KEY = ("series", "due")
_HOT = {
    "id": (), "at": ("begun",), "samples_ns": ("samples", "rtt_ns"), "min_ns": ("min_ns", "samples", "rtt_ns"),
    "max_ns": ("max_ns", "samples", "rtt_ns"), "stages_ns": ("stages",), "tls_version": ("tls",),
    "stored_at": ("stored",), "server_hints": ("hints",),
}  # fmt: skip
_SEALED = {
    "id": (), "at": ("begun_at",), "samples_ns": ("samples_ns", "rtt_ns"), "min_ns": ("samples_ns", "rtt_ns"),
    "max_ns": ("samples_ns", "rtt_ns"), "stages_ns": tuple(f"{name}_ns" for name in STAGES),
}  # fmt: skip
"""What of a row each field is made from; the others bear their field's name."""
_REASONS: dict[int | None, Reason | None] = {None: None, **dict(enumerate(REASONS))}
_CLOCKS: dict[int | None, str | None] = {None: None, **dict(enumerate(CLOCKS))}


def hot_columns(fields: Sequence[str]) -> tuple[str, ...]:
    """The columns of `round` that these fields are made from; the first two are `series` and `due`."""
    return _distinct(fields, _HOT)


def sealed_columns(fields: Sequence[str]) -> tuple[str, ...]:
    """The columns of a sealed day that these fields are made from, with `series` and `due`."""
    return _distinct(fields, _SEALED)


def _distinct(fields: Sequence[str], sources: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*_KEY, *(name for each in fields for name in sources.get(each, (each,)))]))


def of_hot(held: Mapping[str, Sequence[Any]], fields: Sequence[str], names: Names) -> Made:
    """Hot rows, with `hot_columns(fields)`, as columns."""
    return {field: _hot(field, held, names) for field in dict.fromkeys((*_KEY, *fields))}


def _hot(field: str, held: Mapping[str, Sequence[Any]], names: Names) -> list[Any]:
    match field:
        case "id":
            return round_ids(held["series"], held["due"])
        case "series":
            return _looked(held["series"], names.series)
        case "at":
            return [
                (due // NS_PER_US + begun) * NS_PER_US
                for due, begun in zip(held["due"], held["begun"], strict=True)
            ]
        case "stored_at":
            return [
                (due // NS_PER_MS + stored) * NS_PER_MS
                for due, stored in zip(held["due"], held["stored"], strict=True)
            ]
        case "outcome":
            return _looked(held["outcome"], OUTCOMES.__getitem__)
        case "reason":
            return _looked(held["reason"], _REASONS.__getitem__)
        case "clock":
            return _looked(held["clock"], _CLOCKS.__getitem__)
        case "address":
            return _looked(held["address"], names.address)
        case "route":
            return _looked(held["route"], names.route)
        case "samples_ns":
            return tuples_of(*unpack_many(held["samples"], held["rtt_ns"]))
        case "min_ns" | "max_ns":
            return _extremes(held, field)
        case "stages_ns":
            return [{} if blob is None else unpack_stages(blob) for blob in held["stages"]]
        case "tls_version":
            return _listed(held["tls"])
        case "server_hints":
            return list(map(unpack_hints, held["hints"]))
        case _:
            return _listed(held[field])


def _extremes(held: Mapping[str, Sequence[Any]], field: str) -> list[int | None]:
    """Smallest or largest sample of hot rows: the one beside the samples, else (`samples.beside`) that of the samples."""
    values, counts = unpack_many(held["samples"], held["rtt_ns"])
    owners = np.repeat(np.arange(len(counts)), counts)
    found = _or_none(extremes(values, owners, len(counts))[0 if field == "min_ns" else 1])
    return [own if kept is None else kept for kept, own in zip(held[field], found, strict=True)]


def _listed(values: Sequence[T]) -> list[T]:
    return values if isinstance(values, list) else list(values)


def _looked(values: Sequence[V], ask: Callable[[V], T]) -> list[T]:
    """What each value stands for; each different one is asked for once."""
    known = {value: ask(value) for value in set(values)}
    if len(known) == 1:
        return [*known.values()] * len(values)
    return [known[value] for value in values]


def of_table(table: Table, fields: Sequence[str], series: Mapping[int, Series]) -> Made:
    """A sealed day's rows, with `sealed_columns(fields)`, as columns."""
    made: Made = {
        "series": _looked(whole(table, "series").tolist(), series.__getitem__),
        "due": whole(table, "due").tolist(),
    }
    if "samples_ns" in table.column_names and table.num_rows:
        made |= _samples(table, fields)
    return made | {field: _sealed(field, table) for field in fields if field not in made}


def _sealed(field: str, table: Table) -> list[Any]:
    match field:
        case "id":
            return round_ids(whole(table, "series").tolist(), whole(table, "due").tolist())
        case "at":
            return (whole(table, "begun_at") * NS_PER_US).tolist()
        case "stored_at":
            return (whole(table, "stored_at") * NS_PER_MS).tolist()
        case "outcome":
            return _looked(_words(table, field), lambda word: Outcome(str(word)))
        case "reason":
            return _looked(_words(table, field), lambda word: None if word is None else Reason(word))
        case "stages_ns":
            return _stages(table)
        case "server_hints":
            return list(map(unpack_hints, _words(table, field)))
        case "grade" | "address" | "tls_version" | "route" | "clock" | "request":
            return _words(table, field)
        case "samples_ns" | "min_ns" | "max_ns":
            return []
        case _:
            return _numbers(table, field)


def _samples(table: Table, fields: Sequence[str]) -> Made:
    """What is made from samples: themselves, and the smallest and largest answered one."""
    rtt = whole(table, "rtt_ns", LOST)
    column = table.column("samples_ns").combine_chunks()
    if column.null_count == len(column):
        values, sizes = rtt, np.ones(len(rtt), np.int64)
        low = high = rtt
    else:
        alone = np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)
        listed = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        sizes = np.where(alone, 1, listed)
        owners = np.repeat(np.arange(len(rtt)), sizes)
        values = np.where(alone[owners], rtt[owners], LOST)
        values[~alone[owners]] = (
            column.flatten().fill_null(LOST).to_numpy(zero_copy_only=False).astype(np.int64)
        )
        low, high = extremes(values, owners, len(rtt))
    made: Made = {}
    if "samples_ns" in fields:
        made["samples_ns"] = tuples_of(values, sizes)
    return made | {
        name: _or_none(each) for name, each in (("min_ns", low), ("max_ns", high)) if name in fields
    }


def _stages(table: Table) -> list[dict[str, int]]:
    found: list[dict[str, int]] = [{} for _ in range(table.num_rows)]
    for name in STAGES:
        durations = whole(table, f"{name}_ns")
        for place in np.flatnonzero(durations >= 0).tolist():
            found[place][name] = int(durations[place])
    return found


def _words(table: Table, name: str) -> list[str | None]:
    column = table.column(name)
    if column.null_count == table.num_rows:
        return [None] * table.num_rows
    whole_of = column.unify_dictionaries().combine_chunks()
    words: list[str | None] = [*whole_of.dictionary.to_pylist(), None]  # -1 is the last: None
    places = whole_of.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return [words[place] for place in places.tolist()]


def _numbers(table: Table, name: str) -> list[int | None]:
    column = table.column(name)
    if column.null_count == table.num_rows:
        return [None] * table.num_rows
    return whole(table, name).tolist() if not column.null_count else _or_none(whole(table, name, LOST))


def _or_none(values: Ints) -> list[int | None]:
    """None for what is not there."""
    found: list[int | None] = values.tolist()
    for place in np.flatnonzero(values == LOST).tolist():
        found[place] = None
    return found


def joined(parts: Sequence[Made], fields: Sequence[str]) -> RawColumns:
    """Columns one behind the other."""
    if len(parts) == 1:
        return RawColumns(**parts[0])
    return RawColumns(
        **{
            field: [each for part in parts for each in part[field]]
            for field in dict.fromkeys((*_KEY, *fields))
        }
    )


def ordered(made: Made, places: Sequence[int]) -> Made:
    """The columns' entries at these places."""
    return {field: [column[place] for place in places] for field, column in made.items()}


def taken(table: Table, places: Ints) -> Table:
    """The table's rows at these places."""
    if len(places) == table.num_rows and (np.diff(places, prepend=-1) == 1).all():
        return table
    return table.take(pa.array(places))
