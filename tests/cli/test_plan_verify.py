"""`nettrace plan verify`: promises against results, as a user runs it."""

import json
import time
from pathlib import Path

import pytest
from tests.cli.placement_truth import ping
from tests.cli.program import Done, nettrace

from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import EnrolToken
from nettrace.wire.frames import Record, Report

REQUEST = """\
[limits]
max_sites = 2
[document]
[[document.venue]]
name = "v1"
host = "one.example"
[[document.venue]]
name = "v2"
host = "two.example"
[[document.site]]
name = "s1"
vantage = "ams"
[[venue]]
name = "v1"
usd_per_ms_month = 5.0
[[venue]]
name = "v2"
usd_per_ms_month = 5.0
[[site]]
name = "s1"
usd_month = 10.0
"""
BEFORE = [
    ping("ams", "one.example", [10.0 + n / 10 for n in range(12)]),
    ping("ams", "two.example", [50.0] * 12),
]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    before = tmp_path / "before.ndjson"
    before.write_text("".join(f"{json.dumps(row)}\n" for row in BEFORE))
    done = nettrace("plan", "-", "--results", str(before), "-o", "json", stdin=REQUEST.encode())
    assert done.code == 0, done.err
    file = tmp_path / "plan.json"
    file.write_text(done.out)
    return file


def verify(plan: Path, rows: list[dict[str, object]], *words: str) -> Done:
    after = plan.with_name("after.ndjson")
    after.write_text(
        "".join(f"{json.dumps({k: v for k, v in row.items() if k != 'vantage'})}\n" for row in rows)
    )
    return nettrace("plan", "verify", str(plan), "--results", f"s1={after}", *words)


def test_measured_pairs_are_evidence_with_an_interval(plan: Path) -> None:
    (one, two) = json.loads(plan.read_text())["assignments"]
    assert (one["evidence"], one["p50_ms"], one["low_ms"], one["high_ms"]) == ("measured", 10.5, 10.2, 10.9)
    assert (two["p50_ms"], two["low_ms"], two["high_ms"]) == (50.0, 50.0, 50.0)


ONE, TWO = ping("", "one.example", [10.4] * 12), ping("", "two.example", [51.0] * 12)
SLOW = ping("", "two.example", [70.0] * 12)
CASES = [
    ([ONE, TWO], 0, ["kept", "kept"]),
    ([ONE, SLOW], 6, ["kept", "broken"]),
    ([ONE], 6, ["kept", "not_measured"]),
    ([ping("", "one.example", [30.0] * 12), SLOW], 1, ["broken", "broken"]),
    ([], 5, ["not_measured", "not_measured"]),
]


@pytest.mark.parametrize(("rows", "code", "verdicts"), CASES)
def test_each_promise_is_kept_broken_or_not_measured(
    plan: Path, rows: list[dict[str, object]], code: int, verdicts: list[str]
) -> None:
    done = verify(plan, rows)
    assert done.code == code
    assert [row["verdict"] for row in done.rows] == verdicts
    for row in done.rows:
        assert (row["p50_ms"] is None) == (row["verdict"] == "not_measured")


def test_a_result_that_may_be_either_way_is_not_sure(plan: Path) -> None:
    wide = ping("", "two.example", [40.0] * 5 + [54.0] * 2 + [90.0] * 5)
    first, second = verify(plan, [ONE, wide]).rows
    assert (first["sure"], second["verdict"], second["sure"]) == (True, "kept", False)


def test_the_table_says_it_in_a_line_each(plan: Path) -> None:
    done = verify(plan, [ONE, SLOW], "-o", "table")
    assert [line.split()[:3] for line in done.out.splitlines()[1:]] == [
        ["kept", "v1", "s1"],
        ["broken", "v2", "s1"],
    ]
    assert "1 kept, 1 broken, 0 not measured" in done.err


def test_what_is_no_plan_ends_with_2(plan: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.json"
    bare.write_text('{"schema": "nettrace.plan/1", "assignments": []}')
    assert (
        "does not say which hosts were measured"
        in nettrace("plan", "verify", str(bare), "--results", str(bare)).err
    )
    assert nettrace("plan", "verify", str(plan)).code == 2
    nowhere = tmp_path / "nowhere.ndjson"
    nowhere.write_text(json.dumps({"schema": "nettrace.ping/1", "target": "one.example", "rtt_ms": []}))
    done = nettrace("plan", "verify", str(plan), "--results", str(nowhere))
    assert (done.code, "does not say where it was taken" in done.err) == (2, True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hub whose node in Amsterdam has asked the first venue ten times and never got through to the second."""
    folder = tmp_path_factory.mktemp("hub")
    writer, now = EmbeddedWriter(folder), time.time_ns()
    writer.put_token(EnrolToken(id="t", hash=b"h", region="ams", created_at=0, expires_at=2**62))
    writer.enrol(b"h", Vantage(code="ams", node="n"), b"k", now)
    entries: list[Record] = []
    for number in range(10):
        due = now - (3000 - number * 60) * NS_PER_S
        sample = Sample(
            state=SampleState.ANSWERED, rtt_ns=10_400_000 + number, error_ns=900, grade=Grade.KERNEL
        )
        shared = {"address": "192.0.2.1", "at": due, "method": Method.TCP, "port": 443}
        good = Ping(target="one.example", outcome=Outcome.MEASURED, samples=(sample,), **shared)
        bad = Ping(target="two.example", outcome=Outcome.FAILED, reason=Reason.TIMEOUT, **shared)
        for ping_ in (good, bad):
            entries.append(
                Record(seq=len(entries) + 1, target=ping_.target, endpoint="main", method=RoundMethod.TCP, due=due, measurement=ping_)
            )  # fmt: skip
    writer.accept(Report(node="n", epoch="e", first_seq=1, entries=tuple(entries), sent_at=now), now)
    writer.close()
    return str(folder)


def test_own_nodes_history_keeps_a_promise_or_says_nothing(plan: Path, hub: str) -> None:
    done = nettrace("plan", "verify", str(plan), "--data", hub, "--hours", "2")
    first, second = done.rows
    assert (done.code, first["verdict"], first["n"], first["lost"]) == (6, "kept", 10, 0)
    assert first["p50_ms"] == pytest.approx(10.4, rel=0.01)
    assert first["low_ms"] is not None
    assert second["verdict"] == "not_measured"
    assert nettrace("plan", "verify", str(plan), "--data", hub, "--hours", "0.1").code == 5


def test_a_plan_is_made_from_own_nodes_history(hub: str) -> None:
    request = REQUEST.replace("[document]", '[document]\nunmeasured = "set aside"')
    done = nettrace("plan", "-", "--data", hub, "-o", "json", stdin=request.encode())
    made = json.loads(done.out)
    assert (done.code, made["set_aside"], made["assignments"][0]["evidence"]) == (0, ["v2"], "measured")
