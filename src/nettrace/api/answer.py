"""From what a handler gave back to what travels: format, validator, freshness, compression."""

import asyncio
from collections.abc import Mapping

import msgspec

from nettrace.api import tabular
from nettrace.api.given import THREAD_FROM, Answer, Format, json_bytes, squeezed, tag_of
from nettrace.api.operation import Operation
from nettrace.errors import Invalid, NotAcceptable

COMPRESS_FROM = 1024
_encoder = msgspec.json.Encoder()


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}
_ACCEPTED = {
    "application/json": Format.JSON,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "text/csv": Format.CSV,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/vnd.apache.arrow.stream": Format.ARROW,
}


class Rendered(msgspec.Struct, kw_only=True):
    """Bytes ready to travel."""

    status: int
    body: bytes
    headers: dict[str, str]


def negotiated(operation: Operation, asked: str | None, accept: str | None) -> Format:
    """The format of an answer.

    Raises:
        NotAcceptable: `Accept` names formats, and none of them is to be had here.
    """
    if asked is not None:
        try:
            return Format(asked)
        except ValueError:
            raise Invalid(f"no format '{asked}'", f"There are {', '.join(Format)}") from None
    if not operation.table or accept is None or accept == "*/*":
        return Format.JSON
    wishes: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                weight = _weight(parameter[2:])
        wishes.append((-weight, place, name))
    for weight, _, name in sorted(wishes):
        if weight == 0:
            continue
        if name in {"*/*", "application/*", ""}:
            return Format.JSON
        if name == "text/*":
            return Format.CSV
        if name in _ACCEPTED:
            return _ACCEPTED[name]
    if any(name in {"text/html", "text/plain"} for _, _, name in wishes):
        return Format.JSON  # a person with a browser
    raise NotAcceptable(f"nothing here is '{accept[:100]}'", f"There are {', '.join(_ACCEPTED)}")


def _weight(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


async def render(
    operation: Operation, answer: Answer, form: Format, request: Mapping[str, str], link: str | None
) -> Rendered:
    """The answer as bytes with its headers; 304 without a body when the client has it already."""
    body, media_type = await _encoded(operation, answer, form)
    coding = _coding(request.get("accept-encoding"), len(body), media_type)
    tag = answer.tag or tag_of(body)
    etag = f'"{tag}{"" if coding is None else "-" + coding}"'
    headers = {
        "Content-Type": media_type,
        "Cache-Control": _freshness(operation, answer),
        "Vary": "Accept, Accept-Encoding" if operation.open else "Accept, Accept-Encoding, Authorization",
        **answer.headers,
    }
    if link is not None:
        headers["Link"] = link
        headers["NetTrace-Next-Cursor"] = str(answer.next_cursor)
    if operation.method == "GET" and operation.conditional:
        headers["ETag"] = etag
        if _matches(request.get("if-none-match"), etag):
            return Rendered(status=304, body=b"", headers=headers)
    if coding is not None:
        body = await _compressed(body, coding, answer)
        headers["Content-Encoding"] = coding
    return Rendered(status=answer.status, body=body, headers=headers)


async def _encoded(operation: Operation, answer: Answer, form: Format) -> tuple[bytes, str]:
    content = answer.content
    if answer.media_type is not None or form is Format.JSON:
        media_type = answer.media_type or operation.media_type
        return await json_bytes(content), media_type
    if isinstance(content, bytes):
        content = msgspec.json.decode(content, type=operation.answer)
    rows: list[msgspec.Struct] = content.data
    shape = answer.row_type or tabular.row_shape(operation.answer)
    if form is Format.NDJSON:
        return _encoder.encode_lines(rows), MEDIA_TYPES[form]
    made = await asyncio.to_thread(tabular.encoded, rows, shape, form.value)
    return made, MEDIA_TYPES[form]


async def _compressed(body: bytes, coding: str, answer: Answer) -> bytes:
    if coding == "gzip" and answer.squeeze is not None:
        return await asyncio.to_thread(answer.squeeze) if len(body) > THREAD_FROM else answer.squeeze()
    squeeze = squeezed if coding == "gzip" else tabular.zstd
    return await asyncio.to_thread(squeeze, body) if len(body) > THREAD_FROM else squeeze(body)


def _coding(accepted: str | None, size: int, media_type: str) -> str | None:
    if accepted is None or size < COMPRESS_FROM or "parquet" in media_type or "arrow" in media_type:
        return None
    offered = {
        name.strip().lower(): _weight(weight.strip()[2:]) if weight.strip().startswith("q=") else 1.0
        for name, _, weight in (part.partition(";") for part in accepted.split(","))
    }
    for coding in ("zstd", "gzip"):
        if offered.get(coding, 0.0) > 0:
            return coding
    return None


def _freshness(operation: Operation, answer: Answer) -> str:
    if answer.fresh_s is None or operation.method != "GET":
        return "no-store"
    who = "public" if operation.open else "private"
    if answer.immutable:
        return f"{who}, max-age=31536000, immutable"
    return f"{who}, max-age={max(0, answer.fresh_s)}" + ("" if answer.fresh_s > 0 else ", must-revalidate")


def _matches(wanted: str | None, etag: str) -> bool:
    """Whether If-None-Match names this validator, by weak comparison (RFC 9110, 13.1.2)."""
    if wanted is None:
        return False
    return wanted.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
