"""Whatever stands in a file of results, it is read or reported; nothing crashes."""

import json
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nettrace.wire.atlas import Imported, Malformed, read_atlas
from nettrace.wire.documents import document

RESULTS = Path(__file__).parents[1] / "data" / "atlas" / "results.jsonl"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
kinds = st.sampled_from(["ping", "traceroute", "dns", "http", "sslcert", "ntp"])


def check(lines: list[str | bytes]) -> None:
    for found in read_atlas(lines):
        if isinstance(found, Malformed):
            assert found.why
        else:
            assert isinstance(found, Imported)
            json.dumps(document(found.measurement))


@given(st.lists(st.binary(max_size=60) | st.text(max_size=60), max_size=6))
def test_arbitrary_lines(lines: list[str | bytes]) -> None:
    check(lines)


@given(kinds, st.dictionaries(st.sampled_from(
    ["result", "resultset", "dst_addr", "dst_name", "proto", "error", "cert", "alert", "uri", "src_addr", "sent",
     "rcvd", "min", "max", "paris_id", "dst_port", "ver", "stratum", "ref-id", "time", "fw", "msm_id"]),
    anything, max_size=6))  # fmt: skip
def test_arbitrary_values_in_known_fields(kind: str, fields: dict[str, Any]) -> None:
    check([json.dumps({"type": kind, "prb_id": 1, "timestamp": 1, **fields})])


def test_real_results_with_one_thing_changed() -> None:
    """Three in a hundred values of every real result give way to something that does not belong there."""
    random = Random(5)
    strange: list[Any] = [None, -1, 10**30, 1e308, "", "x", [], {}, [[]], {"a": 1}, True, "nan", "\udc80"]

    def changed(value: Any, chance: float) -> Any:
        if random.random() < chance:
            return random.choice(strange)
        if isinstance(value, dict):
            return {name: changed(part, chance) for name, part in value.items()}
        if isinstance(value, list):
            return [changed(part, chance) for part in value]
        return value

    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    for row in rows:
        for _ in range(60):
            head = {name: row[name] for name in ("type", "prb_id", "timestamp")}
            body = {name: changed(part, 0.03) for name, part in row.items()}
            check([json.dumps({**body, **head})])


def test_nesting_without_end_is_malformed() -> None:
    (found,) = read_atlas(["[" * 100_000])
    assert isinstance(found, Malformed)
