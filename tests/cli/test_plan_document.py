"""A hand-made placement document made again by machine: its inputs as a request, the lab's world as what is measured."""

import json
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from tests.cli.placement_truth import EXAMPLE, truth, truth_file
from tests.cli.program import Done, nettrace
from tests.docs.test_commands import NO_FILE, arguments, calls, parse

from nettrace.analysis.alerts.rule import read_book
from nettrace.catalogue.load import read

FORBIDDEN_IN_US = {"binance-spot", "bybit-spot", "mexc"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = truth_file(tmp_path_factory.mktemp("truth"))
    done = nettrace("plan", str(EXAMPLE), "--results", str(file), "--estimates", "never", "-o", "json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def section(made: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return next(each["blocks"] for each in made["document"]["sections"] if each["id"] == name)


def rows(made: dict[str, Any], name: str, key: str) -> list[dict[str, Any]]:
    """The rows of the section's first table that has this column."""
    tables = [block for block in section(made, name) if block["block"] == "table"]
    return next(table["rows"] for table in tables if key in {column["key"] for column in table["columns"]})


def file(made: dict[str, Any], name: str, called: str) -> str:
    return next(
        block["text"] for block in section(made, name) if block["block"] == "file" and block["name"] == called
    )


def test_it_recommends_tokyo_where_the_earlier_document_had_london_and_chicago(made: dict[str, Any]) -> None:
    assert (made["status"], made["sites"]) == (
        "optimal",
        ["vultr:mex", "vultr:ewr", "vultr:sgp", "vultr:nrt"],
    )
    differs = {row["site"]: row["who"] for row in rows(made, "quoted", "site")}
    assert differs == {
        "vultr:mex": "both", "vultr:ewr": "both", "vultr:sgp": "both", "vultr:nrt": "only this plan",
        "vultr:lhr": "only the earlier document", "vultr:ord": "only the earlier document",
    }  # fmt: skip
    theirs, ours = rows(made, "quoted", "latency")
    assert theirs["total"] > ours["total"] == pytest.approx(made["objective_usd_month"], abs=0.01)


def test_every_latency_is_the_lab_s_own_and_none_comes_from_where_the_venue_refuses(
    made: dict[str, Any],
) -> None:
    vantage = {each["name"]: each["vantage"] for each in made["brief"]["site"]}
    note = {each["name"]: each for each in made["brief"]["venue"]}
    for each in made["assignments"]:
        told = note[each["venue"]]
        host = re.sub(r"https://([^/]+)/.*", r"\1", told["url"]) if told["by"] == "request" else told["host"]
        true = truth()[vantage[each["site"]], host]
        wait = (true["first_byte_wait_ms"] or 0) if told["by"] == "request" else 0
        assert each["p50_ms"] == pytest.approx(true["rtt_ms"] + wait, abs=0.001)
        assert each["evidence"] == "given"  # the lab's truth, not a measurement
    country = {"vultr:ewr", "vultr:ord"}
    assert not {each["venue"] for each in made["assignments"] if each["site"] in country} & FORBIDDEN_IN_US


def test_what_has_no_host_is_unknown_and_not_invented(made: dict[str, Any]) -> None:
    assert made["set_aside"] == ["binance-us", "alpaca-data", "eodhd", "fmp", "coingecko", "yahoo-finance"]
    unknown = [row for row in rows(made, "before-after", "after") if row["evidence"] == "unknown"]
    assert len(unknown) == 6
    assert all(row.get("after") is None and row["site"] == "unknown" for row in unknown)


def test_its_numbers_are_judged_and_the_impossible_ones_are_wrong(made: dict[str, Any]) -> None:
    judged = {row["id"]: row for row in rows(made, "quoted", "verdict")}
    assert len(judged) == 60
    impossible = {
        "cdmx-coingecko", "binance-from-singapore", "binance-from-new-jersey", "binance-from-london", "bybit-from-london",
        "sg-cluster-binance", "lag-singapore", "alert-mexico-singapore", "alert-new-jersey-singapore", "alert-london-singapore",
    }  # fmt: skip
    assert {judged[name]["verdict"] for name in impossible} == {"wrong"}
    elsewhere = {"stands-bybit", "stands-kraken", "stands-mexc", "stands-alpaca"}
    assert {judged[name]["verdict"] for name in elsewhere} == {"wrong"}
    assert judged["coinbase-from-new-jersey"]["verdict"] == "right"  # 5-10 ms; the world has about 5
    assert judged["bybit-from-singapore"]["verdict"] == "wrong"  # 5-15 ms; the world has less than 1
    assert judged["phase1-binance-us"]["verdict"] == "unknown"
    assert all(row["why"] for row in judged.values())


def test_phases_add_up_to_the_plan(made: dict[str, Any]) -> None:
    steps = rows(made, "phases", "net_usd_month")
    rented = [row for row in steps if row["what"] == "rent"]
    assert {row["sites"] for row in rented} == {"vultr:nrt", "vultr:ewr", "vultr:sgp"}
    assert sum(row["usd_month"] for row in steps if row["what"] != "not now") == made["cost_usd_month"]
    gains = [row["net_usd_month"] for row in rented]
    assert gains == sorted(gains, reverse=True)
    assert all(row["net_usd_month"] < 0 for row in steps if row["what"] == "not now")


def test_the_return_is_a_formula_with_ranges_and_a_break_even(made: dict[str, Any]) -> None:
    ways = {row["name"]: row for row in rows(made, "return", "break_even")}
    assert ways["day trading"]["verdict"] == "pays"
    assert ways["long term and backtests"]["verdict"] == "does not pay"
    assert all(row["saved"][0] < row["saved"][1] for row in ways.values())
    assert "orders_day * days_month * usd_per_ms_order * saved_ms" in file(made, "return", "formula")


def test_the_files_it_proposes_are_accepted_by_the_programs_that_read_them(made: dict[str, Any]) -> None:
    book = read_book(tomllib.loads(file(made, "watching", "alerts.toml")))
    slow = [rule for rule in book.rule if "slow" in rule.name]
    assert {tuple(rule.vantages) for rule in slow} == {("ewr",), ("sin",), ("nrt",)}
    assert len(slow) == len(made["assignments"])
    assert {rule.session for rule in book.rule} == {None, "us-equities", "cme-globex"}
    assert "engine.binance.lab" in {
        target.host for target in read(file(made, "trial", "targets.toml"), "made")
    }
    for block in section(made, "trial"):
        if block["block"] == "file" and block["language"] == "sh":
            for call in (call for line in block["text"].splitlines() for call in calls(line)):
                try:
                    parse(arguments(call))
                except click.BadParameter as wrong:  # REQUEST.toml and the results need not be here
                    assert NO_FILE.search(wrong.message)


@cache
def _page(folder: Path) -> Done:
    return nettrace(
        "plan",
        str(EXAMPLE),
        "--results",
        str(truth_file(folder)),
        "--estimates",
        "never",
        "-o",
        "html",
        "--deploy",
        str(folder / "out"),
        "--hub",
        "https://hub.example",
    )


def test_the_page_stands_alone(made: dict[str, Any], tmp_path: Path) -> None:
    page = _page(tmp_path).out
    assert page.startswith("<!doctype html>")
    assert not re.findall(r"<(?:script|link|img|iframe)|(?:src|href)=\"(?!#)|url\(|@import", page)
    for each in made["document"]["sections"]:
        assert f'<section id="{each["id"]}">' in page
    assert "<svg" in page


def test_deployment_files_start_a_node_and_overwrite_nothing(tmp_path: Path) -> None:
    assert _page(tmp_path).code == 0
    unit = (tmp_path / "out" / "vultr-nrt" / "nettrace-node.service").read_text()
    words = re.search(r"ExecStart=(.*)", unit)
    assert words
    called = words[1].split()
    assert called[1:4] == ["node", "--hub", "https://hub.example"]
    parse(called[1:])
    read_book(tomllib.loads((tmp_path / "out" / "hub" / "alerts.toml").read_text()))
    script = tmp_path / "out" / "vultr-nrt" / "probe.sh"
    assert subprocess.run(["/bin/sh", "-n", str(script)], check=False).returncode == 0
    again = nettrace(
        "plan",
        str(EXAMPLE),
        "--results",
        str(tmp_path / "truth.ndjson"),
        "--estimates",
        "never",
        "--deploy",
        str(tmp_path / "out"),
    )
    assert (again.code, "is there already: nothing was written" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('now = "vultr:mex"', 'now = "vultr:mars"', "'vultr:mars' is no venue or site of the request"),
        ('today = "cold"', 'today = "warm"', "today is one of cold, kept-alive, websocket"),
        ('title = "', 'titel = "', "the [document] table cannot be read"),
        (
            'document = "placement document, 2025-10"',
            'document = "another"',
            "no claim of 'another' is on record",
        ),
    ],
)
def test_a_wrong_brief_ends_with_2_and_says_what(old: str, new: str, words: str) -> None:
    done = nettrace("plan", "-", stdin=EXAMPLE.read_text().replace(old, new).encode())
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_without_any_measurement_there_is_nothing_to_plan() -> None:
    done = nettrace("plan", str(EXAMPLE), "--estimates", "never")
    assert (done.code, "no venue has a latency to any site" in done.err) == (2, True)
