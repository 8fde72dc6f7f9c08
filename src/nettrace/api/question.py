"""Query strings and bodies decoded into their shapes; what is wrong is pointed at, with the nearest right name."""

from difflib import get_close_matches
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from nettrace.api.problems import BadRequest, Fault

T = TypeVar("T")
_FIELDS: dict[type, dict[str, Any]] = {}


def decode_query(shape: type[T], text: str) -> T:
    """The query string as its shape.

    Lists are written `a,b` or by repeating the parameter.

    Raises:
        BadRequest: an unknown, repeated or impossible parameter, with `#/query/NAME` and a suggestion.
    """
    fields = _fields(shape)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise BadRequest((Fault(pointer="#/query", detail="the query string cannot be read"),)) from None
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in pairs:
        if name not in fields:
            faults.append(_unknown("query", name, fields))
        elif _is_list(fields[name]):
            values.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in values:
            faults.append(Fault(pointer=f"#/query/{_escaped(name)}", detail=f"'{name}' is given twice"))
        elif "\0" in value:
            faults.append(Fault(pointer=f"#/query/{_escaped(name)}", detail=f"'{name}' holds a NUL"))
        else:
            values[name] = value
    if faults:
        raise BadRequest(tuple(faults))
    return _converted(shape, values, "query", strict=False)


def decode_body(shape: type[T], body: bytes) -> T:
    """A JSON body as its shape.

    Raises:
        BadRequest: it is not JSON, or not of this shape; `#/body/NAME` and a suggestion.
    """
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest((Fault(pointer="#/body", detail=f"the body is not JSON: {error}"),)) from None
    if isinstance(raw, dict):
        fields = _fields(shape)
        names = cast("dict[str, object]", raw)
        faults = [_unknown("body", name, fields) for name in names if name not in fields]
        if faults:
            raise BadRequest(tuple(faults))
    return _converted(shape, raw, "body", strict=True)


def _converted(shape: type[T], values: Any, where: str, *, strict: bool) -> T:
    try:
        return msgspec.convert(values, shape, strict=strict)
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `")
        pointer = path.rstrip("`").lstrip("$").replace(".", "/").replace("[", "/").replace("]", "")
        raise BadRequest((Fault(pointer=f"#/{where}{pointer}", detail=detail),)) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise BadRequest((Fault(pointer=f"#/{where}", detail=str(error)),)) from None


def _fields(shape: type) -> dict[str, Any]:
    found = _FIELDS.get(shape)
    if found is None:
        hints = get_type_hints(shape)
        found = _FIELDS[shape] = {
            field.encode_name: hints[field.name] for field in msgspec.structs.fields(shape)
        }
    return found


def _is_list(kind: Any) -> bool:
    return any(get_origin(part) is tuple for part in (kind, *get_args(kind)))


def _unknown(where: str, name: str, fields: dict[str, Any]) -> Fault:
    close = get_close_matches(name, fields, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(sorted(fields))}"
    if not fields:
        hint = "; there are none"
    return Fault(pointer=f"#/{where}/{_escaped(name)}", detail=f"unknown parameter '{name[:80]}'{hint}")


def _escaped(name: str) -> str:
    return name[:80].replace("~", "~0").replace("/", "~1")
