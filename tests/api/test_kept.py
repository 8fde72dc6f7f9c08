"""What is kept in memory: the newest rounds as they come, answers while they hold."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.api.conftest import NOW, Hub, ping

from nettrace.api.given import Answer
from nettrace.api.kept import Answers
from nettrace.hub.latest import TICK_NS, Newest
from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Endpoint, Role, Target


async def test_who_asks_the_same_at_the_same_time_waits_for_one_answer() -> None:
    answers, made, go = Answers(), 0, asyncio.Event()

    async def make() -> Answer:
        nonlocal made
        made += 1
        await go.wait()
        return Answer(content=b"x")

    waiting = [asyncio.create_task(answers.get("question", 1, make)) for _ in range(5)]
    await asyncio.sleep(0)
    go.set()
    assert {answer.content for answer in await asyncio.gather(*waiting)} == {b"x"}
    await answers.get("question", 1, make)
    assert made == 1
    await answers.get("question", 2, make)  # something new came in
    assert made == 2


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    answers, go = Answers(), asyncio.Event()

    async def broken() -> Answer:
        await go.wait()
        raise ValueError("broken")

    async def whole() -> Answer:
        return Answer(content=b"whole")

    waiting = [asyncio.create_task(answers.get("q", 1, broken)) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    for task in waiting:
        with pytest.raises(ValueError, match="broken"):
            await task
    assert (await answers.get("q", 1, whole)).content == b"whole"


async def test_what_is_kept_stays_within_its_bound() -> None:
    answers, made = Answers(most_bytes=10_000), 0

    async def make() -> Answer:
        nonlocal made
        made += 1
        return Answer(content=bytes(1000))

    for number in range(50):
        await answers.get(number, 1, make)
    assert made == 50
    await answers.get(49, 1, make)
    assert made == 50
    await answers.get(0, 1, make)  # the oldest had to go
    assert made == 51


def test_a_refresh_takes_in_what_is_new_and_shares_the_rest(filled: Path, tmp_path: Path) -> None:
    hub = Hub(shutil.copytree(filled, tmp_path / "hub"))
    heard: list[str] = []
    newest = Newest(NOW, lambda rows, _: heard.extend(row.round.series.target for row in rows))
    with hub.reading() as reader:
        assert newest.refresh(reader, NOW)
        first = newest.snapshot
        assert not newest.refresh(reader, NOW + 1)
        assert first.of_target("api.example.com", "x", lambda: b"1") == b"1"
        assert first.of_target("edge.example.com", "x", lambda: b"1") == b"1"
        heard.clear()
        hub.report("nyc", [(NOW, "api.example.com", ping("api.example.com", 5.0, NOW))])
        assert newest.refresh(reader, NOW + 2)
        second = newest.snapshot
        assert heard == ["api.example.com"]
        assert second.of_target("api.example.com", "x", lambda: b"2") == b"2"
        assert second.of_target("edge.example.com", "x", lambda: b"2") == b"1"
        assert second.newest["edge.example.com"] is first.newest["edge.example.com"]
        assert first.newest["api.example.com"] != second.newest["api.example.com"]
        own = Target(
            host="new.example",
            name="New",
            category="c",
            endpoints=(Endpoint(name="a", host="h", role=Role.API),),
        )
        hub.store.put_targets([own], NOW + 3)
        assert newest.refresh(reader, NOW + 3)
        assert "new.example" in newest.snapshot.targets
        assert newest.refresh(reader, NOW + 3 + TICK_NS)
    hub.store.close()


@pytest.mark.parametrize(("after_s", "stale"), [(100, False), (181, True)])
def test_a_round_is_stale_after_three_of_its_intervals(
    filled: Path, tmp_path: Path, after_s: int, stale: bool
) -> None:
    from nettrace.hub import latest

    hub = Hub(shutil.copytree(filled, tmp_path / "hub"))
    newest = Newest(NOW)
    with hub.reading() as reader:
        newest.refresh(reader, NOW)
    (row,) = [
        row for series, row in newest.snapshot.newest["engine.example.com"].items() if series.vantage == "nyc"
    ]
    assert latest.stale(row, row.round.due + after_s * NS_PER_S) is stale
    hub.store.close()
