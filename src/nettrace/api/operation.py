"""What the API offers, one entry an operation: routes, access, documentation and tests all read this."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from nettrace.api.call import Call
from nettrace.api.edition import Retiring
from nettrace.api.given import Answer
from nettrace.model.account import Feature, Scope

Handler = Callable[[Call], Awaitable[Answer]]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path.

    Attributes:
        id: its name in the OpenAPI document.
        path: with `{host}` for what varies.
        query: shape of its query parameters.
        body: shape of its JSON body, or None.
        answer: shape of its JSON answer.
        open: needs no key.
        cost: calls it counts as; 0 is free.
        status: of success.
        table: the answer's `data` can be had as rows: NDJSON, CSV, Parquet, Arrow.
        media_type: of answers that are not JSON.
        retiring: that it is to go, and when.
        example: a path with query that works on the documentation's example hub, and the body of a POST.
    """

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    handler: Handler
    tag: str
    query: type[msgspec.Struct]
    body: type[msgspec.Struct] | None = None
    answer: Any = None
    description: str = ""
    open: bool = False
    feature: Feature | None = None
    scope: Scope | None = Scope.READ
    cost: int = 1
    status: int = 200
    table: bool = False
    media_type: str = "application/json"
    example: str = ""
    example_body: dict[str, Any] | None = None
    conditional: bool = True
    retiring: Retiring | None = None


class NoQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No query parameters."""
