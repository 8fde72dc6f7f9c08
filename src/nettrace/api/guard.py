"""Who is asking and may they: the one place in the API where access is decided, for every operation and stream."""

from collections.abc import Mapping
from typing import Any

from litestar.connection import ASGIConnection

from nettrace.api.service import Service
from nettrace.errors import NotAllowed, QuotaExceeded
from nettrace.hub.access import Caller
from nettrace.hub.quota import Allowance
from nettrace.model.account import Feature, Scope
from nettrace.model.instant import Instant

_ANYBODY = frozenset[Scope]()


def admit(
    service: Service, headers: Mapping[str, str], *, feature: Feature | None, scope: Scope | None
) -> Caller:
    """The caller of a request that is allowed to have what it asks for.

    Raises:
        Unauthenticated: no usable key.
        NotAllowed: the key's tier or scopes do not hold this.
    """
    caller = service.access.caller(headers.get("authorization"), headers.get("x-api-key"), service.now())
    service.access.require(caller, feature, scope)
    return caller


def admit_connection(
    service: Service,
    connection: ASGIConnection[Any, Any, Any, Any],
    *,
    feature: Feature | None,
    scope: Scope | None = Scope.READ,
) -> Caller:
    """The same for streams and other handlers that are no operations."""
    return admit(service, connection.headers, feature=feature, scope=scope)


def charge(service: Service, caller: Caller, cost: int, now: Instant) -> dict[str, str]:
    """Count a call; the quota headers of its answer.

    Raises:
        QuotaExceeded: nothing is left; it carries `headers` that say so.
    """
    try:
        allowance = service.access.charge(caller, now, cost) if cost else service.access.usage(caller, now)
    except QuotaExceeded as error:
        told = quota_headers(service.access.usage(caller, now), 0)
        raise _WithHeaders(error, told) from error
    return quota_headers(allowance, cost)


def quota_headers(allowance: Allowance, cost: int) -> dict[str, str]:
    """`RateLimit`, `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), the older `X-RateLimit-*`, the cost.

    >>> quota_headers(Allowance(allowed=True, policies=()), 1)
    {'NetTrace-Cost': '1'}
    """
    told = {"NetTrace-Cost": str(cost)}
    if allowance.policies:
        told["RateLimit-Policy"] = ", ".join(
            f'"{each.name}";q={each.limit};w={each.window_s}' for each in allowance.policies
        )
        told["RateLimit"] = ", ".join(
            f'"{each.name}";r={each.remaining};t={each.reset_s}' for each in allowance.policies
        )
        scarce = min(allowance.policies, key=lambda each: each.remaining / max(1, each.limit))
        told["X-RateLimit-Limit"] = str(scarce.limit)
        told["X-RateLimit-Remaining"] = str(scarce.remaining)
        told["X-RateLimit-Reset"] = str(scarce.reset_s)
    return told


class _WithHeaders(QuotaExceeded):
    """A used-up quota with the headers that say when there is more."""

    def __init__(self, error: QuotaExceeded, headers: dict[str, str]) -> None:
        super().__init__(error.detail, error.hint, retry_after_s=error.retry_after_s, policies=error.policies)
        self.headers = headers


def owns(caller: Caller, account: str | None) -> bool:
    """Whether something of an account is this caller's to see."""
    return account is None or account == caller.account


def need(condition: object, detail: str, hint: str = "") -> None:
    """Nothing when the condition holds.

    Raises:
        NotAllowed: it does not.
    """
    if not condition:
        raise NotAllowed(detail, hint)
