"""Whatever a service answers, it becomes measurements or a SourceError: never a crash, never a terminal's escape code."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.outside_remote.doubles import PROBE, measurement, pinged, result

from nettrace.errors import SourceError
from nettrace.model.remote import Errand
from nettrace.wire.atlas_request import read_balance, read_created, read_probes, read_progress
from nettrace.wire.globalping import read_answer, read_limits
from nettrace.wire.globalping import read_created as globalping_created
from nettrace.wire.remote import remote_document, rtt_rows

ERRANDS = (
    Errand(kind="ping", target="api.example", places=("Tokyo",)),
    Errand(kind="trace", target="api.example", places=("Tokyo",)),
    Errand(kind="http", target="api.example", places=("Tokyo",), url="https://api.example/"),
)
SOMETHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
GOOD = [
    pinged(1.0, 2.0, total=3)["result"],
    result({"resolvedAddress": "1.0.0.1", "resolvedHostname": "x", "hops": []})["result"],
    result({"statusCode": 200, "timings": {"total": 1}, "tls": None, "resolvedAddress": "1.0.0.1"})["result"],
]


@settings(max_examples=150)
@given(st.sampled_from(ERRANDS), st.sampled_from(GOOD), st.data())
def test_a_bent_result_is_read_or_named(errand: Errand, good: dict[str, Any], data: st.DataObject) -> None:
    bent = {**good, data.draw(st.sampled_from([*good, "status"])): data.draw(SOMETHING)}
    probe = {**PROBE, data.draw(st.sampled_from([*PROBE])): data.draw(SOMETHING)}
    answer = read_answer(measurement([{"probe": probe, "result": bent}]), errand)
    assert len(answer.results) + len(answer.malformed) == 1
    for found in answer.results:
        msgspec.json.encode(remote_document(found, "globalping:x"))
        rtt_rows([found])


@settings(max_examples=100)
@given(SOMETHING)
def test_any_json_is_a_shape_or_a_source_error(raw: object) -> None:
    for read in (
        globalping_created, read_limits, lambda it: read_answer(it, ERRANDS[0]), read_balance, read_created,
        read_progress, lambda it: read_probes(it, 4),
    ):  # fmt: skip
        try:
            read(raw)
        except SourceError as problem:
            assert problem.detail


def test_a_strangers_words_reach_no_terminal_raw() -> None:
    evil = "Tok\x1b[31myo\r\n"
    row = {
        "probe": {**PROBE, "city": evil, "network": evil},
        "result": {"status": "failed", "rawOutput": evil},
    }
    [found] = read_answer(measurement([row]), ERRANDS[0]).results
    shown = msgspec.json.encode(remote_document(found, "x")).decode()
    assert "\\u001b" not in shown and "\\r" not in shown
    assert found.probe.code == "globalping:tok-31myo-jp-as16509"


def test_a_probe_beyond_the_globe_is_no_probe() -> None:
    answer = read_answer(measurement([pinged(1.0, latitude=91.0)]), ERRANDS[0])
    assert answer.results == () and "latitude" in answer.malformed[0]


@pytest.mark.parametrize("when", ["yesterday", "2026-11-20T10:00:00", ""])
def test_a_time_that_is_none_is_named(when: str) -> None:
    with pytest.raises(SourceError, match="no time"):
        read_answer({**measurement([]), "createdAt": when}, ERRANDS[0])
