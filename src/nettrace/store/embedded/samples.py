"""A round's samples, stages and hints as a few bytes.

One variable-length number a sample (7 bits a byte, low ones first, as in LEB128): 0 is a lost probe, else one more
than the zigzag of its distance from the round's `rtt_ns`. That is the median of the samples, so one of them takes
one byte and the others what their jitter needs. Stages are one more than their duration, 0 for "did not happen".
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from nettrace.errors import StoreCorrupt
from nettrace.store.embedded.schema import STAGES

LOST = -(2**63)
"""A lost probe in arrays of samples. No delay is it; a one-way delay by two clocks may be below 0."""

_UNREACHED = 2**62
_hints = msgspec.json.Decoder(dict[str, str])


def pack(samples: Sequence[int | None], rtt_ns: int | None) -> bytes | None:
    """The samples in ns as bytes; None without any.

    >>> pack((10_000, 10_250, None), 10_000).hex()
    '01f50300'
    """
    if not samples:
        return None
    centre = rtt_ns or 0
    out = bytearray()
    for sample in samples:
        if sample is None:
            out.append(0)
            continue
        off = sample - centre
        number = (off << 1) + 1 if off >= 0 else -off << 1
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
    return bytes(out)


def unpack(blob: bytes | None, rtt_ns: int | None) -> tuple[int | None, ...]:
    """The samples in ns, None for a lost one. Raises StoreCorrupt for bytes that end within a number.

    >>> unpack(bytes.fromhex("01f50300"), 10_000)
    (10000, 10250, None)
    """
    if not blob:
        return ()
    centre = rtt_ns or 0
    return tuple(
        None if number == 0 else centre + (number >> 1 if number & 1 else -(number >> 1))
        for number in _numbers(blob)
    )


def beside(low: int | None, high: int | None) -> tuple[int | None, int | None]:
    """Smallest and largest as they are kept beside a round's samples: not at all, for the samples tell them.

    Negative ones are kept, as folders of earlier versions have them.

    >>> beside(10_000, 12_000), beside(-5, 12_000)
    ((None, None), (-5, 12000))
    """
    return (None, None) if low is None or low >= 0 else (low, high)


def extremes(values: NDArray[np.int64], owners: NDArray[np.int64], rounds: int) -> NDArray[np.int64]:
    """Smallest and largest answered sample of each round, `LOST` where none was answered; `owners` is the round of each.

    >>> low, high = extremes(np.array([7, LOST, -9, LOST]), np.array([0, 0, 0, 1]), 2)
    >>> low.tolist() == [-9, LOST], high.tolist() == [7, LOST]
    (True, True)
    """
    answered = values != LOST
    low, high = np.full(rounds, _UNREACHED), np.full(rounds, LOST)
    np.minimum.at(low, owners[answered], values[answered])
    np.maximum.at(high, owners[answered], values[answered])
    return np.stack((np.where(high == LOST, LOST, low), high))


def unpack_many(
    blobs: Sequence[bytes | None], rtts_ns: Iterable[int | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All samples of many rounds in a row, `LOST` for a lost one, and how many each round has."""
    centre = np.fromiter((rtt or 0 for rtt in rtts_ns), np.int64, len(blobs))
    numbers, counts = _numbers_of(blobs)
    off = np.where(numbers & 1, numbers >> 1, -(numbers >> 1))
    return np.where(numbers == 0, LOST, np.repeat(centre, counts) + off), counts


def _numbers_of(blobs: Sequence[bytes | None]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All numbers of many blobs in a row, and how many each has."""
    sizes = np.fromiter((len(blob) if blob else 0 for blob in blobs), np.int64, len(blobs))
    data = np.frombuffer(b"".join(blob for blob in blobs if blob), np.uint8)
    last = data < 128
    if len(data) and not last[-1]:
        raise StoreCorrupt("samples that end within a number", "nettrace store check says where")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    place = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((data & 127).astype(np.int64) << (7 * place), starts) if len(ends) else ends
    before = np.concatenate(([0], np.cumsum(last)))
    limits = np.concatenate(([0], np.cumsum(sizes)))
    return numbers, before[limits[1:]] - before[limits[:-1]]


def tuples_of(values: NDArray[np.int64], counts: NDArray[np.int64]) -> list[tuple[int | None, ...]]:
    """The samples of `unpack_many` round by round, None for a lost one.

    >>> tuples_of(np.array([10_000, LOST, -7]), np.array([2, 0, 1]))
    [(10000, None), (), (-7,)]
    """
    flat: list[int | None] = values.tolist()
    for place in np.flatnonzero(values == LOST).tolist():
        flat[place] = None
    if len(counts) == len(flat) and (counts == 1).all():
        return list(zip(flat, strict=True))
    ends = np.cumsum(counts)
    starts = ends - counts
    return [tuple(flat[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def pack_stages(stages_ns: Mapping[str, int]) -> bytes | None:
    """The stages as bytes; None without any."""
    if not stages_ns:
        return None
    out = bytearray()
    for name in STAGES:
        duration = stages_ns.get(name)
        number = 0 if duration is None else duration + 1
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
    return bytes(out)


def unpack_stages(blob: bytes | None) -> dict[str, int]:
    """The stages in ns by name, those that happened.

    >>> unpack_stages(pack_stages({"tls": 9_000_000, "total": 20_000_000}))
    {'tls': 9000000, 'total': 20000000}
    """
    if not blob:
        return {}
    return {name: number - 1 for name, number in zip(STAGES, _numbers(blob), strict=False) if number}


def pack_hints(hints: Mapping[str, str]) -> str | None:
    """What an answer said of its server, as JSON text; None for nothing."""
    return msgspec.json.encode(hints, order="sorted").decode() if hints else None


def unpack_hints(text: str | None) -> dict[str, str]:
    """The hints by header.

    >>> unpack_hints(pack_hints({"via": "1.1 edge"}))
    {'via': '1.1 edge'}
    """
    return {} if text is None else _hints.decode(text)


def _numbers(blob: bytes) -> list[int]:
    found: list[int] = []
    number = shift = 0
    for byte in blob:
        number |= (byte & 127) << shift
        if byte < 128:
            found.append(number)
            number = shift = 0
        else:
            shift += 7
    if shift:
        raise StoreCorrupt("samples that end within a number", "nettrace store check says where")
    return found
