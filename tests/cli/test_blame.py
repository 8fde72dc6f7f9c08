"""`nettrace blame`: which leg became worse, from a file of traces."""

import json
from pathlib import Path

import pytest
from tests.cli.program import nettrace
from tests.unit.routes.test_blame import internet, measured

from nettrace.wire.documents import trace_document

BAD = ("10.1.0.1", "10.2.1.1")


def write(path: Path, added_ms: float) -> str:
    traces = measured(internet(), {BAD: added_ms})
    path.write_text("".join(f"{json.dumps(trace_document(trace))}\n" for trace in traces))
    return str(path)


@pytest.mark.parametrize("since", ["2026-01-01T01:30:00Z", "1767231000"])
def test_the_leg_is_named_as_the_contract_says(tmp_path: Path, since: str) -> None:
    done = nettrace("blame", write(tmp_path / "t.jsonl", 12.0), "--since", since)
    row = done.row
    assert (done.code, row["schema"], row["verdict"]) == (0, "nettrace.blame/1", "leg")
    (leg,) = row["legs"]
    assert (leg["a"], leg["b"], leg["loss"]) == (*BAD, None)
    assert 11 < leg["added_ms"] < 13 and 0 < leg["confidence"] <= 1
    assert sorted(row["affected"]) == [[f"v{v}", f"t{t}"] for v in range(4) for t in (1, 3, 5)]


def test_nothing_worse_is_none_and_a_person_reads_it(tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", 0.0)
    row = nettrace("blame", file, "--since", "1767231000").row
    assert (row["verdict"], row["legs"], row["affected"]) == ("none", [], [])
    assert nettrace("blame", file, "--since", "1767231000", "-o", "table").out == "nothing got worse\n"


def test_a_person_reads_the_leg_and_whom_it_concerns(tmp_path: Path) -> None:
    shown = nettrace("blame", write(tmp_path / "t.jsonl", 12.0), "--since", "1767231000", "-o", "table").out
    assert shown.startswith("at fault\n  10.1.0.1 - 10.2.1.1  +1")
    assert "affected: v0 to t1, v0 to t3" in shown and "(of 24 pairs)" in shown


def test_a_time_that_is_none_is_said(tmp_path: Path) -> None:
    done = nettrace("blame", write(tmp_path / "t.jsonl", 0.0), "--since", "yesterday")
    assert done.code != 0 and "'yesterday' is no time" in done.err
