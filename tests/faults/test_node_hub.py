"""A node against a hub over real HTTP: what it does when all is well, and what when the hub says no."""

import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from tests.faults.node_world import PATIENCE_S, Double, Node, check_ledger, wait_for

from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Endpoint, Role, RoundMethod
from nettrace.node.uplink import HEARTBEAT_S
from nettrace.wire.frames import Assignment, Cadence, Task, Work

OPEN = ("127.0.0.0/8",)
FAST = Cadence(rtt_s=1, exchange_s=1, trace_s=3600, probes=2, spacing_s=0.05)


def task(name: str, host: str, port: int, *methods: RoundMethod, url: str | None = None) -> Task:
    endpoint = Endpoint(name="rest", host=host, role=Role.API, port=port, url=url, expect_status=(200, 401))
    return Task(target=name, endpoint=endpoint, methods=methods)


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    double = Double(tmp_path / "hub", Assignment(version=1, tasks=()))
    yield double
    double.close()


@pytest.fixture
def node(tmp_path: Path, double: Double) -> Iterator[Node]:
    node = Node(tmp_path / "node", double.url)
    yield node
    node.kill()


def test_it_measures_what_is_assigned_and_nothing_it_must_not(double: Double, node: Node) -> None:
    port = double.port
    double.assign(
        Assignment(
            version=3,
            tasks=(
                task(
                    "open",
                    "127.0.0.1",
                    port,
                    RoundMethod.TCP,
                    RoundMethod.HTTP,
                    url=f"http://127.0.0.1:{port}/",
                ),
                task("private", "10.0.0.1", port, RoundMethod.TCP, RoundMethod.ICMP, RoundMethod.TRACE),
                task("metadata", "localhost", 80, RoundMethod.HTTP, url="http://169.254.169.254/"),
                task("shy", "127.0.9.9", port, RoundMethod.TCP),
                task("shy-name", "localhost", port, RoundMethod.TCP),
                task("closed", "127.0.0.3", 1, RoundMethod.TCP),
                task("nameless", "no-such-name.invalid", port, RoundMethod.TCP),
                task("no-url", "127.0.0.2", port, RoundMethod.WS),
            ),
            cadence=FAST,
            open_networks=OPEN,
            opted_out=("127.0.9.0/24", "localhost"),
        )
    )
    double.start()
    node.start()
    series = {
        ("open", "tcp"): ("measured", None),
        ("open", "http"): ("measured", None),
        ("private", "tcp"): ("not_measured", "not_permitted"),
        ("private", "icmp"): ("not_measured", "not_permitted"),
        ("private", "trace"): ("not_measured", "not_permitted"),
        ("metadata", "http"): ("not_measured", "not_permitted"),
        ("shy", "tcp"): ("not_measured", "not_permitted"),
        ("shy-name", "tcp"): ("not_measured", "not_permitted"),
        ("closed", "tcp"): ("failed", "refused"),
        ("nameless", "tcp"): ("failed", "dns"),
        ("no-url", "ws"): ("not_measured", "aborted"),
    }

    def seen() -> set[tuple[str, str]]:
        return {(row["target"], row["method"]) for row in double.records()}

    wait_for(lambda: seen() == series.keys())
    assert node.end() == 0
    for row in double.records():
        made = row["measurement"]
        assert made["vantage"] == "nyc"
        assert (made["outcome"], made["reason"]) == series[row["target"], row["method"]], made
        assert abs(made["at"] - row["due"]) < 20 * NS_PER_S
    check_ledger(double)
    last = double.reports()[-1]
    assert last["assignment"] == 3
    assert last["methods"]["tcp"] == "connect"
    assert abs(last["clock"]["offset_ns"]) <= last["clock"]["error_ns"] + 1_000_000
    assert "this host permits" in node.words()


