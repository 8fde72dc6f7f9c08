"""RIPE Atlas results (ping, traceroute, dns, http, sslcert, ntp; every firmware) as measurements.

A file is one result a line, or one JSON document: an array, or an object that holds one under `results`. What
cannot be read is reported with its line and passed over; a document cut off in the middle still gives all
results before the cut.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from typing import Any, cast

import msgspec

from nettrace.errors import SourceError
from nettrace.model.measurement import Measurement
from nettrace.wire.atlas_dns import dns
from nettrace.wire.atlas_path import ping, traceroute
from nettrace.wire.atlas_result import Head, Imported, Malformed, read
from nettrace.wire.atlas_service import certificate, http, ntp

__all__ = ["Imported", "Malformed", "read_atlas"]

_KINDS: dict[str, Callable[[dict[str, Any]], list[Measurement | SourceError]]] = {
    "ping": ping,
    "traceroute": traceroute,
    "dns": dns,
    "http": http,
    "sslcert": certificate,
    "ntp": ntp,
}
_NEXT = re.compile(r"[\s,]*")
_RESULTS = re.compile(r'"results"\s*:\s*\[')
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_atlas(lines: Iterable[str | bytes]) -> Iterator[Imported | Malformed]:
    """The measurements of a file of Atlas results, in its order, with what could not be read.

    >>> [type(found).__name__ for found in read_atlas(['{"type": "ping"', ""])]
    ['Malformed']

    Args:
        lines: the file's lines, with or without their ends, text or UTF-8.
    """
    for number, row in _results(enumerate(lines, 1)):
        try:
            yield from _measurements(number, row)
        except SourceError as problem:
            yield Malformed(number, problem.detail)


def _measurements(number: int, row: object) -> Iterator[Imported | Malformed]:
    if isinstance(row, SourceError):
        raise row
    if not isinstance(row, dict):
        raise SourceError(f"a result is a JSON object, not {type(row).__name__}")
    result = cast("dict[str, Any]", row)
    head = read(result, Head)
    convert = _KINDS.get(head.type)
    if convert is None:
        raise SourceError(f"results of type '{head.type[:20]}' are not imported")
    for found in convert(result):
        if isinstance(found, SourceError):
            yield Malformed(number, found.detail)
        else:
            yield Imported(number, found, head.msm_id, head.fw)


def _results(lines: Iterator[tuple[int, str | bytes]]) -> Iterator[tuple[int, object]]:
    """(number, result) each; a result that could not even be decoded is the error that says why."""
    for number, line in lines:
        bare = _text(line).strip().removeprefix("\ufeff")
        if not bare:
            continue
        decoded = _decoded(bare)
        if bare[0] == "[" or (bare[0] == "{" and (isinstance(decoded, SourceError) or _is_envelope(decoded))):
            yield from _document(number, bare, lines)
        else:
            yield number, decoded
            yield from _lines(lines)
        return


def _lines(lines: Iterable[tuple[int, str | bytes]]) -> Iterator[tuple[int, object]]:
    for number, line in lines:
        bare = _text(line).strip()
        if bare:
            yield number, _decoded(bare)


def _document(
    number: int, first: str, rest: Iterator[tuple[int, str | bytes]]
) -> Iterator[tuple[int, object]]:
    """What begins like one document: read as such when it is one, else line by line."""
    following = list(rest)
    text = "\n".join([first, *(_text(line).rstrip("\r\n") for _, line in following)])
    decoded = _decoded(text)
    if isinstance(decoded, dict) and _is_envelope(cast("object", decoded)):
        decoded = cast("dict[str, object]", decoded)["results"]
    if isinstance(decoded, list):
        yield from enumerate(cast("list[object]", decoded), 1)
    elif isinstance(decoded, dict):
        yield number, cast("object", decoded)
    elif isinstance(decoded, SourceError) and _start_of_array(text) is not None:
        yield from _salvaged(text, decoded)
    else:
        yield from _lines(chain([(number, first)], following))


def _salvaged(text: str, why: SourceError) -> Iterator[tuple[int, object]]:
    """The whole results of an array that is broken somewhere, up to the place where it is."""
    decoder = json.JSONDecoder()
    at = _start_of_array(text) or 0
    for number in count(1):
        at = _NEXT.match(text, at).end()  # pyright: ignore[reportOptionalMemberAccess] - it matches nothing, too
        if text[at : at + 1] == "]":
            return
        try:
            row, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield number, SourceError(f"{why.detail}; nothing behind result {number - 1} can be read")
            return
        yield number, row


def _start_of_array(text: str) -> int | None:
    """Where the first result of a document begins, or None when the text does not look like a document."""
    if text.startswith("["):
        return 1
    results = _RESULTS.search(text)
    return results.end() if results else None


def _is_envelope(decoded: object) -> bool:
    return isinstance(decoded, dict) and isinstance(cast("dict[str, object]", decoded).get("results"), list)


def _text(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode("utf-8", "replace")


def _decoded(text: str) -> object:
    try:
        return cast("object", msgspec.json.decode(text))
    except _BROKEN as problem:
        return SourceError(f"not JSON: {problem}")
