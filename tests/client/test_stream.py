"""A followed stream gives every event once and in order, whatever happens to the line."""

import asyncio
import random
from itertools import islice

import pytest
from tests.api.test_stream import Served
from tests.client.conftest import breaking

from nettrace.client import AsyncClient, Client, Gap, LiveRound, Notice, Snapshot
from nettrace.client.exchange import Link, Reply
from nettrace.client.stream import Follow, Parser
from nettrace.errors import Invalid, NotAllowed, QuotaExceeded, Unauthenticated, Unreachable

PATIENCE_S = 60


async def soon(seconds: float) -> None:
    """Waits are counted, not slept: the line is there again at once."""
    del seconds
    await asyncio.sleep(0)


def cuts(count: int) -> list[int]:
    """Bytes after which connections break: within headers, within events, between them."""
    chance = random.Random(7)
    return [chance.randrange(40, 4000) for _ in range(count)]


async def test_an_async_stream_through_twenty_disconnects_loses_and_repeats_nothing(served: Served) -> None:
    start = await served.feed.ready()
    seen: list[int] = []
    async with breaking(served, cuts(20)) as (url, line), AsyncClient(url, pause=soon) as client:
        stream = client.stream(after=start)
        async with asyncio.timeout(PATIENCE_S):
            served.measure(100)
            while len(seen) < 100:
                event = await anext(stream)
                assert isinstance(event, LiveRound)
                seen.append(event.seq)
        await stream.aclose()
    assert line.broken == 20
    assert seen == list(range(start + 1, start + 101))


async def test_a_blocking_stream_through_twenty_disconnects_loses_and_repeats_nothing(served: Served) -> None:
    start = await served.feed.ready()
    served.measure(100)

    def follow(url: str) -> list[int]:
        with Client(url, pause=lambda seconds: None) as client:
            stream = client.stream(after=start, topics="round", host=["api.example.com"])
            found = [event.seq for event in islice(stream, 100)]
            stream.close()
            return found

    async with breaking(served, cuts(20)) as (url, line), asyncio.timeout(PATIENCE_S):
        seen = await asyncio.to_thread(follow, url)
    assert line.broken == 20
    assert seen == list(range(start + 1, start + 101))


async def test_it_begins_with_what_is_and_rounds_look_as_everywhere_else(served: Served) -> None:
    async with AsyncClient(f"http://127.0.0.1:{served.port}") as client, asyncio.timeout(PATIENCE_S):
        stream = client.stream(host="api.example.com", region="nyc")
        snapshot = await anext(stream)
        assert isinstance(snapshot, Snapshot)
        assert {(each.host, each.region) for each in snapshot.rounds} == {("api.example.com", "nyc")}
        served.measure()
        event = await anext(stream)
        await stream.aclose()
        assert isinstance(event, LiveRound)
        assert event.seq == snapshot.seq + 1
        assert event.round == await client.round(event.round.id)


async def test_what_can_no_longer_be_had_is_a_gap_and_the_stream_goes_on(served: Served) -> None:
    head = await served.feed.ready()
    async with AsyncClient(f"http://127.0.0.1:{served.port}") as client, asyncio.timeout(PATIENCE_S):
        stream = client.stream(after=head + 500)
        gap = await anext(stream)
        assert gap == Gap(seq=head, first=head + 1, last=head + 500, reason="unknown")
        served.measure()
        assert (await anext(stream)).seq == head + 1
        await stream.aclose()


async def test_a_vantages_own_gap_is_a_notice_not_a_hole_of_the_stream() -> None:
    follow = Follow(Link(url="http://hub.example"), after=6)
    (event,) = follow.feed(b'id: 7\nevent: gap\ndata: {"object":"gap","region":"nyc","reason":"full"}\n\n')
    assert isinstance(event, Notice)
    assert (event.topic, event.document["region"], follow.after) == ("gap", "nyc", 7)
    assert list(follow.feed(b"id: 7\nevent: signal\ndata: {}\n\n")) == []  # a repeat is passed over


async def test_a_refusal_is_raised_and_a_hub_that_stays_away_is_given_up(served: Served) -> None:
    async with AsyncClient(f"http://127.0.0.1:{served.port}") as client:
        with pytest.raises(Invalid, match="no topic 'nonsense'"):
            await anext(client.stream(topics="nonsense"))
        served.hub.key("free")
        with pytest.raises(Unauthenticated):
            await anext(client.stream())
    small = served.hub.key("free")["Authorization"].removeprefix("Bearer ")
    async with AsyncClient(f"http://127.0.0.1:{served.port}", small) as client:
        with pytest.raises(NotAllowed) as refused:
            await anext(client.stream())
        assert refused.value.request_id
    async with AsyncClient("http://127.0.0.1:9", pause=soon) as client:
        with pytest.raises(Unreachable):
            await anext(client.stream(give_up_s=5))


def test_events_may_be_cut_anywhere() -> None:
    text = b"retry: 1000\r\n\r\nid: 1\nevent: round\ndata: {}\n\n: word\ndata: a\ndata: b\n\nevent: x\n\n"
    whole = list(Parser().feed(text))
    assert whole == [(b"1", b"round", b"{}"), (b"", b"message", b"a\nb")]
    for at in range(len(text)):
        parser = Parser()
        assert [*parser.feed(text[:at]), *parser.feed(text[at:])] == whole


def test_a_stream_too_many_is_waited_for_as_long_as_the_client_waits() -> None:
    many = Reply(429, {"retry-after": "10"}, b'{"code":"quota-exceeded","detail":"2 streams at once"}')
    follow = Follow(Link(url="http://hub.example", wait_s=25))
    assert [follow.broken(many), follow.broken(many)] == [10, 10]
    with pytest.raises(QuotaExceeded, match="2 streams"):
        follow.broken(many)