def test_a_question_for_work_that_ends_without_any_is_a_reason_to_report(double: Double, node: Node) -> None:
    double.start()
    node.start()
    wait_for(lambda: [each for each in double.reports() if each["assignment"] == 1])
    double.assign(Assignment(version=2, tasks=()))
    fresh = double.folder / "work.new"
    fresh.write_bytes(msgspec.msgpack.encode(()))
    before = len(double.reports())
    fresh.replace(double.folder / "work.msgpack")
    wait_for(lambda: [each for each in double.reports() if each["assignment"] == 2])
    sent = [each["sent_at"] for each in double.reports()[before - 1 :]]
    assert min(b - a for a, b in pairwise(sent)) < HEARTBEAT_S * NS_PER_S, "no heartbeat was waited for"


def test_work_is_done_at_once_and_once(double: Double, node: Node) -> None:
    double.start()
    node.start()
    wait_for(double.reports)
    now = double.reports()[-1]["sent_at"]
    asked = task("asked", "127.0.0.2", double.port, RoundMethod.TCP)
    works = tuple(
        Work(
            request=name,
            target="asked",
            endpoint=asked.endpoint,
            method=RoundMethod.TCP,
            probes=3,
            deadline=now + left * NS_PER_S,
        )
        for name, left in (("req_1", 60), ("req_1", 60), ("req_late", -60))
    )
    fresh = double.folder / "work.new"
    fresh.write_bytes(msgspec.msgpack.encode(works))
    fresh.replace(double.folder / "work.msgpack")
    wait_for(lambda: double.records(target="asked"))
    assert node.end() == 0
    (row,) = double.records(target="asked")
    assert row["request"] == "req_1"
    assert row["measurement"]["reason"] == "not_permitted", "who asks now is held to the same policy"


