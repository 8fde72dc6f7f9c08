"""Rows of `round` and the rounds they stand for; the ids by which rounds are asked for."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nettrace.errors import NotFound
from nettrace.model.instant import Instant
from nettrace.model.target import Series
from nettrace.store.embedded.samples import unpack, unpack_hints, unpack_stages
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
    hints: str | None = None


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


def round_of(row: Row, names: Names) -> Round:
    """The round that a row stands for."""
    samples = unpack(row.samples, row.rtt_ns)
    known = [each for each in samples if each is not None]
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
        min_ns=min(known, default=None) if row.min_ns is None else row.min_ns,
        max_ns=max(known, default=None) if row.max_ns is None else row.max_ns,
        error_ns=row.error_ns,
        grade=row.grade,
        samples_ns=samples,
        stages_ns=unpack_stages(row.stages),
        status=row.status,
        tls_version=row.tls,
        route=names.route(row.route),
        hop_count=row.hop_count,
        clock=None if row.clock is None else CLOCKS[row.clock],
        request=row.request,
        server_hints=unpack_hints(row.hints),
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


_CHECKS = np.array([binascii.crc_hqx(bytes([each]), 0) for each in range(256)], np.uint32)
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", np.uint8)
_BYTES = 12
_LENGTH = 26


def round_ids(series: Sequence[int], due: Sequence[Instant]) -> list[str]:
    """`round_id` of many, all at once.

    >>> round_ids([7], [1_767_225_600_000_000_000]) == [round_id(7, 1_767_225_600_000_000_000)]
    True
    """
    plain = np.empty((len(due), _BYTES), np.uint8)
    plain[:, :4] = np.array(series, ">u4").view(np.uint8).reshape(-1, 4)
    plain[:, 4:] = np.array(due, ">u8").view(np.uint8).reshape(-1, 8)
    check = np.zeros(len(due), np.uint32)
    for column in range(_BYTES):
        check = (check << 8 & 0xFFFF) ^ _CHECKS[check >> 8 ^ plain[:, column]]
    high = plain[:, :8].copy().view(">u8").ravel().astype(np.uint64)
    low = plain[:, 8:].copy().view(">u4").ravel().astype(np.uint64) << np.uint64(19) | check.astype(
        np.uint64
    ) << np.uint64(3)
    text = np.empty((len(due), _LENGTH), np.uint8)
    text[:, :3] = np.frombuffer(b"ms_", np.uint8)
    for place in range(12):  # five bits a letter: twelve from the first 64 bits
        text[:, 3 + place] = _LETTERS[high >> np.uint64(59 - 5 * place) & np.uint64(31)]
    across = (high & np.uint64(15)) << np.uint64(1) | low >> np.uint64(50)
    text[:, 15] = _LETTERS[across]
    for place in range(10):  # ten from the other 48, and three bits of nothing
        text[:, 16 + place] = _LETTERS[low >> np.uint64(45 - 5 * place) & np.uint64(31)]
    whole = text.tobytes().decode("ascii")
    return [whole[start : start + _LENGTH] for start in range(0, len(whole), _LENGTH)]


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
