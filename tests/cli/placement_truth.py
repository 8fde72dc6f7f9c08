"""Results as the test plan's jobs would bring them, from the truth of the lab's world."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from nettrace.cli.planning import truth_of
from nettrace.lab.truth import Oracle
from nettrace.lab.worldfile import load
from nettrace.outside.places import find
from nettrace.placement.document.brief import Brief, split
from nettrace.placement.registry.load import built_in
from nettrace.placement.registry.naming import completed
from nettrace.placement.request import parse_request

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "eight-brokers.toml"


def example() -> Brief:
    return split(EXAMPLE.read_text())[1]


@cache
def truth() -> dict[tuple[str, str], dict[str, Any]]:
    """The truth of the example's pairs, by vantage and host."""
    own, brief = split(EXAMPLE.read_text())
    request = parse_request(own, lambda request: completed(request, built_in(), find))
    found = truth_of(Oracle(load("world")), request, brief)
    return {(each.vantage, each.document["target"]): dict(each.document) for each in found}


def truth_file(folder: Path) -> Path:
    file = folder / "truth.ndjson"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in truth().values()))
    return file


def ping(vantage: str, target: str, rtt_ms: list[float]) -> dict[str, Any]:
    """As `nettrace ping -o ndjson` says it, with the vantage an own node would add."""
    return {
        "schema": "nettrace.ping/1", "vantage": vantage, "target": target, "sent": len(rtt_ms), "rtt_ms": rtt_ms,
        "at": "2026-11-20T12:00:00.000000Z",
    }  # fmt: skip
