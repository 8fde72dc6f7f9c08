"""Errors as RFC 9457 problem documents: one shape for whatever goes wrong, at every door."""

import logging
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from nettrace.errors import (
    Infeasible,
    InvalidField,
    NetTraceError,
    NotFound,
    QuotaExceeded,
    SolverBusy,
    StoreError,
    Unauthenticated,
    WrongMethod,
)

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("nettrace.api")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request, and where: `pointer` is a JSON pointer, `#/query/limit` or `#/body/target`."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 says it.

    Attributes:
        type: a page that explains this kind of problem.
        code: its stable name, the last part of `type`.
        hint: what to do next.
        errors: each thing that is wrong with the request.
        violated_policies: the quota policies that are used up.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    docs: str = "/docs"
    hint: str = ""
    errors: tuple[Fault, ...] = ()
    violated_policies: tuple[str, ...] = msgspec.field(default=(), name="violated-policies")


TITLES = {
    "invalid": "The request is wrong",
    "config": "A setting is wrong",
    "unauthenticated": "No usable API key",
    "not-allowed": "Not in this key's tier or scopes",
    "quota-exceeded": "Quota used up",
    "not-found": "Nothing by that name",
    "conflict": "Does not fit what is there",
    "idempotency-mismatch": "This Idempotency-Key was used for another request",
    "wrong-method": "This path does not know the method",
    "body-too-large": "The body is too large",
    "body-too-slow": "The body came too slowly",
    "headers-too-large": "Too many headers",
    "misdirected": "Not this hub's name",
    "origin": "Pages of other sites are not served",
    "not-acceptable": "No such format here",
    "range": "The range lies outside the file",
    "forbidden-target": "Policy does not allow this target",
    "unmeasurable": "This cannot be measured",
    "store": "The store does not answer",
    "store-busy": "The store is busy",
    "store-full": "The disk is full",
    "unreachable": "A part of the hub does not answer",
    "infeasible": "No plan can keep all of this",
    "missing-extra": "An optional part is not installed here",
    "solver-busy": "Too many placements at once",
    "solver-stopped": "No answer within the time",
    "wire": "A frame that is not what it should be",
    "error": "Something broke here",
}
"""Problem types in words; each has a page at `/problems/SLUG`."""


class BadRequest(NetTraceError):
    """A request with faults that can be pointed at."""

    slug = "invalid"
    status = 400

    def __init__(self, faults: tuple[Fault, ...], hint: str = "", status: int = 400) -> None:
        super().__init__("; ".join(fault.detail for fault in faults), hint)
        self.faults = faults
        self.status = status


def problem(error: NetTraceError, *, instance: str, request_id: str) -> Problem:
    """The problem document of an error."""
    return Problem(
        type=f"/problems/{error.slug}",
        title=TITLES.get(error.slug, TITLES["error"]),
        status=error.status,
        detail=error.detail,
        instance=instance,
        code=error.slug,
        request_id=request_id,
        hint=error.hint,
        errors=_faults(error),
        violated_policies=error.policies if isinstance(error, QuotaExceeded) else (),
    )


def _faults(error: NetTraceError) -> tuple[Fault, ...]:
    if isinstance(error, InvalidField):
        return (Fault(pointer=f"#/body/{error.field}", detail=error.detail),)
    if isinstance(error, Infeasible):
        return tuple(Fault(pointer=f"#/body/request/{name}", detail=words) for name, words in error.conflict)
    return error.faults if isinstance(error, BadRequest) else ()


def problem_bytes(error: NetTraceError, *, instance: str, request_id: str) -> bytes:
    """The problem document as JSON.

    >>> problem_bytes(NotFound("no such round"), instance="/api/v1/rounds/x", request_id="rq_1")[:46]
    b'{"type":"/problems/not-found","title":"Nothing'
    """
    return msgspec.json.encode(problem(error, instance=instance, request_id=request_id))


def headers_of(error: NetTraceError) -> dict[str, str]:
    """What an answer with this error must say in its headers."""
    told = {"Cache-Control": "no-store"}
    if isinstance(error, Unauthenticated):
        told["WWW-Authenticate"] = 'Bearer realm="nettrace"'
    if isinstance(error, QuotaExceeded):
        told["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, StoreError | SolverBusy):
        told["Retry-After"] = "5"
    return told


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any exception of a handler as a problem; those nobody foresaw are logged with the request's id."""
    request_id = str(cast("dict[str, object]", request.scope).get("request_id", ""))
    known = _known(request, error)
    if known is None:
        _log.error("request %s %s broke", request_id, request.url.path, exc_info=error)
        known = NetTraceError("something broke here", f"Tell the operator the request id {request_id}")
    extra: Mapping[str, str] = getattr(error, "headers", None) or {}
    charged = charged_of(request)
    return Response(
        problem_bytes(known, instance=request.url.path, request_id=request_id),
        status_code=known.status,
        media_type=MEDIA_TYPE,
        headers={**charged, **headers_of(known), **extra},
    )


def _known(request: Request[Any, Any, Any], error: Exception) -> NetTraceError | None:
    if isinstance(error, NetTraceError):
        return error
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return NotFound(f"there is no page {request.url.path}", "The paths there are: /openapi.json")
        if error.status_code == 405:
            return WrongMethod(f"{request.url.path} does not know {request.method}", "See /openapi.json")
        if error.status_code < 500:
            return BadRequest((Fault(pointer="#", detail=error.detail),), status=error.status_code)
    return None


def charged_of(request: Request[Any, Any, Any]) -> Mapping[str, str]:
    """The quota headers of a request that was charged before it failed."""
    return getattr(request.state, "charged", None) or {}
