"""The API's description of itself, and its metrics."""

from collections.abc import Callable

from nettrace.api import metrics, openapi, pages, queue_metrics
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.operation import NoQuery, Operation
from nettrace.errors import NotFound
from nettrace.model.instant import NS_PER_S
from nettrace.runtime import classic_metrics
from nettrace.runtime.openmetrics import MEDIA_TYPE

HTML = "text/html; charset=utf-8"
_SAFE = {"Content-Security-Policy": pages.POLICY}


def _made(call: Call, name: str, make: Callable[[tuple[Operation, ...]], bytes]) -> bytes:
    """What depends on the table alone: made once."""
    kept = call.service.documents
    if name not in kept:
        kept[name] = make(call.service.operations)
    return kept[name]


async def openapi_json(call: Call) -> Answer:
    """The OpenAPI document."""
    return Answer(content=_made(call, "openapi", openapi.encoded), fresh_s=300)


async def docs(call: Call) -> Answer:
    """The reference for people."""
    return Answer(content=_made(call, "docs", pages.docs_page), media_type=HTML, headers=_SAFE, fresh_s=300)


async def llms(call: Call) -> Answer:
    """The reference for language models."""
    return Answer(
        content=_made(call, "llms", pages.llms_text), media_type="text/plain; charset=utf-8", fresh_s=300
    )


async def problem(call: Call) -> Answer:
    """What a problem type means."""
    page = pages.problem_page(call.path["slug"])
    if page is None:
        raise NotFound(f"no problem '{call.path['slug'][:50]}'", "All of them: /docs#problems")
    return Answer(content=page, media_type=HTML, headers=_SAFE, fresh_s=300)


async def exposition(call: Call) -> Answer:
    """Metrics, at most a second old; in Prometheus' older format for those who name it and not OpenMetrics."""
    snapshot, service = call.snapshot, call.service
    calls = await service.calls_today()
    found = await queue_metrics.look(service)
    made = snapshot.of_all(
        ("metrics", call.now // NS_PER_S),
        lambda: metrics.exposition(
            snapshot, service.histogram, call.now, calls, queue_metrics.families(found, snapshot, call.now)
        ),
    )
    if classic_metrics.wanted(call.headers.get("accept", "")):
        return Answer(
            content=classic_metrics.classic(made), media_type=classic_metrics.MEDIA_TYPE, fresh_s=None,
            headers={"Vary": "Accept"},
        )  # fmt: skip
    return Answer(content=made, media_type=MEDIA_TYPE, fresh_s=None)


OPERATIONS = (
    Operation(
        id="metrics", method="GET", path="/metrics", tag="Hub", handler=exposition, query=NoQuery, open=True,
        media_type="application/openmetrics-text", summary="OpenMetrics for Prometheus", example="/metrics",
        conditional=False,
    ),
    Operation(
        id="openapi", method="GET", path="/openapi.json", tag="Hub", handler=openapi_json, query=NoQuery, open=True,
        summary="This document", example="/openapi.json", answer=dict,
    ),
    Operation(
        id="docs", method="GET", path="/docs", tag="Hub", handler=docs, query=NoQuery, open=True,
        media_type="text/html", summary="The reference for people", example="/docs",
    ),
    Operation(
        id="llms", method="GET", path="/llms.txt", tag="Hub", handler=llms, query=NoQuery, open=True,
        media_type="text/plain", summary="The reference for language models", example="/llms.txt",
    ),
    Operation(
        id="problem", method="GET", path="/problems/{slug}", tag="Hub", handler=problem, query=NoQuery, open=True,
        media_type="text/html", summary="What a problem type means", example="/problems/not-found",
    ),
)  # fmt: skip