def test_without_the_hub_it_measures_what_it_knew_and_reports_later(double: Double, node: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        tasks = (task("t", "127.0.0.1", target.getsockname()[1], RoundMethod.TCP),)
        double.assign(Assignment(version=2, tasks=tasks, cadence=FAST, open_networks=OPEN))
        double.start()
        node.start()
        wait_for(lambda: double.records(target="t"))
        double.kill()
        node.kill()
        while select.select([target], [], [], 0)[0]:
            target.accept()[0].close()
        gone_at = time.time_ns()
        node.start()
        wait_for(lambda: "records wait in the spool" in node.words())
        wait_for(lambda: select.select([target], [], [], 0)[0])
        assert node.end() == 0
    assert "entries wait in the spool" in node.words()
    before = len(double.rows())
    back_at = time.time_ns()
    double.start()
    node.start()
    wait_for(lambda: len(double.rows()) > before + 2)
    assert node.end() == 0
    check_ledger(double)
    assert any(gone_at < row["due"] < back_at for row in double.records(target="t")), "measured meanwhile"


def test_an_hour_between_the_clocks_is_bridged(double: Double, node: Node) -> None:
    (double.folder / "skew").write_text(str(3600 * NS_PER_S))
    tasks = (task("t", "127.0.0.1", double.port, RoundMethod.TCP),)
    double.assign(Assignment(version=2, tasks=tasks, cadence=FAST, open_networks=OPEN))
    double.start()
    node.start()
    wait_for(lambda: len(double.reports()) > 1)
    assert node.end() == 0
    clock = double.reports()[-1]["clock"]
    assert abs(clock["offset_ns"] - 3600 * NS_PER_S) < NS_PER_S
    assert "measuring goes on" not in node.words(), "corrected at once"


def test_a_busy_hub_is_left_alone_for_as_long_as_it_says(double: Double, node: Node) -> None:
    tasks = (task("t", "127.0.0.1", double.port, RoundMethod.TCP),)
    double.assign(Assignment(version=2, tasks=tasks, cadence=FAST, open_networks=OPEN))
    (double.folder / "wait").write_text("1.5")
    double.start()
    node.start()
    wait_for(lambda: len(double.reports()) > 2)
    sent = [report["sent_at"] for report in double.reports()]
    assert node.end() == 0
    assert all(later - earlier >= 1_500_000_000 for earlier, later in pairwise(sent))
    check_ledger(double)


@pytest.mark.parametrize(("status", "code", "words"), [(410, 4, "revoked"), (409, 1, "does not work with")])
def test_a_node_that_is_not_wanted_any_more_ends(
    double: Double, node: Node, status: int, code: int, words: str
) -> None:
    (double.folder / "say").write_text(str(status))
    double.start()
    node.start()
    assert node.process is not None
    assert node.process.wait(PATIENCE_S) == code
    assert words in node.words()


def test_one_record_the_hub_refuses_does_not_hold_up_the_others(double: Double, node: Node) -> None:
    tasks = tuple(task(name, "127.0.0.2", double.port, RoundMethod.TCP) for name in ("good", "poison"))
    double.assign(Assignment(version=2, tasks=tasks, cadence=FAST, open_networks=OPEN))
    (double.folder / "poison").write_text("poison")
    (double.folder / "say").write_text("422")
    double.start()
    node.start()
    wait_for(lambda: [row for row in double.rows() if row.get("reason") == "refused"])
    wait_for(lambda: len(double.records(target="good")) > 2)
    assert node.end() == 0
    check_ledger(double)
    assert not double.records(target="poison")


def test_a_hub_that_was_restored_from_a_backup_is_told_what_it_lost(double: Double, node: Node) -> None:
    tasks = tuple(task(f"t{number}", "127.0.0.2", double.port, RoundMethod.TCP) for number in range(8))
    double.assign(Assignment(version=2, tasks=tasks, cadence=FAST, open_networks=OPEN))
    double.start()
    node.start()
    wait_for(
        lambda: double.reports() and double.reports()[-1]["first_seq"] > 4
    )  # the node has heard of what came before
    double.kill()
    ledger = double.folder / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:2]))
    double.start()
    wait_for(lambda: len(double.rows()) > 5)
    assert node.end() == 0
    rows = double.rows()
    check_ledger(double)
    (gap,) = [row for row in rows if row.get("reason") == "hub_restored"]
    assert gap["seq"] == 3
    assert gap["last_seq"] <= len(lines), "up to what the node had heard was taken"


def test_a_new_node_waits_for_its_hub_and_can_be_ended_meanwhile(double: Double, node: Node) -> None:
    node.start()
    wait_for(lambda: "trying again until it does" in node.words())
    assert node.end() == 0
    node.start()
    double.start()
    wait_for(double.reports)
    assert node.end() == 0


def refusal(node: Node, change: Callable[[list[str]], list[str]] = lambda words: words) -> tuple[int, str]:
    done = subprocess.run(
        change(node.command), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return done.returncode, done.stderr


def test_what_cannot_be_is_said_in_one_line(double: Double, node: Node, tmp_path: Path) -> None:
    def with_hub(url: str) -> Callable[[list[str]], list[str]]:
        return lambda words: [url if word == double.url else word for word in words]

    assert "not encrypted" in refusal(node, with_hub("http://hub.example"))[1]
    assert refusal(node, with_hub("http://hub.example"))[0] == 2
    assert refusal(node, with_hub("ftp://127.0.0.1"))[0] == 2
    double.start()
    token = node.folder.with_suffix(".token")
    token.write_text("used")
    code, words = refusal(node)
    assert (code, words.count("nettrace fleet token")) == (4, 1), "the next step is said once"
    token.write_text("two words")
    assert refusal(node)[0] == 2
    token.write_text("token")
    node.start()
    wait_for(double.reports)
    code, words = refusal(node)
    assert (code, "already" in words) == (1, True), "one process a folder"
    assert node.end() == 0
    code, words = refusal(node, lambda words: ["lon" if word == "nyc" else word for word in words])
    assert (code, "belongs to a node of region nyc" in words) == (2, True)
