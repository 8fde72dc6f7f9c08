"""Rows of `round` and the rounds they stand for; the ids by which rounds are asked for."""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import NamedTuple

from nettrace.errors import NotFound
from nettrace.model.instant import Instant
from nettrace.model.target import Series
from nettrace.store.embedded.samples import unpack, unpack_stages
from nettrace.store.embedded.schema import CLOCKS, OUTCOMES, REASONS, begun_at, stored_at
from nettrace.store.rows import Round


class Row(NamedTuple):
    """One row of `round`, in the order of `schema.ROUND_COLUMNS`."""

    series: int
    due: Instant
    begun: int
    stored: int
    outcome: int
    reason: int | None
    address: int | None
    sent: int
    received: int
    not_measured: int
    rtt_ns: int | None
    min_ns: int | None
    max_ns: int | None
    error_ns: int | None
    grade: str | None
    samples: bytes | None
    stages: bytes | None
    status: int | None
    tls: str | None
    route: int | None
    hop_count: int | None
    clock: int | None
    request: str | None


class Names:
    """What the numbers in rows stand for, each looked up when it is first met.

    Arguments are what asks the database: text of an address, name of a route, series, each by number.
    """

    def __init__(
        self,
        address: Callable[[int], str],
        route: Callable[[int], str],
        series: Callable[[int], Series],
    ) -> None:
        self._ask = (address, route, series)
        self._addresses: dict[int | None, str | None] = {None: None}
        self._routes: dict[int | None, str | None] = {None: None}
        self._series: dict[int, Series] = {}

    def address(self, number: int | None) -> str | None:
        """The address as text."""
        if number is not None and number not in self._addresses:
            self._addresses[number] = self._ask[0](number)
        return self._addresses[number]

    def route(self, number: int | None) -> str | None:
        """The route's name, `rt_...`."""
        if number is not None and number not in self._routes:
            self._routes[number] = self._ask[1](number)
        return self._routes[number]

    def series(self, number: int) -> Series:
        """The series."""
        found = self._series.get(number)
        if found is None:
            found = self._series[number] = self._ask[2](number)
        return found


def rounds(rows: Iterable[tuple[object, ...] | Row], names: Names) -> list[Round]:
    """The rounds that rows stand for."""
    return [round_of(Row(*row), names) for row in rows]  # type: ignore[arg-type]


def round_of(row: Row, names: Names) -> Round:
    """The round that a row stands for."""
    return Round(
        id=round_id(row.series, row.due),
        series=names.series(row.series),
        due=row.due,
        at=begun_at(row.due, row.begun),
        outcome=OUTCOMES[row.outcome],
        reason=None if row.reason is None else REASONS[row.reason],
        address=names.address(row.address),
        sent=row.sent,
        received=row.received,
        not_measured=row.not_measured,
        rtt_ns=row.rtt_ns,
        min_ns=row.min_ns,
        max_ns=row.max_ns,
        error_ns=row.error_ns,
        grade=row.grade,
        samples_ns=unpack(row.samples, row.rtt_ns),
        stages_ns=unpack_stages(row.stages),
        status=row.status,
        tls_version=row.tls,
        route=names.route(row.route),
        hop_count=row.hop_count,
        clock=None if row.clock is None else CLOCKS[row.clock],
        request=row.request,
        stored_at=stored_at(row.due, row.stored),
    )


def round_id(series: int, due: Instant) -> str:
    """The id of a round: series, due and a check, so that a mistyped one is told from an unknown one.

    >>> round_id(7, 1_767_225_600_000_000_000)
    'ms_aaaaabyyqzzfd3p2aaahawi'
    """
    plain = series.to_bytes(4) + due.to_bytes(8)
    return (
        "ms_" + base64.b32encode(plain + binascii.crc_hqx(plain, 0).to_bytes(2)).decode().rstrip("=").lower()
    )


def parse_round_id(text: str) -> tuple[int, Instant]:
    """Series and due of an id. Raises NotFound for anything that is not one.

    >>> parse_round_id(round_id(7, 1_767_225_600_000_000_000))
    (7, 1767225600000000000)
    """
    try:
        raw = base64.b32decode(text.removeprefix("ms_").upper() + "=")
    except (binascii.Error, ValueError):
        raw = b""
    if (
        len(raw) != 14
        or binascii.crc_hqx(raw[:12], 0) != int.from_bytes(raw[12:])
        or not text.startswith("ms_")
    ):
        raise NotFound(f"'{text[:60]}' is not the id of a round", "Take it from an answer's `id`")
    return int.from_bytes(raw[:4]), int.from_bytes(raw[4:12])
