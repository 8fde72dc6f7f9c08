"""Node and hub are killed again and again while records flow: none lost, none doubled, by a ledger outside of both."""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.node_world import Double, Line, Node, check_ledger, load, wait_for
from tests.unit.node.entries import START

from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Endpoint, Role, RoundMethod
from nettrace.wire.frames import Assignment, Cadence, Task

KILLS = int(os.environ.get("NETTRACE_KILLS", "30"))
NOTHING = Assignment(version=1, tasks=())


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    double = Double(tmp_path / "hub", NOTHING)
    yield double
    double.close()


def number(line: Line) -> int:
    return (line.due - START) // NS_PER_S


def test_killed_under_load_nothing_is_lost_or_doubled(tmp_path: Path, double: Double) -> None:
    chance = random.Random(os.environ.get("NETTRACE_SEED"))
    folder = tmp_path / "node"
    folder.mkdir()
    double.start()
    safe: list[range] = []
    hub_kills = 0
    for kill in range(KILLS):
        first = 1_000_000 * kill + 1
        (folder / "next").write_text(str(first))
        node = load(folder, double.port, 100_000)
        with node.said as said:
            newest = said.readline()
            until = time.monotonic() + chance.uniform(0.0, 0.25)
            while time.monotonic() < until:
                newest = said.readline()
                if kill % 3 == 0 and chance.random() < 0.05:
                    double.kill()
                    double.start()
                    hub_kills += 1
            node.kill()
            newest = (said.read().split() or [newest])[-1]
        safe.append(range(first, int(newest) + 1))
    drained = load(folder, double.port, 0)
    with drained.said:
        assert drained.wait() == 0
    lines = check_ledger(double)
    assert len({line.epoch for line in lines}) == 1
    there = {number(line) for line in lines}
    assert all(there.issuperset(each) for each in safe), "what the disk had taken is not at the hub"
    taken = sum(map(len, safe))
    assert taken > 50 * KILLS
    print(  # noqa: T201 - the ledger, for `pytest -rP`
        f"killed: node {KILLS} times, hub {hub_kills} times; the disk had taken {taken} records, the hub has {len(lines)}: "
        "none lost, none twice"
    )
    db = sqlite3.connect(folder / "spool.sqlite")
    assert db.execute("select count(*) from entry").fetchone() == (0,)
    db.close()


def test_days_without_the_hub_end_in_what_fits_and_a_stated_gap(tmp_path: Path, double: Double) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    alone = load(folder, 0, 10_000, 800_000)
    with alone.said:
        assert alone.wait() == 0
    assert (folder / "spool.sqlite").stat().st_size < 2 * 800_000
    double.start()
    drained = load(folder, double.port, 0, 800_000)
    with drained.said:
        assert drained.wait() == 0
    lines = check_ledger(double)
    rows = double.rows()
    assert rows[-1]["last_seq"] == 10_000, "every number has its record or is in a gap"
    (gap,) = [row for row in rows if row["type"] == "gap"]
    assert gap["reason"] == "spool_full"
    assert gap["since"] == START + gap["seq"] * NS_PER_S
    assert gap["until"] == START + gap["last_seq"] * NS_PER_S
    assert number(lines[-1]) == 10_000, "the newest are there"


def test_a_whole_node_killed_while_it_measures(tmp_path: Path, double: Double) -> None:
    tasks = tuple(
        Task(
            target=f"t{number}",
            endpoint=Endpoint(name="rest", host=f"127.0.0.{number}", role=Role.API, port=double.port),
            methods=(RoundMethod.TCP,),
        )
        for number in range(1, 21)
    )
    cadence = Cadence(rtt_s=1, probes=2, spacing_s=0.05)
    double.assign(Assignment(version=2, tasks=tasks, cadence=cadence, open_networks=("127.0.0.0/8",)))
    double.start()
    node = Node(tmp_path / "node", double.url)
    for kill in range(2):
        before = len(double.records())
        node.start()
        wait_for(lambda before=before: len(double.records()) > before + 20)
        if kill == 1:
            double.kill()
            double.start()
            wait_for(lambda before=before: len(double.records()) > before + 60)
        node.kill()
    node.start()
    before = len(double.records())
    wait_for(lambda: len(double.records()) > before + 20)
    assert node.end() == 0
    assert "the hub has everything" in node.words()
    check_ledger(double)
    rows = double.rows()
    assert len({row["epoch"] for row in rows}) == 1
    gaps = [row for row in rows if row["type"] == "gap"]
    assert [row["reason"] for row in gaps].count("stopped") == 2
    assert {row["measurement"]["outcome"] for row in rows if row["type"] == "record"} <= {
        "measured",
        "failed",
    }
    assert not (tmp_path / "node" / "spool.sqlite.damaged").exists()
    assert (tmp_path / "node" / "identity.json").stat().st_mode & 0o777 == 0o600
