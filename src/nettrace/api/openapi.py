"""The OpenAPI 3.1 document, made from the table of operations: what is served is what is described."""

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from nettrace import __version__
from nettrace.api.edition import HEADER
from nettrace.api.given import Format
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.problems import Problem
from nettrace.api.schema import CostPreview

_REF = "#/components/schemas/{name}"
_TABLES = {
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}
_PROBLEMS = {
    "400": "The request is wrong; `errors` points at it.", "401": "No usable API key.", "403": "Not in this key's tier or scopes.",
    "404": "Nothing by that name.", "405": "The path does not know the method.", "406": "No such format.", "408": "The body came too slowly.",
    "409": "Does not fit what is there.", "413": "The body is too large.", "416": "The range lies outside the file.",
    "421": "Not this hub's name.", "422": "This Idempotency-Key was used for another request; or no plan can keep all that is asked.",
    "429": "Quota used up.", "431": "Too many headers.", "500": "Something broke here.", "501": "Needs an optional part that is not installed here.", "502": "A part of the hub does not answer.",
    "503": "The store does not answer.", "507": "The disk is full.",
}  # fmt: skip
_QUOTA = {
    "RateLimit": "What is left, by policy (draft-ietf-httpapi-ratelimit-headers-10).",
    "RateLimit-Policy": "The policies.",
    "X-RateLimit-Limit": "Of the scarcest policy.",
    "X-RateLimit-Remaining": "Of the scarcest policy.",
    "X-RateLimit-Reset": "Seconds until it starts anew.",
    "NetTrace-Cost": "Calls this answer cost.",
}
DESCRIPTION = """Latency, loss, routes and signals of financial networks, measured from many places.

`null` is "not measured", never 0; `outcome` is `measured`, `failed` or `not_measured` with a `reason`. Times are RFC 3339
in UTC, windows include their start and exclude their end, units are in the names. Lists are
`{data, has_more, next_cursor}`. Errors are RFC 9457 problems. Fields are only ever added; `NetTrace-Version: YYYY-MM-DD` names the
day you wrote your client and keeps the answers of that day."""


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    shapes = {
        shape for operation in operations for shape in (operation.answer, operation.body) if shape is not None
    }
    ordered = sorted(shapes, key=str)
    references, components = msgspec.json.schema_components([*ordered, Problem], ref_template=_REF)
    named = dict(zip([*ordered, Problem], references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, named, components
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NetTrace", "version": __version__, "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`nt_live_...` or `nt_test_...`"},
                "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
            "responses": {
                f"Problem{status}": {
                    "description": meaning,
                    "content": {"application/problem+json": {"schema": named[Problem]}},
                }
                for status, meaning in _PROBLEMS.items()
            },
        },
    }  # fmt: skip


def encoded(operations: Sequence[Operation]) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(operations))


def _operation(operation: Operation, named: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [
            *_path_parameters(operation),
            *query_parameters(operation),
            *_header_parameters(operation),
        ],
        "responses": _responses(operation, named, components),
        "security": [] if operation.open else [{"bearer": []}, {"header": []}],
        "x-example": operation.example,
        "x-cost": operation.cost if not operation.open else 0,
    }
    if operation.description:
        made["description"] = operation.description
    if operation.feature is not None:
        made["x-feature"] = operation.feature.value
    if operation.scope is not None and not operation.open:
        made["x-scope"] = operation.scope.value
    if operation.retiring is not None:
        made |= {"deprecated": True, "x-retiring": operation.retiring.headers()}
    if operation.body is not None:
        made["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": named[operation.body], "example": operation.example_body}
            },
        }
    return made


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
            "example": _example_of(operation, name),
        }
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]  # fmt: skip


def _example_of(operation: Operation, name: str) -> str:
    """What the example path has in the variable's place."""
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/?]+)", re.escape(operation.path))
    match = re.match(pattern, operation.example)
    return match[name] if match else name


def query_parameters(operation: Operation) -> list[dict[str, Any]]:
    """The operation's query parameters as OpenAPI says them."""
    if operation.query is NoQuery:
        return []
    (reference,), components = msgspec.json.schema_components([operation.query], ref_template=_REF)
    shape = components[reference["$ref"].rpartition("/")[2]]
    required = set(shape.get("required", ()))
    found: list[dict[str, Any]] = []
    for name, schema in shape["properties"].items():
        inlined = _inlined(schema, components)
        is_list = inlined.get("type") == "array"
        entry: dict[str, Any] = {"name": name, "in": "query", "required": name in required, "schema": inlined}
        if is_list:
            entry |= {"style": "form", "explode": False}
            inlined.setdefault("items", {"type": "string"})
            inlined["items"] = (
                {"type": "string", "minLength": 1}
                if inlined["items"] == {"type": "string"}
                else inlined["items"]
            )
        if description := inlined.pop("description", None):
            entry["description"] = description
        found.append(entry)
    return found


def _inlined(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema of one parameter: without references, and without null, which a query cannot say."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _inlined(
            {**components[name], **{key: value for key, value in schema.items() if key != "$ref"}}, components
        )
    schema = dict(schema)
    if "anyOf" in schema:
        kept = [
            part for part in cast("list[dict[str, Any]]", schema.pop("anyOf")) if part.get("type") != "null"
        ]
        schema = {**_inlined(kept[0], components), **schema}
    if schema.get("default", ...) is None:
        del schema["default"]
    schema.pop("title", None)
    return schema


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.method == "POST":
        return [
            {
                "name": "Idempotency-Key", "in": "header", "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "The same key again makes nothing new.",
            }
        ]  # fmt: skip
    if operation.conditional:
        return [{"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}}]
    return []


def _responses(operation: Operation, named: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {operation.media_type: {"schema": named.get(operation.answer, {})}}
    if operation.table:
        content |= {media_type: {"schema": {"type": "string"}} for media_type in _TABLES.values()}
    told = {HEADER: "The edition of the answer."} | ({} if operation.open else _QUOTA)
    headers: dict[str, Any] = {
        name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in told.items()
    }
    if operation.conditional and operation.method == "GET":
        headers["ETag"] = {"description": "Strong validator.", "schema": {"type": "string"}}
    made: dict[str, Any] = {
        str(operation.status): {"description": operation.summary, "content": content, "headers": headers}
    }
    if operation.conditional and operation.method == "GET":
        made["304"] = {"description": "You have it already; costs nothing."}
    if operation.id == "downloadExportFile":
        made["206"] = {"description": "The range.", "content": content}
    if operation.id == "readyz":
        made["503"] = {"description": "Not ready.", "content": content}
    if "dry_run" in {parameter["name"] for parameter in query_parameters(operation)}:
        components.setdefault("CostPreview", _preview())
        reference = {"$ref": _REF.format(name="CostPreview")}
        made["200"] = {
            "description": "`dry_run=1`: what it would cost.",
            "content": {"application/json": {"schema": reference}},
        }
    for status in _PROBLEMS:
        if not (operation.open and status in {"401", "403", "429"}):
            made.setdefault(status, {"$ref": f"#/components/responses/Problem{status}"})
    return made


def _preview() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([CostPreview], ref_template=_REF)
    return components["CostPreview"]
