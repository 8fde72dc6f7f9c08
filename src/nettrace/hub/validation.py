"""Expectations held against the store: which vantages stand where one was meant from, and what they measured."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nettrace.analysis.expectation import Expectation, Observed, Validation, validate
from nettrace.analysis.geo.floor import floor_between
from nettrace.analysis.geo.sphere import between_km
from nettrace.errors import ConfigError
from nettrace.hub.floors import vantage_place
from nettrace.model.instant import ms
from nettrace.model.path import Place
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.runtime.named_file import read_text
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Summary, Window

NEAR_KM = 100.0
"""A vantage this near to a place stands for it: 1 ms of fibre, both ways."""

BUILT_IN = Path(__file__).parent.parent / "catalogue" / "expectations.toml"
_RTT = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP)

FindPlace = Callable[[str], Place | None]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    expectation: tuple[Expectation, ...]


class Judged(msgspec.Struct, frozen=True):
    """A verdict, and whose measurements it rests on (None: no vantage stands there)."""

    validation: Validation
    vantage: str | None


def read_expectations(path: Path | None) -> tuple[Expectation, ...]:
    """The expectations of a file, or the built-in ones.

    Raises:
        ConfigError: it cannot be read or is not what it should be.
    """
    file = path or BUILT_IN
    text = read_text(file)
    try:
        return msgspec.convert(tomllib.loads(text), _File, strict=False).expectation
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file}: {error}", "See docs/guides/validate.md for the form") from error


def validate_all(
    reader: StoreReader,
    expectations: Sequence[Expectation],
    window: Window,
    find: FindPlace,
    vantage: str | None,
) -> list[Judged]:
    """Every expectation, judged by each vantage it is meant from; one without any such vantage has no data."""
    vantages = [row.vantage for row in reader.nodes()]
    judged: list[Judged] = []
    for expectation in expectations:
        meant = [each for each in vantages if _meant(each, expectation, find, vantage)]
        origin = find(expectation.vantage) if expectation.vantage else None
        target = find(expectation.stands) if expectation.stands else None
        for each in meant or [None]:
            place = (vantage_place(each) if each else None) or origin
            floor = floor_between(place, target).vacuum_ns if place and target else None
            seen = _observed(reader, expectation.target, each.code, window) if each else Observed()
            judged.append(Judged(validate(expectation, seen, floor), each.code if each else None))
    return judged


def validation_document(judged: Judged) -> dict[str, Any]:
    """`nettrace.validation/1`."""
    said, wanted, seen = judged.validation, judged.validation.expectation, judged.validation.observed
    return {
        "schema": "nettrace.validation/1", "target": wanted.target, "vantage": judged.vantage or wanted.vantage,
        "verdict": said.verdict, "why": said.why, "expected_low_ms": wanted.low_ms, "expected_high_ms": wanted.high_ms,
        "expected_from": wanted.vantage, "said_to_stand": wanted.stands, "expectation_impossible": said.expectation_impossible,
        "floor_ms": ms(said.floor_ns), "min_ms": ms(seen.min_ns), "p50_ms": ms(seen.p50_ns),
        "first_byte_min_ms": ms(seen.first_byte_min_ns), "rounds": seen.rounds, "failed": seen.failed,
        "measured_by": judged.vantage, "source": wanted.source,
    }  # fmt: skip


def _meant(vantage: Vantage, expectation: Expectation, find: FindPlace, only: str | None) -> bool:
    if only is not None:
        return vantage.code == only
    if vantage.third_party:  # a stranger's one look: judged by only where it is named
        return vantage.code == expectation.vantage
    if expectation.vantage is None or vantage.code.lower() == expectation.vantage.lower():
        return True
    origin, place = find(expectation.vantage), vantage_place(vantage)
    return origin is not None and place is not None and between_km(origin, place) <= NEAR_KM


def _observed(reader: StoreReader, target: str, vantage: str, window: Window) -> Observed:
    """The pair's fastest way in, and the fastest first byte of any request."""
    found = reader.summary(Choice(targets=(target,), vantages=(vantage,)), window)
    rtt = [each for each in found if each.series.method in _RTT]
    best = min((each for each in rtt if each.min_ns is not None), key=_least, default=None)
    http = [
        each.min_ns for each in found if each.series.method is RoundMethod.HTTP and each.min_ns is not None
    ]
    return Observed(
        min_ns=best.min_ns if best else None,
        p50_ns=best.quantiles_ns["p50"] if best else None,
        first_byte_min_ns=min(http, default=None),
        rounds=sum(each.rounds for each in rtt),
        failed=sum(each.failed for each in rtt),
    )


def _least(summary: Summary) -> int:
    return summary.min_ns or 0
