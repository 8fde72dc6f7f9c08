"""`nettrace routes replay`: recorded traces in, route changes out, whatever their form."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import nettrace
from tests.unit.routes.paths import EAST, TARGET, WEST, trace

from nettrace.wire.documents import trace_document

FIELDS = {"schema", "vantage", "target", "at", "class", "from", "to", "rtt_delta_ms", "confidence"}
PREFIXES = "prefix,asn\n198.51.100.0/24,64500\n198.18.0.0/16,64501\n198.19.0.0/16,64502\n"
SILENT = (*WEST[:2], None, *WEST[3:])


def own() -> list[dict[str, Any]]:
    """Two vantages; the first one's route changes after eight traces, the second's never."""
    made = [trace(WEST if n < 8 else EAST, n, vantage="fra", rtt_ms=40 if n < 8 else 55) for n in range(14)]
    made += [trace(SILENT if n % 3 else WEST, n, vantage="nyc") for n in range(14)]
    return [trace_document(each) for each in reversed(made)]


def atlas() -> list[dict[str, Any]]:
    """One probe's raw results with rotating Paris ids and silence at the end."""

    def result(number: int) -> dict[str, Any]:
        hops = [*(WEST if number < 8 else EAST), None, None]
        return {
            "fw": 5080, "type": "traceroute", "prb_id": 7126, "msm_id": 1, "timestamp": 1_767_225_600 + 900 * number,
            "dst_name": "api.example", "dst_addr": TARGET, "src_addr": "192.168.1.5", "proto": "UDP", "af": 4,
            "paris_id": number % 16,
            "result": [
                {"hop": ttl, "result": [{"from": hop, "rtt": 1.5 * ttl, "ttl": 250} if hop else {"x": "*"}]}
                for ttl, hop in enumerate(hops, 1)
            ],
        }  # fmt: skip

    return [result(number) for number in range(24)]


def write(path: Path, rows: list[dict[str, Any]], *more: str) -> str:
    lines = [*(json.dumps(row) for row in rows), *more]
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


@pytest.mark.parametrize("name", ["own.jsonl", "own.jsonl.gz"])
def test_the_change_is_told_with_what_the_contract_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "asn.csv").write_text(PREFIXES)
    done = nettrace("routes", "replay", write(tmp_path / name, own()), "--asn", str(tmp_path / "asn.csv"))
    row = done.row
    assert done.code == 0 and set(row) >= FIELDS
    assert (row["schema"], row["vantage"], row["target"]) == ("nettrace.route_change/1", "fra", "api.example")
    assert (row["class"], row["at"]) == ("as_path", "2026-01-01T02:00:00.000000Z")
    assert row["from"] == [*WEST, TARGET] and row["to"] == [*EAST, TARGET]
    assert (row["from_as"], row["to_as"]) == ([64500, 64501], [64500, 64502, 64501])
    assert (row["rtt_delta_ms"], row["rtt_moved"]) == (15.0, True)
    assert 0.5 < row["confidence"] < 1


def test_without_a_table_it_is_an_ip_path_and_a_person_reads_which_hops(tmp_path: Path) -> None:
    file = write(tmp_path / "own.jsonl", own())
    assert nettrace("routes", "replay", file).row["class"] == "ip_path"
    shown = nettrace("routes", "replay", file, "-o", "table").out
    assert f"- {WEST[2]} {WEST[3]}\n" in shown and f"+ {EAST[2]} {EAST[3]}\n" in shown


def test_raw_atlas_results_are_read_as_they_are(tmp_path: Path) -> None:
    row = nettrace("routes", "replay", write(tmp_path / "atlas.jsonl.gz", atlas())).row
    assert (row["vantage"], row["target"], row["method"]) == ("atlas:7126", "api.example", "udp")
    assert (row["at"], row["rtt_delta_ms"]) == ("2026-01-01T02:00:00.000000Z", None)


def test_broken_lines_are_named_and_cost_nothing_else(tmp_path: Path) -> None:
    file = write(
        tmp_path / "own.jsonl", own(), "{", '{"schema":"nettrace.trace/1"}', '{"schema":"nettrace.ping/1"}'
    )
    done = nettrace("routes", "replay", file)
    assert (done.code, len(done.rows)) == (6, 1)
    assert ":29: skipped: not JSON" in done.err and ":30: skipped: Object missing required field" in done.err


def test_a_file_without_traces_and_a_missing_one_fail(tmp_path: Path) -> None:
    empty = nettrace("routes", "replay", write(tmp_path / "empty.jsonl", []))
    assert (empty.code, empty.out) == (1, "")
    missing = nettrace("routes", "replay", str(tmp_path / "missing"))
    assert missing.code == 1 and "No such file" in missing.err
