"""Every answer says its edition; a client may name the day it was written for."""

import pytest
from tests.api.conftest import Hub

from nettrace.api.edition import EDITION


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
