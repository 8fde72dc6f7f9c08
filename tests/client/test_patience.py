"""Quotas are obeyed, what may pass is tried again, what may not be done twice is not."""

import asyncio
import sys
from collections.abc import Callable

import httpx2
import pytest
from tests.api.conftest import Hub
from tests.client.conftest import asked

from nettrace.client import Client
from nettrace.client.exchange import backoff
from nettrace.errors import NetTraceError, NotFound, QuotaExceeded, StoreFull, Unreachable, WireError

HOST = "api.example.com"
LIMITS = (
    '{"tier":"free","account":"a","scopes":[],"features":[],"streams":0,"custom_targets":0,"policies":[]}'
)


def secret(hub: Hub, tier: str) -> str:
    return hub.key(tier)["Authorization"].removeprefix("Bearer ")


async def test_an_iteration_waits_for_quota_as_long_as_it_may(hub: Hub) -> None:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        hub.clock += int(seconds * 1e9)

    start = hub.clock - 4_200 * 10**9
    async with asked(hub, secret(hub, "free"), pause=pause) as client:
        rows = [
            row.id async for row in client.rounds(host=HOST, method="tcp", region="nyc", limit=1, start=start)
        ]
    assert len(rows) == len(set(rows)) == 70  # ten more than a minute's calls
    assert len(waits) == 1
    assert 0 < waits[0] <= 60


async def test_a_used_up_quota_says_where_to_go_on(hub: Hub) -> None:
    start = hub.clock - 3_600 * 10**9

    async with asked(hub, secret(hub, "free"), wait_s=0) as client:
        seen: list[str] = []
        with pytest.raises(QuotaExceeded) as used_up:
            async for row in client.rounds(host=HOST, start=start, limit=2):
                seen.append(row.id)
        error = used_up.value
        assert (error.policies, 0 < error.retry_after_s <= 60, len(seen)) == (("burst",), True, 120)
        assert error.resume is not None
        assert error.request_id
        hub.clock += 60 * 10**9
        seen += [row.id async for row in client.rounds(host=HOST, start=start, limit=2, cursor=error.resume)]
    async with asked(hub, secret(hub, "enterprise")) as client:
        assert seen == [row.id async for row in client.rounds(host=HOST, start=start)]


class Hubs:
    """Answers in a row, and what was asked."""

    def __init__(self, *answers: Callable[[], httpx2.Response]) -> None:
        self._answers = list(answers)
        self.asked: list[httpx2.Request] = []
        self.waits: list[float] = []
        self.client = Client(
            "http://hub.example",
            "secret",
            transport=httpx2.MockTransport(self._answer),
            pause=self.waits.append,
        )

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        return self._answers.pop(0)()


def away(status: int = 503, **headers: str) -> Callable[[], httpx2.Response]:
    return lambda: httpx2.Response(status, headers=headers, text="<html>away</html>")


def cut() -> httpx2.Response:
    raise httpx2.ReadError("cut")


def good(text: str, status: int = 200) -> Callable[[], httpx2.Response]:
    return lambda: httpx2.Response(status, text=text)


def test_a_hub_that_is_away_is_asked_again() -> None:
    hubs = Hubs(away(502), cut, away(504), good(LIMITS))
    assert hubs.client.limits().tier == "free"
    assert len(hubs.waits) == 3
    hubs = Hubs(*[away(503)] * 4)
    with pytest.raises(Unreachable, match="answered 503") as error:
        hubs.client.limits()
    assert (error.value.status, len(hubs.asked)) == (503, 4)
    hubs = Hubs(away(**{"Retry-After": "5"}), good(LIMITS))
    hubs.client.limits()
    assert hubs.waits == [5.0]


def test_what_is_made_is_made_once() -> None:
    made = '{"id":"req_1","state":"queued","target":"h","endpoint":"e","method":"tcp","probes":1,"regions":[],"answered":[],'
    made += '"created_at":"2026-11-20T00:00:00Z","deadline":"2026-11-20T00:01:00Z"}'
    hubs = Hubs(cut, away(), good(made, 202), good(made, 202))
    hubs.client.create_measurement("h")
    hubs.client.create_measurement("h")
    keys = [request.headers["idempotency-key"] for request in hubs.asked]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    hubs = Hubs(cut)
    with pytest.raises(Unreachable):
        hubs.client.create_key()
    assert len(hubs.asked) == 1


@pytest.mark.parametrize(("status", "code", "kind"), [
    (404, "not-found", NotFound), (507, "store-full", StoreFull), (500, "error", NetTraceError),
    (418, "of-a-newer-hub", NetTraceError), (429, "quota-exceeded", QuotaExceeded),
])  # fmt: skip
def test_problems_are_errors_of_their_kind(status: int, code: str, kind: type[NetTraceError]) -> None:
    text = f'{{"code":"{code}","detail":"what","hint":"do","request_id":"rq_1","errors":[{{"pointer":"#/x","detail":"y"}}]}}'
    hubs = Hubs(lambda: httpx2.Response(status, text=text, headers={"Retry-After": "3600"}))
    with pytest.raises(kind) as error:
        hubs.client.limits()
    assert type(error.value) is kind
    assert (error.value.status, error.value.request_id, error.value.detail) == (status, "rq_1", "what")
    assert str(error.value) == "what. do (#/x: y)"


def test_what_is_no_hub_is_told_so_and_no_key_follows_elsewhere() -> None:
    with pytest.raises(WireError, match="no Limits"):
        Hubs(good("<html>a router's page</html>")).client.limits()
    hubs = Hubs(lambda: httpx2.Response(302, headers={"Location": "http://elsewhere.example"}))
    with pytest.raises(NetTraceError):
        hubs.client.limits()
    assert len(hubs.asked) == 1
    assert hubs.asked[0].headers["authorization"] == "Bearer secret"


def test_waits_grow_and_differ() -> None:
    first = {backoff(1) for _ in range(20)}
    assert len(first) > 1
    assert max(first) <= 0.25
    assert 5 <= backoff(40) <= 10


async def test_without_the_library_it_says_which_part_is_missing() -> None:
    code = (
        "import sys; sys.modules['httpx2'] = None\nfrom nettrace.errors import MissingExtra\n"
        "try:\n import nettrace.client\nexcept MissingExtra as missing: print(missing.extra)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out == b"client\n"


async def test_looking_again_costs_nothing_while_nothing_is_new(hub: Hub) -> None:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    async with asked(hub, secret(hub, "enterprise"), pause=pause) as client:
        found = await client.measure(HOST, region="nyc", wait_s=30)
        assert (found.results, len(waits) > 5) == ((), True)
        assert [each.used for each in (await client.limits()).policies] == [
            2
        ]  # asked for, and looked at once
