"""Fetching over CCXT's own code, with an exchange that answers from memory: CCXT parses, we page and judge."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import ccxt
import pytest

from nettrace.errors import Invalid, NotFound, SourceError, Unreachable
from nettrace.outside.market_ccxt import fetch_bars, open_exchange

S = 10**9
START = 1_640_995_200
MARKET: dict[str, Any] = {
    "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "isSpotTradingAllowed": True,
    "permissions": ["SPOT"], "orderTypes": ["LIMIT"], "filters": [],
}  # fmt: skip


class Exchange(ccxt.binance):
    """Binance's wire format, 1200 minutes of it, three of them torn."""

    troubles: list[Exception]
    asked: list[int]

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        parts = urlsplit(url)
        if parts.path.endswith("exchangeInfo"):
            return {"symbols": [MARKET]}
        assert parts.path.endswith("klines"), url
        if self.troubles:
            raise self.troubles.pop()
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        since, limit = int(query["startTime"]) // 1000, int(query["limit"])
        self.asked.append(since)
        first = max(0, -(-(since - START) // 60))
        rows = [[(START + 60 * at) * 1000, "10", "11" if at != 700 else "1", "9", "10", str(at)] for at in range(first, min(1200, first + limit))]  # fmt: skip
        return json.loads(json.dumps(rows))


@pytest.fixture
def exchange() -> Exchange:
    made = Exchange(
        {
            "enableRateLimit": False,
            "options": {
                "fetchMarkets": {"types": ["spot"]},
                "crossMarginPairsData": [],
                "isolatedMarginPairsData": [],
            },
        }
    )
    made.troubles, made.asked = [], []
    made.rateLimit = 1
    made.set_markets([made.parse_market(MARKET)])
    return made


def window(minutes: int) -> tuple[int, int]:
    return START * S, (START + 60 * minutes) * S


def test_pages_follow_each_other_and_a_bar_still_open_is_not_taken(exchange: Exchange) -> None:
    now = (START + 60 * 1100 + 30) * S
    bars, reading = fetch_bars(exchange, "BTC/USDT", "1m", window(5000), lambda: now)
    assert len(exchange.asked) == 3
    assert len(set(exchange.asked)) == 3
    assert bars.at_ns[[0, -1]].tolist() == [START * S, (START + 60 * 1099) * S]
    assert (len(bars), reading.rows, reading.skipped) == (1099, 1099, 1)
    assert bars.columns["volume"][5] == 5


def test_a_network_that_fails_is_asked_again_and_then_told(exchange: Exchange) -> None:
    exchange.troubles = [ccxt.RequestTimeout("late"), ccxt.ExchangeNotAvailable("down")]
    bars, _ = fetch_bars(exchange, "BTC/USDT", "1m", window(10), lambda: 2**62)
    assert len(bars) == 10
    exchange.troubles = [ccxt.RequestTimeout("late")] * 4
    with pytest.raises(Unreachable, match="RequestTimeout"):
        fetch_bars(exchange, "BTC/USDT", "1m", window(10), lambda: 2**62)


def test_what_the_exchange_does_not_have_is_said(exchange: Exchange) -> None:
    with pytest.raises(NotFound, match="NO/SUCH"):
        fetch_bars(exchange, "NO/SUCH", "1m", window(10), lambda: 2**62)
    with pytest.raises(Invalid, match="7m"):
        fetch_bars(exchange, "BTC/USDT", "7m", window(10), lambda: 2**62)
    exchange.troubles = [ccxt.PermissionDenied("not from there")]
    with pytest.raises(SourceError, match="not from there"):
        fetch_bars(exchange, "BTC/USDT", "1m", window(10), lambda: 2**62)
    with pytest.raises(Invalid, match="kraken"):
        open_exchange("krakn")


def test_a_real_exchange_object_is_made_with_its_rate_limit_and_no_key() -> None:
    made = open_exchange("kraken")
    assert made.enableRateLimit
    assert not made.apiKey
