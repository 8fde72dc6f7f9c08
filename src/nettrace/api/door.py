"""The way of every operation: who asks, what is asked, the answer, its price. Handlers do only what is their own."""

from typing import Any

from litestar import Request, Response
from litestar.exceptions import InternalServerException

from nettrace.api.answer import negotiated, render
from nettrace.api.call import Call
from nettrace.api.download import file_answer
from nettrace.api.edition import HEADER, edition_of
from nettrace.api.guard import admit, charge
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.problems import BadRequest, Fault
from nettrace.api.question import decode_body, decode_query
from nettrace.api.service import Service
from nettrace.hub.access import Caller
from nettrace.model.account import Tier

ANYBODY = Caller(account="", tier=Tier(name="open", title="Without a key"), scopes=frozenset())
"""Whoever reads what needs no key."""


async def serve(operation: Operation, service: Service, request: Request[Any, Any, Any]) -> Response[Any]:
    """Answer one request.

    A conditional request is charged when its answer turns out to be news: 304 costs nothing.
    """
    headers = dict(request.headers.items())
    now = service.now()
    told = {HEADER: edition_of(headers), **(operation.retiring.headers() if operation.retiring else {})}
    request.state.charged = told  # errors carry it too, with what is added below
    caller = ANYBODY
    conditional = operation.method == "GET" and "if-none-match" in headers
    if not operation.open:
        caller = admit(service, headers, feature=operation.feature, scope=operation.scope)
        if not conditional:
            told |= charge(service, caller, operation.cost, now)
    raw_query = request.scope["query_string"].decode("latin-1")
    query = decode_query(operation.query, raw_query) if raw_query or operation.query is not NoQuery else None
    form = negotiated(operation, getattr(query, "format", None), headers.get("accept"))
    body = decode_body(operation.body, await _body(request)) if operation.body is not None else None
    call = Call(
        service=service, caller=caller, query=query, body=body, now=now, snapshot=service.snapshot, headers=headers,
        path={name: str(value) for name, value in request.path_params.items()},
        url=request.scope["path"], raw_query=raw_query, form=form, operation_id=operation.id,
    )  # fmt: skip
    answer = await operation.handler(call)
    if answer.file is not None:
        return file_answer(answer, answer.file, headers, told)
    link = next_link(call, answer.next_cursor) if answer.next_cursor is not None else None
    rendered = await render(operation, answer, form, headers, link)
    if conditional and not operation.open and rendered.status != 304:
        told |= charge(service, caller, operation.cost, now)
    sent = {**rendered.headers, **told}
    if link is not None and "Link" in told:
        sent["Link"] = f"{link}, {told['Link']}"
    return Response(rendered.body, status_code=rendered.status, headers=sent)


async def _body(request: Request[Any, Any, Any]) -> bytes:
    """The body, whole.

    Raises:
        BadRequest: the client hung up before its end, which is no fault of ours.
    """
    try:
        return await request.body()
    except InternalServerException:
        raise BadRequest((Fault(pointer="#/body", detail="the body did not arrive whole"),)) from None


def next_link(call: Call, cursor: str) -> str:
    """A `Link` header to the next page (RFC 8288), complete.

    The cursor is URL-safe as it is.
    """
    kept = [part for part in call.raw_query.split("&") if part and not part.startswith("cursor=")]
    return f'<{call.url}?{"&".join([*kept, "cursor=" + cursor])}>; rel="next"'
