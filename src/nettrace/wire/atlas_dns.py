"""RIPE Atlas dns results as `DnsLookup`: the answer's bytes, not Atlas' digest of them, say what was answered."""

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any

import msgspec

from nettrace.errors import PacketError, SourceError
from nettrace.measure.packets.dns import TYPES, DnsAnswer, parse_answer
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Clock, DnsLookup, Measurement, Outcome, Reason, Sample
from nettrace.wire.atlas_result import (
    LATEST_SECOND,
    LOST,
    UNKNOWN,
    Head,
    Milliseconds,
    address,
    answered,
    kept,
    meaning,
    read,
    read_entry,
    unsent,
)

_TYPE_NAMES = {number: name for name, number in TYPES.items()}


class _DnsResult(msgspec.Struct, kw_only=True):
    rt: Milliseconds | None = None
    abuf: str | None = None
    answers: list[dict[str, Any]] = []


class _DnsEntry(msgspec.Struct, kw_only=True):
    dst_addr: str | None = None
    dst_name: str | None = None
    name: str | None = None
    time: int | None = None
    qbuf: str | None = None
    result: _DnsResult | None = None
    error: Any = None


class _Dns(Head, kw_only=True):
    resultset: list[dict[str, Any]] | None = None


def dns(row: dict[str, Any]) -> list[Measurement | SourceError]:
    """One lookup for every server that was asked."""
    result = read(row, _Dns)
    entries = [
        read_entry(raw, _DnsEntry) for raw in (result.resultset if result.resultset is not None else [row])
    ]
    answers = [_parsed(entry) if isinstance(entry, _DnsEntry) else None for entry in entries]
    pairs = list(zip(entries, answers, strict=True))
    questions = (_question(entry, answer) for entry, answer in pairs if isinstance(entry, _DnsEntry))
    asked = next((question for question in questions if question), (UNKNOWN, UNKNOWN))
    return [
        entry if isinstance(entry, SourceError) else kept(_lookup, result, entry, answer, asked)
        for entry, answer in pairs
    ]


def _parsed(entry: _DnsEntry) -> DnsAnswer | str | None:
    """The answer, or why its bytes could not be read, or None when there are none."""
    if entry.result is None or entry.result.abuf is None:
        return None
    try:
        return parse_answer(b64decode(entry.result.abuf, validate=True))
    except (PacketError, Base64Error, ValueError) as problem:
        return f"the answer cannot be read: {problem}"


def _question(entry: _DnsEntry, answer: DnsAnswer | str | None) -> tuple[str, str] | None:
    """(name, type) from the answer, else from the question's own bytes."""
    if not isinstance(answer, DnsAnswer) and entry.qbuf:
        try:
            raw = bytearray(b64decode(entry.qbuf, validate=True))
            raw[2:3] = bytes((raw[2] | 0x80,))
            answer = parse_answer(bytes(raw))
        except (PacketError, Base64Error, ValueError, IndexError):
            return None
    if not isinstance(answer, DnsAnswer) or answer.question is None:
        return None
    name, kind = answer.question
    return name or ".", _TYPE_NAMES.get(kind, f"TYPE{kind}")


def _lookup(
    result: _Dns, entry: _DnsEntry, answer: DnsAnswer | str | None, asked: tuple[str, str]
) -> DnsLookup:
    name, kind = _question(entry, answer) or asked
    outcome, reason, detail = _dns_verdict(entry, answer)
    records = answer.records if isinstance(answer, DnsAnswer) else ()
    return DnsLookup(
        vantage=result.vantage,
        target=name,
        address=address(entry.dst_addr),
        at=_moment(entry.time, result),
        outcome=outcome,
        reason=reason,
        detail=detail,
        question_type=kind,
        rcode=answer.rcode if isinstance(answer, DnsAnswer) else None,
        answers=records,
        sample=_dns_sample(entry),
        clock=Clock.USER,
    )


def _dns_sample(entry: _DnsEntry) -> Sample | None:
    if entry.result is not None and entry.result.rt is not None:
        return answered(entry.result.rt)
    if entry.error is None:
        return None
    outcome, _ = meaning(_words(entry.error))
    return LOST if outcome is Outcome.FAILED else unsent(_words(entry.error))


def _dns_verdict(
    entry: _DnsEntry, answer: DnsAnswer | str | None
) -> tuple[Outcome, Reason | None, str | None]:
    if entry.result is None:
        if entry.error is None:
            raise SourceError("neither an answer nor an error is in the result")
        return *meaning(_words(entry.error)), _words(entry.error)
    if isinstance(answer, str):
        return Outcome.FAILED, Reason.DNS, answer
    if answer is None:
        return Outcome.MEASURED, None, "the answer itself was not kept"
    if answer.rcode != "NOERROR":
        return Outcome.FAILED, Reason.DNS, f"the server answered {answer.rcode}"
    return Outcome.MEASURED, None, None


def _words(error: Any) -> str:
    """Atlas' error objects, `{"timeout": 5000}` or `{"getaddrinfo": "..."}`, as text."""
    if isinstance(error, dict):
        return ", ".join(f"{name}: {value}" for name, value in error.items())  # pyright: ignore[reportUnknownVariableType]
    return str(error)


def _moment(time: int | None, head: Head) -> int:
    return time * NS_PER_S if time is not None and 0 <= time <= LATEST_SECOND else head.at
