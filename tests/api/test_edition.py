"""Every answer says its edition; a client may name the day it was written for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

import httpx2
import msgspec
import pytest
from tests.api.conftest import Hub

from nettrace.api import openapi
from nettrace.api.app import make_app
from nettrace.api.edition import EDITION, Retiring
from nettrace.api.operation import Operation
from nettrace.api.table import OPERATIONS


@pytest.mark.parametrize("path", ["/api/v1/targets", "/version"])
async def test_every_answer_says_its_edition(hub: Hub, path: str) -> None:
    answer = await hub.get(path)
    assert answer.headers["nettrace-version"] == EDITION


async def test_a_later_day_gets_the_newest_edition(hub: Hub) -> None:
    answer = await hub.get("/api/v1/targets", headers={"NetTrace-Version": "2099-01-01"})
    assert (answer.status_code, answer.headers["nettrace-version"]) == (200, EDITION)


@pytest.mark.parametrize("day", ["2020-01-01", "yesterday", "2026-13-01", ""])
async def test_a_day_without_an_edition_is_refused_with_the_first_one(hub: Hub, day: str) -> None:
    answer = await hub.get("/api/v1/targets", headers={"NetTrace-Version": day})
    assert answer.status_code == 400
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "#/header/NetTrace-Version"
    assert EDITION in fault["detail"]


async def test_an_error_says_its_edition_once_the_caller_is_known(hub: Hub) -> None:
    answer = await hub.get("/api/v1/targets/nobody.example")
    assert (answer.status_code, answer.headers["nettrace-version"]) == (404, EDITION)


# -- what is to go (RFC 9745, RFC 8594)
OLD = Retiring(
    since=date(2026, 12, 1), ends=date(2027, 6, 1), guide="/docs/api#history", successor="/api/v1/rounds"
)
DEPRECATED, SUNSET = "@1796083200", "Tue, 01 Jun 2027 00:00:00 GMT"
GUIDE = '</docs/api#history>; rel="deprecation"; type="text/html"'


def retiring(name: str) -> Operation:
    found = next(each for each in OPERATIONS if each.id == name)
    return msgspec.structs.replace(found, retiring=OLD)


@asynccontextmanager
async def with_old(hub: Hub, *names: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The hub's API with some operations declared to go."""
    app = make_app(hub.service, operations=[retiring(name) for name in names])
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_an_operation_that_is_to_go_says_so_in_every_answer(hub: Hub) -> None:
    await hub.service.refresh()
    async with with_old(hub, "getHistory") as client:
        path = "/api/v1/latency/api.example.com/history?resolution=raw&limit=2"
        fresh = await client.get(path)
        same = await client.get(path, headers={"If-None-Match": fresh.headers["etag"]})
        wrong = await client.get(f"{path}&colour=red")
        unknown = await client.get("/api/v1/latency/nobody.example/history")
    answers = (fresh, same, wrong, unknown)
    assert [each.status_code for each in answers] == [200, 304, 400, 404]
    for answer in answers:
        assert (answer.headers["deprecation"], answer.headers["sunset"]) == (DEPRECATED, SUNSET)
        for link in (GUIDE, '</docs/api#history>; rel="sunset"', '</api/v1/rounds>; rel="successor-version"'):
            assert link in answer.headers["link"]
    assert 'rel="next"' in fresh.headers["link"], "the next page is linked all the same"


async def test_what_stays_says_nothing_of_the_kind(hub: Hub) -> None:
    answer = await hub.get("/api/v1/targets")
    assert not {"deprecation", "sunset"} & set(answer.headers)


def test_the_description_marks_it() -> None:
    described = openapi.document([retiring("getHistory")])["paths"]["/api/v1/latency/{host}/history"]["get"]
    assert described["deprecated"] is True
    assert described["x-retiring"]["Sunset"] == SUNSET
    assert "deprecated" not in openapi.document(OPERATIONS)["paths"]["/api/v1/targets"]["get"]


def test_nothing_ends_before_it_is_deprecated() -> None:
    with pytest.raises(ValueError, match="ends before"):
        Retiring(since=date(2027, 1, 2), ends=date(2027, 1, 1), guide="/docs/api")
