"""Tables for people: nothing wraps in the middle of a word, nothing that matters is cut, light has its say."""

import re
from typing import Any

import pytest

from nettrace.cli import output, view
from nettrace.cli.output import Emitter, fold
from nettrace.cli.view import HttpView, PingView, TraceView, hop_line

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PING: dict[str, Any] = {
    "target": "api.example", "address": "198.18.0.1", "method": "icmp", "outcome": "measured", "reason": None,
    "detail": None, "sent": 10, "received": 9, "min_ms": 0.125, "p50_ms": 150.04, "p95_ms": 1234.5, "max_ms": 2345.6,
    "clock": "kernel",
}  # fmt: skip
DEAD = {**PING, "received": 0, "outcome": "failed", "reason": "timeout", "clock": None} | dict.fromkeys(
    ("min_ms", "p50_ms", "p95_ms", "max_ms")
)
HTTP: dict[str, Any] = {
    "url": "https://api.example/v1/time", "status": 200, "outcome": "measured", "reason": None, "detail": None,
    "reused": False, "tls_version": "TLSv1.3", "dns_ms": 1.5, "connect_ms": 50.7, "tls_ms": 51.7, "ttfb_ms": 52.5,
    "total_ms": 161.8, "clock": "kernel",
}  # fmt: skip
HOP: dict[str, Any] = {
    "ttl": 4, "address": "198.18.0.14", "rtt_ms": [50.06, None, 50.35], "asn": 64601, "place": {"name": "New York"},
    "mpls": [{"label": 188289}], "name": "ae1.cr1.nyc.a-network-with-a-name.example",
}  # fmt: skip
TRACE: dict[str, Any] = {
    "target": "api.example", "address": "198.18.3.10", "method": "udp", "flow": 0, "outcome": "measured",
    "reason": None, "detail": None, "reached": True, "stop": "reached", "rtt_ms": 50.5, "hops": [HOP] * 12,
    "answered_from": None, "balances": [], "clock": "kernel",
}  # fmt: skip


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A terminal of so many columns."""

    def wide(columns: int) -> None:
        for module in (output, view):
            monkeypatch.setattr(module, "page_width", lambda _stream=None: columns)

    return wide


def shown(capsys: pytest.CaptureFixture[str], a_view: Any, *documents: dict[str, Any]) -> list[str]:
    emitter = Emitter("table", a_view)
    for document in documents:
        emitter.emit(document)
    return COLOUR.sub("", capsys.readouterr().out).splitlines()


@pytest.mark.parametrize("columns", [80, 100, 120, 160])
@pytest.mark.parametrize(
    ("a_view", "documents"),
    [
        (PingView, [PING, DEAD, {**DEAD, "target": "a-name.that-is.longer-than-any.column.example"}]),
        (HttpView, [HTTP, {**HTTP, "reused": True}, {**HTTP, "url": "https://api.example/" + "long/" * 15}]),
        (TraceView, [TRACE, {**TRACE, "rtt_ms": 3.0, "floor_ms": 72.4, "stretch": 0.02}]),
    ],
    ids=["ping", "http", "trace"],
)
def test_no_line_is_longer_than_the_terminal(
    capsys: pytest.CaptureFixture[str], page: Any, columns: int, a_view: type, documents: list[dict[str, Any]]
) -> None:
    page(columns)
    lines = shown(capsys, a_view(), *documents)
    too_long = [line for line in lines if len(line) > columns and " " in line.strip()]
    assert not too_long
    everything = " ".join(lines)
    for document in documents:
        assert (document.get("url") or document["target"]) in everything, "what was measured is never cut"


@pytest.mark.parametrize("columns", [80, 120])
def test_every_figure_of_a_ping_stands_on_its_line(
    capsys: pytest.CaptureFixture[str], page: Any, columns: int
) -> None:
    page(columns)
    heading, line = shown(capsys, PingView(), PING)
    assert " ".join(line.split()).endswith("10 10.0% 0.125 150.0 1234.5 2345.6 kernel icmp")
    assert heading.split()[0] == "TARGET"
    assert ("ADDRESS" in heading) is (columns == 120)


def test_a_target_without_an_answer_says_why_in_place_of_times(
    capsys: pytest.CaptureFixture[str], page: Any
) -> None:
    page(80)
    _, line = shown(capsys, PingView(), DEAD)
    assert line.endswith("100.0%  icmp failed: timeout")


def test_a_url_stands_once_above_its_requests_where_there_is_no_room_beside(
    capsys: pytest.CaptureFixture[str], page: Any
) -> None:
    page(80)
    lines = shown(capsys, HttpView(), HTTP, {**HTTP, "reused": True})
    assert sum(HTTP["url"] in line for line in lines) == 1
    assert "kept alive" in lines[-1]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"floor_ms": 27.5, "stretch": 1.26}, "1.26x the fibre floor"),
        ({"floor_ms": 72.4, "stretch": 0.49}, "faster than light from that place (72.40 ms at least)"),
        ({"floor_ms": None, "stretch": None}, "reached in 12 hops, 50.50 ms  clock kernel"),
        ({"floor_ms": None, "stretch": None, "hops": [HOP]}, "reached in 1 hop, 50.50 ms"),
    ],
)
def test_light_has_the_last_word_on_where_a_target_stands(
    capsys: pytest.CaptureFixture[str], more: dict[str, Any], words: str
) -> None:
    lines = shown(capsys, TraceView(), {**TRACE, **more})
    assert any(words in line for line in lines)
    assert not any("0.49x" in line for line in lines), "a stretch below light's is no stretch"


def test_times_from_inside_a_tunnel_are_said_to_be_no_times_up_to_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hops = [{**HOP, "ttl": ttl, "mpls": [{"label": 17}] if ttl in {2, 3, 6} else []} for ttl in range(1, 8)]
    assert any(
        "hop 2-3, 6: inside a tunnel" in line for line in shown(capsys, TraceView(), {**TRACE, "hops": hops})
    )
    plain = [{**hop, "mpls": []} for hop in hops]
    assert not any("tunnel" in line for line in shown(capsys, TraceView(), {**TRACE, "hops": plain}))


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ("gap", "not reached: nobody answers behind hop 4; failed: timeout"),
        ("max_ttl", "not reached within 12 hops; failed: timeout"),
        ("loop", "not reached: the path runs in a loop; failed: timeout"),
    ],
)
def test_the_end_of_a_trace_is_told_in_words(
    capsys: pytest.CaptureFixture[str], stop: str, words: str
) -> None:
    failed = {
        **TRACE,
        "reached": False,
        "rtt_ms": None,
        "outcome": "failed",
        "reason": "timeout",
        "stop": stop,
    }
    assert shown(capsys, TraceView(), failed)[-1].strip() == words


def test_on_a_narrow_page_only_the_name_of_a_hop_is_cut() -> None:
    whole, narrow = hop_line(HOP, 11), hop_line(HOP, 11, 80)
    assert whole.endswith("ae1.cr1.nyc.a-network-with-a-name.example")
    assert len(narrow) <= 80
    assert "AS64601  MPLS 188289  New York" in narrow
    assert hop_line({**HOP, "address": None}, 11, 80) == "   4  *"


def test_a_silent_probe_between_answers_is_a_dash() -> None:
    assert hop_line(HOP, 11).split()[2:5] == ["50.06", "-", "50.35"]


@pytest.mark.parametrize("width", [24, 30, 40, 60])
def test_folding_breaks_between_words_and_loses_none(width: int) -> None:
    line = "\x1b[31mapi.example     100.0%   failed: timeout (no answer to the connection request)\x1b[0m"
    folded = fold(line, width)
    plain = COLOUR.sub("", folded)
    assert plain.split() == COLOUR.sub("", line).split()
    assert all(len(part) <= width for part in plain.split("\n"))


def test_without_a_terminal_nothing_is_folded() -> None:
    line = "word " * 100
    assert fold(line, None) == line
