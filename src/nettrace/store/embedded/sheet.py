"""Rollups of closed days, 24 buckets of a series to a row of `sheet`: six hours of quarters, a day of hours, 24 days.

A month of hours is then 30 rows instead of 720, and a quarter of the room. A row's `id` is step, span of time and series, so
that spans of one time lie together: they are appended as days close and forgotten from the other end.

How a body is written stands in `packed`. A `READY` one has the usual answers of its buckets first (`ready`),
a `DENSE` one is a table (`dense`).
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from nettrace.analysis.sketches.quantile import Sketches
from nettrace.errors import StoreCorrupt
from nettrace.store.embedded import dense, ready, tally
from nettrace.store.embedded.database import RESTORE, Connection
from nettrace.store.embedded.first_sheet import decode_first
from nettrace.store.embedded.packed import (
    DENSE,
    FLAGS,
    HEADER,
    KINDS,
    LONG,
    NARROW,
    NOW,
    READY,
    WIDE,
    Sheet,
    alike_of,
    answered_of,
    edges_of,
    gaps_of,
    pack,
    pieces,
    runs_of,
    sizes_of,
    sketches_of,
    values_of,
)  # fmt: skip
from nettrace.store.embedded.tally import Tally

Ints = npt.NDArray[np.int64]

SPAN = 24
"""Buckets a sheet has room for."""

FEW = 20
"""A sheet is `NARROW` whose answered buckets hold no more values than this, on average: then most counts are 1 to 3.
It is not `READY`: there is little to decode, and answers would take more room than it."""

SUMMED_S = 86_400
"""Buckets so wide are asked for as sums, narrower ones one by one: those may be `DENSE`, these `READY`."""

_FETCH = (
    "SELECT sheet.id, body FROM json_each(?1) j CROSS JOIN json_each(?2) q CROSS JOIN sheet ON sheet.id = j.value + q.value "
    "UNION ALL SELECT -1, x'' WHERE EXISTS (SELECT 1 FROM json_each(?1) j CROSS JOIN rollup r "
    "ON r.series = j.value AND r.step = ?3 AND r.start >= ?4 AND r.start < ?5)"
)
_ONE = "SELECT id, body FROM sheet WHERE id"
_FEW = {
    places: wanted + " UNION ALL SELECT -1, x'' WHERE EXISTS "  # noqa: S608 - own words
    "(SELECT 1 FROM rollup WHERE series = ? AND step = ? AND start >= ? AND start < ?)"
    for places, wanted in {
        4: " UNION ALL ".join([f"{_ONE} = ?"] * 4),
        32: f"{_ONE} IN ({', '.join(['?'] * 32)})",
    }.items()
}
"""The same for one series and few spans of time: numbers that are given one by one cost half of what a list does."""

_SHORTEST_S = 900
_SPAN = np.arange(SPAN)
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
"""Of a byte its bits, as places."""


def sheet_id(step: int, start: int, series: int = 0) -> int:
    """The id of the sheet that holds a bucket of `step` s which begins at `start`, in s since 1970.

    >>> sheet_id(3600, 86_400 * 3, 7) - sheet_id(3600, 0) == (3 << 32) + 7
    True
    """
    return ((step // _SHORTEST_S << 24) + start // (step * SPAN) << 32) + series


def step_of(number: int) -> int:
    """The step of the sheet with this id.

    >>> step_of(sheet_id(3600, 86_400 * 3, 7))
    3600
    """
    return (number >> 56) * _SHORTEST_S


def is_old(body: bytes) -> bool:
    """True for a sheet that version 4 of the schema may have written, and that may have answers when it is written again."""
    return not int.from_bytes(body[:2], "little") & (NARROW | READY | DENSE)


def renewed(sheets: Sequence[Sheet], step: int) -> list[Sheet]:
    """The same buckets, written as sheets are now."""
    made = decode(sheets, step)
    return encode(made.merged(made.start), step)


def encode(made: Tally, step: int) -> list[Sheet]:
    """Buckets of `step` seconds, by (series, start), as sheets."""
    span = made.start // (step * SPAN)
    new = (np.diff(span, prepend=-1) != 0) | (np.diff(made.series, prepend=-1) != 0)
    first = np.flatnonzero(new)
    bounds = np.append(first, len(span))
    entries = np.bincount(made.sketches.owners, minlength=len(span)).astype(np.int64)
    runs, run_cuts, run_numbers = runs_of(made, new, bounds)
    gaps = gaps_of(made, new, entries)
    entry_bounds = np.concatenate(([0], np.cumsum(entries)))[bounds]
    answers = ready.ready(made)
    sheets: list[Sheet] = []
    for row, at in enumerate(first.tolist()):
        end, (begin, stop) = int(bounds[row + 1]), entry_bounds[row : row + 2].tolist()
        mask = int((1 << (made.start[at:end] // step % SPAN)).sum())
        number = sheet_id(step, int(made.start[at]), int(made.series[at]))
        table = dense.dense(made, slice(at, end), slice(begin, stop)) if step >= SUMMED_S else None
        if table is not None:
            sheets.append((number, _head(mask, end - at | NOW | DENSE) + table))
            continue
        counts = made.sketches.counts[begin:stop]
        narrow = int(counts.sum()) <= FEW * int((entries[at:end] > 0).sum())
        wide = int(entries[at:end].max()) > 255
        kind = NOW | WIDE * wide | NARROW * narrow
        packed = pack(gaps[begin:stop], counts - 1, narrow=narrow)
        sizes = entries[at:end].astype("<u2" if wide else "u1").tobytes()
        if step < SUMMED_S and not narrow and answers.fit[at:end].all():
            kind |= READY if answers.short[at:end].all() else READY | LONG
            before = answers.written(slice(at, end), long=bool(kind & LONG))
            head = _head(mask, end - at | kind, entries=stop - begin)
            sheets.append((number, head + before + sizes + packed))
            continue
        edges = edges_of(made, entries, slice(at, end), slice(begin, stop))
        alike = runs[run_cuts[row] : run_cuts[row + 1]]
        head = _head(mask, end - at | kind, run_numbers[row], len(alike), len(edges), stop - begin)
        sheets.append((number, head + sizes + alike + edges + packed))
    return sheets


def _head(mask: int, held: int, runs: int = 0, alike: int = 0, edges: int = 0, entries: int = 0) -> bytes:
    return np.array([held, runs, alike, edges, entries], "<u2").tobytes() + mask.to_bytes(3, "little")


def decode(sheets: Sequence[Sheet], step: int) -> Tally:
    """The buckets of some sheets of one step, sheet by sheet. Raises StoreCorrupt for bytes that `encode` did not write."""
    parts = decoded(sheets, step)
    both = tally.joined(parts)
    return both.merged(both.start) if len(parts) > 1 else both


def decoded(sheets: Sequence[Sheet], step: int, window: tuple[int, int] | None = None) -> list[Tally]:
    """The same, those of each kind by themselves: what some of them have ready needs no decoding of others.

    Of a `window` only the buckets that begin in it, in s.
    """
    if not sheets:
        return []
    try:
        kinds = [int.from_bytes(body[:2], "little") & KINDS for _, body in sheets]
        if kinds.count(kinds[0]) == len(kinds):
            return [_within(sheets, step, kinds[0], window)]
        return [
            _within(
                [each for each, its in zip(sheets, kinds, strict=True) if its == kind], step, kind, window
            )
            for kind in dict.fromkeys(kinds)
        ]
    except (ValueError, IndexError) as error:
        raise _damaged(step, error) from error


def _damaged(step: int, error: Exception) -> StoreCorrupt:
    return StoreCorrupt(f"a sheet of rollups of {step} s is damaged ({error})", RESTORE)


def _within(sheets: Sequence[Sheet], step: int, kind: int, window: tuple[int, int] | None) -> Tally:
    """The buckets of sheets of one kind that begin in the window."""
    if kind & DENSE:
        return dense.read(_rows(sheets, step, window))
    made = _decode(sheets, step, kind)
    if window is None:
        return made
    return made.kept((made.start >= window[0]) & (made.start < window[1]))


def _rows(sheets: Sequence[Sheet], step: int, window: tuple[int, int] | None) -> list[dense.Part]:
    """Of sheets that are tables the rows that begin in the window."""
    low, high = (0, 1 << 62) if window is None else (window[0] // step, window[1] // step)
    parts: list[dense.Part] = []
    for number, body in sheets:
        rows, begin = body[0], (number >> 32 & 0xFFFFFF) * SPAN
        mask = int.from_bytes(body[10:HEADER], "little")
        first = (mask & (1 << low - begin) - 1).bit_count() if low > begin else 0
        last = (mask & (1 << max(high - begin, 0)) - 1).bit_count() if high < begin + SPAN else rows
        parts.append((body, HEADER, rows, first, last))
    return parts


def _decode(sheets: Sequence[Sheet], step: int, kind: int) -> Tally:
    """The buckets of sheets of one kind."""
    if not kind & NOW:
        return decode_first(sheets, step)
    if kind & READY:
        return _ready(sheets, step, kind)
    sizes = sizes_of(sheets)
    held = sizes[:, 0] & ~FLAGS
    series, start = _places(sheets, step, held)
    sheet = np.arange(len(sheets)).repeat(held)
    entries, runs, edges, packed, rest = pieces(sheets, kind, sizes)
    there = answered_of(entries, sheet)
    sketches = sketches_of(entries, packed, rest, there, kind)
    low, high, total = values_of(edges, sizes[:, 3], there, sketches)
    return Tally._make([series, start, *alike_of(runs, len(sheet)), low, high, total, sketches])


def _places(sheets: Sequence[Sheet], step: int, held: Ints) -> tuple[Ints, Ints]:
    """Series and start of every bucket."""
    numbers = np.array([number for number, _ in sheets], np.int64)
    masks = b"".join([body[10:HEADER] for _, body in sheets])
    series, spans = numbers & 0xFFFFFFFF, numbers >> 32 & 0xFFFFFF
    if masks.count(0xFF) == len(masks):
        start = (spans[:, None] * SPAN + _SPAN).reshape(-1) * step
    else:
        place = _BITS[np.frombuffer(masks, np.uint8)].reshape(-1).nonzero()[0]
        # a place counts on from the sheet's row; its span from 1970
        start = ((spans - np.arange(len(sheets))).repeat(held) * SPAN + place) * step
    return series.repeat(held), start


def _ready(sheets: Sequence[Sheet], step: int, kind: int) -> Tally:
    """The buckets of sheets that have answers."""
    held = [body[0] for _, body in sheets]
    width = (ready.LONG if kind & LONG else ready.SHORT).itemsize
    ends = [HEADER + width * rows for rows in held]
    answers = b"".join([body[HEADER:end] for (_, body), end in zip(sheets, ends, strict=True)])
    entries = _Packed(sheets, step, kind)
    series, start = _places(sheets, step, np.array(held))
    made = ready.read(answers, entries, long=bool(kind & LONG))
    if len(made.low) != len(start):
        raise ValueError("it answers for other buckets than it has")
    return made._replace(series=series, start=start)


class _Packed:
    """A `Source` of sketches whose entries are in some sheets."""

    def __init__(self, sheets: Sequence[Sheet], step: int, kind: int) -> None:
        self._given = sheets, step, kind
        self._places: npt.NDArray[np.bool_] | None = None

    def load(self) -> Sketches:
        """See `Source.load`. Raises StoreCorrupt for bytes that `encode` did not write."""
        sheets, step, kind = self._given
        try:
            sizes = sizes_of(sheets)
            entries, _, _, packed, rest = pieces(sheets, kind, sizes)
            there = answered_of(entries, np.arange(len(sheets)).repeat(sizes[:, 0] & ~FLAGS))
            made = sketches_of(entries, packed, rest, there, kind)
        except (ValueError, IndexError) as error:
            raise _damaged(step, error) from error
        return made if self._places is None else made.kept(self._places)

    def added(self, groups: Ints, size: int) -> Ints | None:
        """See `Source.added`: it never is."""
        del groups, size

    def kept(self, places: npt.NDArray[np.bool_]) -> "_Packed":
        """See `Source.kept`."""
        made = _Packed(*self._given)
        if self._places is None:
            made._places = places
        else:
            made._places = self._places.copy()
            made._places[self._places] = places
        return made


def fetch(
    connection: Connection, series: Sequence[int], step: int, start: int, end: int
) -> tuple[list[Tally], bool]:
    """The buckets of these series that begin in [start, end), in s, as far as they are in sheets; as `decoded`.

    True when there are rows of `rollup` in this time too: one statement says both.
    """
    few = fetch_few(series[0], step, start, end) if len(series) == 1 else None
    if few is not None:
        found = list(connection.execute(*few))
    else:
        spans = _spans(step, start, end)
        asked = msgspec.json.encode(sorted(series)).decode(), msgspec.json.encode(list(spans)).decode()
        found = list(connection.execute(_FETCH, (*asked, step, start, end)))
    if more := bool(found) and found[-1][0] < 0:
        found.pop()
    return within(found, step, start, end), more


def fetch_few(series: int, step: int, start: int, end: int) -> tuple[str, tuple[int | None, ...]] | None:
    """A statement that gives the sheets of one series in [start, end), in s, and its bindings; None for a long time.

    A last row of id -1 says that there are rows of `rollup` in this time too; a caller may add "OR" and what else shall.
    """
    numbers = _spans(step, start, end, series)
    for places, statement in _FEW.items():
        if len(numbers) <= places:
            return statement, (*numbers, *(None,) * (places - len(numbers)), series, step, start, end)
    return None


def _spans(step: int, start: int, end: int, series: int = 0) -> range:
    """The sheets of a series in [start, end)."""
    first = sheet_id(step, start, series)
    return range(first, sheet_id(step, end - 1, series) + 1 if start < end else first, 1 << 32)


def within(sheets: Sequence[Sheet], step: int, start: int, end: int) -> list[Tally]:
    """As `decoded`, of the buckets that begin in [start, end), in s."""
    return decoded(sheets, step, _cut(step, start, end))


def _cut(step: int, start: int, end: int) -> tuple[int, int] | None:
    """The window to which sheets are cut, None for whole sheets."""
    return None if start % (step * SPAN) == 0 == end % (step * SPAN) else (start, end)


def total(sheets: Sequence[Sheet], step: int, start: int, end: int) -> tuple[dense.Total, int] | None:
    """The sum of one series in [start, end), in s, and of how many buckets; None where not all sheets are tables.

    Raises StoreCorrupt for bytes that `encode` did not write.
    """
    if not sheets or not all(int.from_bytes(body[:2], "little") & DENSE for _, body in sheets):
        return None
    parts = [each for each in _rows(sheets, step, _cut(step, start, end)) if each[3] < each[4]]
    if not parts:
        return None
    try:
        return dense.total(parts), sum(last - first for *_, first, last in parts)
    except (ValueError, IndexError) as error:
        raise _damaged(step, error) from error


def sound(sheets: Sequence[Sheet]) -> bool:
    """True for sheets that can be read, and whose answers are those of their sketches."""
    try:
        for step in {step_of(number) for number, _ in sheets}:
            for made in decoded([each for each in sheets if step_of(each[0]) == step], step):
                told, totals = made.sketches.quantiles(ready.FRACTIONS), made.sketches.totals()
                loaded = made.sketches.loaded()
                if (totals != loaded.totals()).any() or (told != loaded.quantiles(ready.FRACTIONS)).any():
                    return False
    except StoreCorrupt:
        return False
    return True


def put(connection: Connection, made: Tally, step: int) -> None:
    """Store buckets, beside what is in their sheets already and in place of those that were there."""
    sheets = encode(made, step)
    old = connection.execute(
        "SELECT sheet.id, body FROM json_each(?) j CROSS JOIN sheet ON sheet.id = j.value",
        (msgspec.json.encode([number for number, _ in sheets]).decode(),),
    )
    before = without(decode(list(old), step), made)
    if len(before.series):
        both = tally.joined([before, made])
        sheets = encode(both.merged(both.start), step)
    connection.executemany("REPLACE INTO sheet VALUES (?, ?)", sheets)


def without(made: Tally, other: Tally) -> Tally:
    """The buckets that the other does not have."""
    if not len(made.series) or not len(other.series):
        return made
    return made.kept(~np.isin(made.series << 32 | made.start, other.series << 32 | other.start))
