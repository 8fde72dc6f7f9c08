"""Examples of the documents of `nettrace market`, made by its commands on data that says nothing."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from click.testing import CliRunner

from nettrace.cli.commands import market

START, STEP_S, DAYS = 1_640_995_200, 3600, 10


def market_documents() -> Iterator[dict[str, Any]]:
    """Every schema, once with all it can hold and once with the nulls of too little data."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        tests = ["--step", str(STEP_S), "--data", folder]
        latency = ["--latency", f"{folder}/latency.csv"]
        short = ["--to", "2022-01-03"]
        for words in (
            ["import", f"{folder}/bars.csv", "--market", "venue:A", "--bar", str(STEP_S), "--data", folder],
            ["list", "--data", folder],
            ["lead-lag", *latency, *tests],
            ["lead-lag", *latency, *short, *tests],
            ["study", "--events", f"{folder}/events.csv", *tests],
            ["study", "--events", f"{folder}/events.csv", *short, *tests],
            [
                "backtest",
                *latency,
                "--side",
                "long",
                "--threshold",
                "1",
                "--folds",
                "2",
                "--window",
                "8",
                *tests,
            ],
            [
                "backtest",
                *latency,
                "--side",
                "long",
                "--threshold",
                "99",
                "--folds",
                "2",
                "--window",
                "8",
                *tests,
            ],
            ["ledger", "--data", folder],
        ):
            done = CliRunner().invoke(market.command, [*words, "-o", "ndjson"])
            yield from map(json.loads, done.stdout.splitlines())


def _write(folder: Path) -> None:
    random = Random(1)
    rows = {
        "bars": ["time,open,high,low,close,volume", f"{START},x,1,1,1,1"],
        "latency": ["t,rtt_ms"],
        "events": ["at,kind"],
    }
    for place in range(DAYS * 86_400 // STEP_S):
        at = START + place * STEP_S
        price = 100 + random.random()
        rows["bars"].append(f"{at},{price},{price + 1},{price - 1},{price},{random.random() + 1}")
        rows["latency"].append(f"{at + 60},{10 + random.random()}")
        if place % 9 == 4:
            rows["events"].append(f"{at},shift")
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
