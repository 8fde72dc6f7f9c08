"""What a chart links to exists: every call is one of the API's with parameters it knows; zooms stay within what was."""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.api.table import OPERATIONS
from nettrace.model.instant import NS_PER_S
from nettrace.store.rows import Resolution, Window
from nettrace.web import chart
from nettrace.web.tabular import table

NOW = 1_790_000_000 * NS_PER_S
DAY = Window(NOW - 86_400 * NS_PER_S, NOW)
ODD = "o'dd & <name>/ü.example"
TOOLS = {
    "history": chart.history(ODD, "nyc", ("rest", "tcp"), DAY, Resolution.QUARTER),
    "stages": chart.stages(ODD, "nyc", ("rest", "http"), DAY),
    "paths": chart.paths(ODD, NOW, NOW - 1, "as"),
    "ranking": chart.ranking("A & B", "nyc", DAY),
    "comparison": chart.comparison([ODD, "b.example"], "nyc", DAY),
    "matrix": chart.matrix({"cat": "A & B", "q": "p95", "diff": "1"}, ["nyc", "lon"], DAY),
    "map": chart.world({}, ["nyc"]),
    "days": chart.days(ODD, ("rest", "tcp"), DAY),
}


def operation(address: str):
    path, names = urlsplit(address).path, {name for name, _ in parse_qsl(urlsplit(address).query)}
    for each in OPERATIONS:
        if each.method == "GET" and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each.path), path):
            return each, names
    raise AssertionError(f"no operation answers {path}")


@pytest.mark.parametrize("tools", TOOLS.values(), ids=TOOLS)
def test_every_call_behind_a_chart_is_one_the_api_knows(tools: chart.Tools) -> None:
    calls = [tools.api, *(href for _, href in tools.more)]
    for address in [*calls, *([tools.csv] if tools.csv and tools.csv.startswith("/api/") else [])]:
        found, names = operation(address)
        assert names <= set(found.query.__struct_fields__), address
        assert "format" not in names or found.table


@pytest.mark.parametrize("tools", TOOLS.values(), ids=TOOLS)
def test_no_address_leaves_the_hub_or_its_attribute(tools: chart.Tools) -> None:
    for address in (tools.api, tools.csv or "/", tools.permalink, tools.embed):
        assert address.startswith("/") and not set(address) & set("\"'<> \\")
    assert "embed=" in tools.embed


@given(st.integers(60, 366 * 86_400), st.integers(0, 400 * 86_400))
def test_a_zoom_never_looks_beyond_now_and_closer_is_within(length_s: int, ago_s: int) -> None:
    window = Window(NOW - (ago_s + length_s) * NS_PER_S, NOW - ago_s * NS_PER_S)
    made = chart.zoom("/t/a", {"method": "tcp"}, window, NOW)
    spans = {
        name: dict(parse_qsl(urlsplit(getattr(made, name)).query)) for name in ("closer", "wider", "earlier")
    }
    for each in spans.values():
        assert each["method"] == "tcp"
        assert each["start"] < each["end"] <= chart.zoom("/", {}, Window(0, NOW), NOW).end
    assert spans["closer"]["start"] >= made.start
    assert (made.later is None) == (ago_s == 0)


def test_a_sheet_never_holds_a_formula() -> None:
    body = table([["a", "=1+1"], ["@x", "+5 %"], ["-2", 'say "hi",']]).content.decode()
    assert body == 'a,\'=1+1\r\n\'@x,+5 %\r\n-2,"say ""hi"","\r\n'
