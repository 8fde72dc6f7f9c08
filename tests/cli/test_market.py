"""`nettrace market` as people and programs call it, from a file to "no evidence"."""

import json
from pathlib import Path

import numpy as np
import pytest
from bench.market_data import GRID, busy, remembering, wandering
from tests.cli.program import nettrace
from tests.unit.store.filled import START, fill

from nettrace.analysis.market.rhythm import surprises
from nettrace.model.target import Endpoint, Role, Target


def write_latency(path: Path, log_rtt: np.ndarray) -> None:
    rows = ["t,rtt_ms"]
    for at, value in zip(GRID.at(), log_rtt, strict=True):
        rows.append(f"{at // 10**9 + 300},{'' if np.isnan(value) else float(np.exp(value)):.6}" if np.isfinite(value) else f"{at // 10**9 + 300},")  # fmt: skip
    path.write_text("\n".join(rows) + "\n")


def write_bars(path: Path, log_volume: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    close = 100 * np.exp(np.cumsum(0.001 * rng.standard_normal(len(log_volume))))
    rows = ["timestamp,open,high,low,close,volume"]
    for at, price, volume in zip(GRID.at(), close, np.exp(log_volume), strict=True):
        rows.append(f"{at // 10**9},{price},{price * 1.001},{price * 0.999},{price},{volume:.6}")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latency, a market that knows nothing of it, and one that follows it by 45 minutes."""
    folder = tmp_path_factory.mktemp("market")
    rng = np.random.default_rng(11)
    left = wandering(rng)
    write_latency(folder / "sin.csv", left)
    write_bars(folder / "apart.csv", busy(rng)[0])
    news = np.roll(np.nan_to_num(surprises(left, GRID)), 3)
    write_bars(folder / "bound.csv", remembering(0.35 * news + rng.standard_normal(GRID.count), 0.7))
    for name in ("apart", "bound"):
        done = nettrace(
            "market",
            "import",
            str(folder / f"{name}.csv"),
            "--market",
            name,
            "--bar",
            "900",
            "--data",
            str(folder),
        )
        assert (done.code, done.row["bars"], done.row["skipped"]) == (0, GRID.count, 0)
    return folder


def market(place: Path, *words: str):
    return nettrace("market", *words, "--data", str(place))


def test_what_was_planted_is_found_and_what_was_not_is_no_evidence(place: Path) -> None:
    done = market(place, "lead-lag", "--latency", str(place / "sin.csv"), "--measure", "volume")
    assert done.code == 0
    rows = {row["market"]: row for row in done.rows}
    assert (rows["bound"]["finding"], rows["bound"]["lag_s"], rows["bound"]["first"]) == (
        "evidence",
        2700,
        "latency",
    )
    assert rows["apart"]["finding"] == "no_evidence"
    assert rows["bound"]["schema"] == "nettrace.market_lead_lag/1"
    assert len(rows["bound"]["by_lag"]) == 17
    alone = market(place, "lead-lag", "--latency", str(place / "sin.csv"), "--market", "apart", "--measure", "volume", "-o", "table")  # fmt: skip
    assert "no evidence" in alone.out
    assert "no evidence in 1" in alone.err


def test_every_test_is_kept_and_counts_for_the_next(place: Path) -> None:
    before = len(market(place, "ledger").rows)
    first = market(place, "backtest", "--latency", str(place / "sin.csv"), "--market", "apart", "--side", "long", "--threshold", "1", "--threshold", "1.5")  # fmt: skip
    again = market(
        place,
        "backtest",
        "--latency",
        str(place / "sin.csv"),
        "--market",
        "apart",
        "--side",
        "short",
        "--threshold",
        "1",
    )
    assert first.row["finding"] == again.row["finding"] == "no_evidence"
    assert again.row["trials"] == first.row["trials"] + 1 > 2
    assert first.row["cost_bps"] == 5
    assert first.row["gross_pct"] - first.row["net_pct"] == pytest.approx(
        2 * 0.05 * first.row["trades"], abs=0.051 * 6
    )
    assert len(market(place, "ledger").rows) == before + 3


def test_events_of_a_file_are_studied_by_when_they_were_detected(place: Path) -> None:
    rng = np.random.default_rng(5)
    lines = []
    for at in sorted(rng.choice(GRID.at()[10:-10], 30, replace=False)):
        lines.append(json.dumps({"kind": "shift", "at": int(at) / 1e9, "detected_at": int(at) / 1e9 + 1000}))
    (place / "events.ndjson").write_text("\n".join(lines) + "\n")
    words = ("study", "--events", str(place / "events.ndjson"), "--market", "apart", "--measure", "volume", "--horizon", "4")  # fmt: skip
    done = market(place, *words)
    assert {(row["phase"], row["horizon_s"]) for row in done.rows} == {
        ("during", 900),
        ("before", 3600),
        ("after", 3600),
    }
    assert {row["finding"] for row in done.rows} == {"no_evidence"}
    assert [row["effect_sd"] for row in market(place, *words, "--happened").rows] != [
        row["effect_sd"] for row in done.rows
    ]


def test_a_hubs_own_history_is_the_other_side(tmp_path: Path) -> None:
    writer = fill(tmp_path, days=1, every_s=900)
    endpoint = Endpoint(name="rest", host="a.example", role=Role.API)
    writer.put_targets([Target(host="a.example", name="A", category="crypto", endpoints=(endpoint,))], START)
    writer.close()
    rows = ["time,open,high,low,close,volume", *(f"{1_728_000_000 + 60 * at},10,11,9,10,{at % 7 + 1}" for at in range(1440))]  # fmt: skip
    (tmp_path / "bars.csv").write_text("\n".join(rows))
    assert market(tmp_path, "import", str(tmp_path / "bars.csv"), "--market", "m").code == 0
    done = market(tmp_path, "lead-lag", "--target", "a.example")
    assert done.code == 5, "a day is too short to tell"
    assert {row["finding"] for row in done.rows} == {"cannot_tell"}
    assert {row["latency"].split()[1] for row in done.rows} == {"a.example"}
    exported = tmp_path / "a.csv"
    nettrace(
        "export",
        "a.example",
        "--from",
        "2024-10-04",
        "--to",
        "2024-10-05",
        "--out",
        str(exported),
        "--data",
        str(tmp_path),
    )
    again = market(tmp_path, "lead-lag", "--latency", str(exported))
    assert [(row["latency"], row["buckets"]) for row in again.rows] == [
        (row["latency"], row["buckets"]) for row in done.rows
    ]
    words = ["test", "p", "q", "finding"]
    kept = [[row[word] for word in words] for row in market(tmp_path, "ledger").rows]
    assert kept[: len(done.rows)] == kept[len(done.rows) :], "from either way it is the same test"


def test_mistakes_are_one_line_and_say_what_to_do(place: Path, tmp_path: Path) -> None:
    for words, said in (
        (
            ("lead-lag", "--latency", str(place / "sin.csv"), "--market", "none"),
            "no market 'none'. There are apart, bound",
        ),
        (
            ("lead-lag", "--latency", str(place / "sin.csv"), "--step", "60"),
            "Give --step as a multiple of 900",
        ),
        (("import", str(place / "sin.csv"), "--market", "x"), "need a column 'open'"),
        (("lead-lag", "--latency", str(place / "sin.csv"), "--from", "soon"), "'soon' is no time"),
        (("fetch", "no-such", "BTC/USDT", "--from", "2026-01-01"), "knows no exchange"),
    ):
        done = market(place, *words)
        assert done.code in {1, 2}, done.err
        assert done.out == ""
        assert said in done.err
    assert "no market data" in market(tmp_path, "lead-lag", "--latency", str(place / "sin.csv")).err
