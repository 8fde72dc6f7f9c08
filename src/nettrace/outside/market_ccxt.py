"""Bars from exchanges over CCXT's public interface (https://docs.ccxt.com, `fetchOHLCV`): no key, no order, only history."""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from math import nan
from typing import Any

from nettrace.analysis.market.bars import Bars, bars_of
from nettrace.errors import Invalid, MissingExtra, NotFound, SourceError, Unreachable
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.outside.market_file import Reading

PAGE = 500
TRIES = 4
MOST_PAGES = 10_000


def open_exchange(name: str) -> Any:
    """CCXT's object for an exchange, by CCXT's name of it, keeping that exchange's rate limit.

    Raises:
        MissingExtra: CCXT is not installed.
        Invalid: CCXT knows no such exchange, or it offers no bars.
    """
    try:
        ccxt: Any = import_module("ccxt")
    except ImportError:
        raise MissingExtra("market", "nettrace market fetch") from None
    if name not in ccxt.exchanges:
        close = get_close_matches(name, list[str](ccxt.exchanges), n=1)
        raise Invalid(
            f"CCXT knows no exchange '{name}'",
            f"Did you mean '{close[0]}'?" if close else "Names are as binance, kraken",
        )
    exchange = getattr(ccxt, name)({"enableRateLimit": True, "timeout": 20_000})
    if not exchange.has.get("fetchOHLCV"):
        raise Invalid(f"{name} offers no bars", "Import a file: nettrace market import")
    return exchange


def fetch_bars(
    exchange: Any, symbol: str, timeframe: str, window: tuple[Instant, Instant], now: Callable[[], Instant]
) -> tuple[Bars, Reading]:
    """The closed bars of a window, page after page; a bar still open is not taken.

    Args:
        exchange: an object of CCXT's.
        symbol: CCXT's name of the market, as BTC/USDT.
        timeframe: as 1m, 5m, 1h.
        window: from and to, the latter exclusive.
        now: the time, for what is closed.

    Raises:
        NotFound: the exchange has no such market.
        Invalid: it has no such timeframe.
        Unreachable: it does not answer, four times in a row.
        SourceError: it answers with an error.
    """
    ccxt: Any = import_module("ccxt")
    frames: dict[str, Any] = exchange.timeframes or {}
    if frames and timeframe not in frames:
        raise Invalid(f"{exchange.id} has no bars of '{timeframe}'", f"There are {', '.join(frames)}")
    step_ns = int(exchange.parse_timeframe(timeframe)) * NS_PER_S
    since, until = window[0] // NS_PER_MS, min(window[1], now()) // NS_PER_MS
    reading = Reading()
    rows: list[tuple[Instant, dict[str, float]]] = []
    for _ in range(MOST_PAGES):
        if since >= until:
            break
        page = _page(ccxt, exchange, (symbol, timeframe, since, PAGE))
        fresh = [row for row in page if row and row[0] is not None and row[0] >= since]
        if not fresh:
            break
        for row in fresh:
            _take(row, (until, step_ns, now()), rows, reading)
        since = max(int(row[0]) for row in fresh) + step_ns // NS_PER_MS
    bars, reading.replaced = bars_of(rows, step_ns)
    reading.rows = len(rows)
    return bars, reading


def _take(
    row: list[Any],
    edge: tuple[int, int, Instant],
    rows: list[tuple[Instant, dict[str, float]]],
    reading: Reading,
) -> None:
    until_ms, step_ns, now = edge
    at = int(row[0]) * NS_PER_MS
    if row[0] >= until_ms or at + step_ns > now:
        return
    try:
        opened, high, low, close = (float(each) for each in row[1:5])
        volume = nan if len(row) < 6 or row[5] is None else float(row[5])
        if not (0 < low <= min(opened, close) and max(opened, close) <= high) or volume < 0:
            raise ValueError
    except (TypeError, ValueError):
        reading.skip(len(rows) + reading.skipped + 1, f"{row[:6]} is no bar")
        return
    rows.append((at, {"open": opened, "high": high, "low": low, "close": close, "volume": volume}))


def _page(ccxt: Any, exchange: Any, asked: tuple[str, str, int, int]) -> list[list[Any]]:
    """One page; what the network did is tried again, what the exchange refuses is not."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return list(exchange.fetch_ohlcv(*asked))
        except ccxt.BadSymbol:
            raise NotFound(
                f"{exchange.id} has no market '{asked[0]}'", "CCXT writes BTC/USDT, BTC/USDT:USDT"
            ) from None
        except ccxt.NetworkError as problem:
            if left == 0:
                raise Unreachable(
                    f"{exchange.id} does not answer ({type(problem).__name__})", "Try again later"
                ) from None
            exchange.sleep(exchange.rateLimit * 2 ** (TRIES - left))  # CCXT's own: milliseconds
        except ccxt.BaseError as problem:
            raise SourceError(f"{exchange.id} refuses: {str(problem)[:200]}", "") from None
    raise AssertionError("not reached")
