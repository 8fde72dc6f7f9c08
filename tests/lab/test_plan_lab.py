"""One command measures in the lab with real packets and makes the whole document of it."""

import json
import re

import pytest
from tests.cli.placement_truth import EXAMPLE, truth
from tests.cli.program import PROGRAM, run

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_the_earlier_document_is_made_again_from_real_packets(
    lab_permitted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.cli.program.PATIENCE_S", 300)
    done = run([*PROGRAM, "plan", str(EXAMPLE), "--lab", "world", "-o", "json"])
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert made["sites"] == ["vultr:mex", "vultr:ewr", "vultr:sgp", "vultr:nrt"]
    assert {each["evidence"] for each in made["assignments"]} == {"measured"}
    assert all(each["low_ms"] <= each["p50_ms"] <= each["high_ms"] for each in made["assignments"])
    vantage = {each["name"]: each["vantage"] for each in made["brief"]["site"]}
    for pair in made["measured"]:
        true = truth()[vantage[pair["site"]], pair["host"]]
        floor = true["rtt_ms"] + ((true["first_byte_wait_ms"] or 0) if pair["by"] == "request" else 0)
        assert pair["p50_ms"] >= floor - 0.05, pair
    (free,) = [each["blocks"] for each in made["document"]["sections"] if each["id"] == "free"]
    saved = {row["venue"]: row["saves_ms"] for row in free[1]["rows"]}
    assert saved["alpaca"] > 80  # two of three round trips of 43 ms: for nothing
    assert re.match(r".*: keep the connection open: .* ms become .* ms, for nothing", free[0]["text"])
