"""What a file of market data may claim, and what is refused of it."""

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from nettrace.analysis.market.bars import joined
from nettrace.errors import Invalid, NotFound, SourceError
from nettrace.outside.market_file import Layout, read_market
from nettrace.outside.market_store import MarketStore

S = 10**9
HEAD = "timestamp,open,high,low,close,volume\n"


def read(tmp_path: Path, text: str, layout: Layout | None = None):
    path = tmp_path / "market.csv"
    path.write_text(text)
    return read_market(path, layout or Layout(zone="UTC"))


def test_lines_that_cannot_be_right_are_skipped_and_told_by_their_number(tmp_path: Path) -> None:
    good = "2022-01-01 00:00:00,10,11,9,10,5\n"
    bad = [
        "2022-01-01 00:01:00,10,11,9,12,5", "2022-01-01 00:02:00,10,11,9,x,5", "2022-01-01 00:03:00,10,11,9,10,-1",
        "no time,10,11,9,10,5", "2022-01-01 00:04:00,10", "2022-01-01 00:05:00,0,11,0,10,5", "2022-01-01 00:06:00,10,inf,9,10,5",
    ]  # fmt: skip
    bars, reading = read(tmp_path, HEAD + good + "\n".join(bad) + "\n")
    assert (len(bars), reading.rows, reading.skipped) == (1, 1, 7)
    assert [each.row for each in reading.told] == [3, 4, 5, 6, 7, 8, 9]
    assert "outside low and high" in reading.told[0].why


def test_a_time_without_a_zone_is_never_guessed(tmp_path: Path) -> None:
    row = (
        HEAD
        + "2022-03-13 02:30:00,10,11,9,10,5\n2022-03-13 03:30:00,10,11,9,10,5\n2022-11-06 01:30:00,10,11,9,10,5\n"
    )
    with pytest.raises(SourceError, match="--zone"):
        read(tmp_path, row, Layout())
    bars, reading = read(tmp_path, row, Layout(zone="America/New_York"))
    assert bars.at_ns.tolist() == [1_647_156_600 * S]
    assert all("twice or never" in each.why for each in reading.told)
    with pytest.raises(Invalid, match="Mars"):
        read(tmp_path, row, Layout(zone="Mars/Olympus"))


@pytest.mark.parametrize("at", ["1640995200", "1640995200000", "1640995200000000", "1640995200000000000", "2022-01-01T01:00:00+01:00"])  # fmt: skip
def test_times_of_any_unit_are_exact(tmp_path: Path, at: str) -> None:
    bars, _ = read(tmp_path, f"time;open;high;low;close\n{at};1;1;1;1\n", Layout())
    assert bars.at_ns.tolist() == [1_640_995_200 * S]
    assert np.isnan(bars.columns["volume"][0])


def test_a_bar_stamped_at_its_end_begins_a_bar_earlier(tmp_path: Path) -> None:
    bars, _ = read(tmp_path, HEAD + "1640995200,1,1,1,1,1\n", Layout(ends=True))
    assert bars.at_ns.tolist() == [(1_640_995_200 - 60) * S]


def test_times_from_midnight_and_files_without_a_header(tmp_path: Path) -> None:
    names = ("time", "open", "high", "low", "close", "volume")
    bars, _ = read(
        tmp_path, "60000,1,2,1,2,3\n", Layout(columns=names, unit="ms", midnight=date(2017, 12, 17))
    )
    assert bars.at_ns.tolist() == [(1_513_468_800 + 60) * S]


def test_trades_become_bars_and_quotes_join_them(tmp_path: Path) -> None:
    trades = "time,price,amount,side\n1640995230,101,1,buy\n1640995205,100,2,sell\n1640995261,99,1,buy\n"
    quotes = "time,bid,ask\n1640995201,99,101\n1640995202,100,101\n1640995203,102,101\n"
    bars, _ = read(tmp_path, trades, Layout(kind="trades"))
    assert [bars.columns[name][0] for name in ("open", "high", "low", "close", "volume")] == [
        100,
        101,
        100,
        101,
        3,
    ]
    spreads, reading = read(tmp_path, quotes, Layout(kind="quotes"))
    assert [each.why for each in reading.told] == ["ask 101 is below bid 102"]
    both = joined(spreads, bars)
    assert both.columns["spread"][0] == pytest.approx((2 / 100 + 1 / 100.5) / 2)
    assert both.columns["volume"].tolist() == [3, 1]


def test_packed_and_parquet_files_say_the_same(tmp_path: Path) -> None:
    text = HEAD + "1640995200,1,2,1,2,3\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    table = pyarrow.table(
        {"time": [1_640_995_200], "open": [1.0], "high": [2.0], "low": [1.0], "close": [2.0], "volume": [3.0]}
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    for name in ("a.csv.gz", "a.parquet"):
        bars, _ = read_market(tmp_path / name, Layout())
        assert bars.at_ns.tolist() == [1_640_995_200 * S]
        assert bars.columns["volume"].tolist() == [3]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bnot gzip", b"time,open\n1,2\n", b"\xff\xfe\x00"])
def test_files_of_something_else_end_in_a_plain_error(tmp_path: Path, content: bytes) -> None:
    for name in ("a.csv", "a.csv.gz", "a.parquet"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((SourceError, Invalid)):
            read_market(tmp_path / name, Layout(zone="UTC"))


def test_the_store_joins_imports_and_refuses_bars_of_another_length(tmp_path: Path) -> None:
    store = MarketStore(tmp_path)
    first, _ = read(tmp_path, HEAD + "1640995200,1,2,1,2,3\n1640995260,1,2,1,2,4\n")
    second, _ = read(tmp_path, HEAD + "1640995260,1,2,1,2,5\n1640995320,1,2,1,2,6\n")
    store.add("binance:BTC/USDT", first)
    store.add("binance:BTC/USDT", second)
    assert store.names() == ["binance:BTC/USDT"]
    assert store.read("binance:BTC/USDT").columns["volume"].tolist() == [3, 5, 6]
    longer, _ = read(tmp_path, HEAD + "1640995200,1,2,1,2,3\n", Layout(step_ns=300 * S))
    with pytest.raises(Invalid, match="300 s"):
        store.add("binance:BTC/USDT", longer)
    with pytest.raises(NotFound):
        store.read("other")
