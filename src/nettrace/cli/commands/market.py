"""`nettrace market`: latency against markets, with tests that know chance. Nothing here trades."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.exits import NOTHING_MEASURED
from nettrace.cli.folder import data_option
from nettrace.cli.number import Finite
from nettrace.cli.output import FORMATS, Document, Emitter, View
from nettrace.errors import Invalid, MissingExtra
from nettrace.model.instant import NS_PER_S, Instant, rfc3339

if TYPE_CHECKING:
    from nettrace.analysis.market.bars import Bars
    from nettrace.cli.market_run import Bench
    from nettrace.cli.market_source import Asked
    from nettrace.outside.market_file import Reading

MEASURES = ("volume", "volatility", "spread")
Command = Callable[..., object]
_output = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)


@click.group("market")
def command() -> None:
    """Hold latency against markets: import, study, lead-lag, backtest. It says "no evidence" where there is none; nothing trades.

    Every test made on a data folder is kept in its ledger, nulls too, and counts as a trial of every later one.
    """
    if find_spec("numpy") is None:
        raise MissingExtra("hub", "nettrace market")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--market", required=True, metavar="NAME", help="What to call it, as binance:BTC/USDT.")
@click.option("--kind", type=click.Choice(["bars", "trades", "quotes"]), default="bars", show_default=True)
@click.option("--columns", metavar="A,B,..", help="Names of the columns, for a file without a header.")
@click.option(
    "--time", "time_column", metavar="COLUMN", help="The column of times. Default: by its usual names."
)
@click.option(
    "--unit", type=click.Choice(["s", "ms", "us", "ns"]), help="Of numeric times. Default: by their size."
)
@click.option(
    "--zone",
    metavar="ZONE",
    help="Of times that name none: UTC, America/New_York. Without it such rows are skipped.",
)
@click.option("--midnight", metavar="DAY", help="Times count from this day's midnight, as 2026-01-31.")
@click.option(
    "--stamped", type=click.Choice(["open", "close"]), default="open", show_default=True,
    help="Whether a bar's time is where it begins or where it ends.",
)  # fmt: skip
@click.option(
    "--bar", "bar_s", type=click.IntRange(1, 86_400), default=60, show_default=True, help="Seconds of a bar."
)
@data_option
@_output
def import_file(
    file: Path, market: str, kind: str, columns: str | None, time_column: str | None, unit: str | None, zone: str | None,
    midnight: str | None, stamped: str, bar_s: int, data: Path | None, output: str | None,
) -> None:  # fmt: skip
    """Read FILE (CSV, CSV.gz or Parquet) of bars, trades or quotes into the data folder.

    Bars need open, high, low, close (volume and spread if known); trades price and amount; quotes bid and ask. Rows that
    cannot be right are skipped and told. Quotes join the trades or bars of the same market.
    """
    from nettrace.outside.market_file import Layout, read_market

    layout = Layout(
        kind, tuple(columns.split(",")) if columns else (), time_column, unit, zone,
        None if midnight is None else _day(midnight), stamped == "close", bar_s * NS_PER_S,
    )  # fmt: skip
    bars, reading = read_market(file, layout)
    _keep(market, bars, reading, _folder(data), output)


@command.command("fetch")
@click.argument("exchange")
@click.argument("symbol")
@click.option("--timeframe", default="1m", show_default=True, metavar="FRAME", help="As 1m, 5m, 1h.")
@click.option("--from", "start", required=True, metavar="TIME", help="Inclusive; RFC 3339 or a day, UTC.")
@click.option("--to", "end", metavar="TIME", help="Exclusive. Default: now.")
@click.option("--market", metavar="NAME", help="What to call it. Default: EXCHANGE:SYMBOL.")
@data_option
@_output
def fetch(
    exchange: str, symbol: str, timeframe: str, start: str, end: str | None, market: str | None, data: Path | None,
    output: str | None,
) -> None:  # fmt: skip
    """Fetch bars of SYMBOL (BTC/USDT) from EXCHANGE (binance) by CCXT, keeping its rate limit. No key is used, or asked for.

    It is the one command of these that connects to somebody. Check the exchange's terms for what you may do with its data.
    """
    from nettrace.outside.market_ccxt import fetch_bars, open_exchange

    window = (_instant(start), time.time_ns() if end is None else _instant(end))
    if window[0] >= window[1]:
        raise click.UsageError("--from is not before --to")
    bars, reading = fetch_bars(open_exchange(exchange), symbol, timeframe, window, time.time_ns)
    _keep(market or f"{exchange}:{symbol}", bars, reading, _folder(data), output)


@command.command("list")
@data_option
@_output
def list_markets(data: Path | None, output: str | None) -> None:
    """The markets of this data folder."""
    import numpy as np

    from nettrace.cli.market_view import MarketView
    from nettrace.outside.market_store import MarketStore

    store = MarketStore(_folder(data))
    needs = {"volume": "volume", "volatility": "high", "spread": "spread"}
    _emit(
        output, MarketView(),
        [
            {
                "schema": "nettrace.market/1", **_facts(name, bars),
                "measures": [each for each, column in needs.items() if np.isfinite(bars.columns[column]).any()],
            }
            for name in store.names() for bars in [store.read(name)]
        ],
    )  # fmt: skip


def _tests(command: Command) -> Command:
    """What all tests have in common."""
    for option in reversed((
        click.option("--market", "markets", multiple=True, metavar="NAME", help="Only this one; repeatable. Default: all imported."),
        click.option("--target", "targets", multiple=True, metavar="HOST", help="Only this target of the hub; repeatable."),
        click.option("--region", "regions", multiple=True, metavar="CODE", help="Only from this vantage; repeatable."),
        click.option("--from", "start", metavar="TIME", help="Inclusive; RFC 3339 or a day, UTC. Default: all."),
        click.option("--to", "end", metavar="TIME", help="Exclusive. Default: all."),
        click.option("--step", "step_s", type=click.IntRange(1, 86_400), default=900, show_default=True, help="Seconds of a bucket."),
        data_option,
        _output,
    )):  # fmt: skip
        command = option(command)
    return command


def _latency(command: Command) -> Command:
    return click.option(
        "--latency", "files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE.csv", help="Rows t,rtt_ms, or a CSV of `nettrace export`; repeatable. Default: the hub's history.",
    )(command)  # fmt: skip


def _measured(command: Command) -> Command:
    command = click.option(
        "--fdr",
        type=Finite(0.0001, 0.5),
        default=0.025,
        show_default=True,
        help="Share of findings that may be false.",
    )(command)
    return click.option(
        "--measure", "measures", multiple=True, type=click.Choice(MEASURES), help="Only this one; repeatable."
    )(command)


@command.command("lead-lag")
@_latency
@click.option("--lags", type=click.IntRange(0, 200), default=8, show_default=True, help="Buckets either way.")
@_measured
@_tests
def lead_lag(
    files: Sequence[Path], lags: int, measures: Sequence[str], fdr: float, markets: Sequence[str], targets: Sequence[str],
    regions: Sequence[str], start: str | None, end: str | None, step_s: int, data: Path | None, output: str | None,
) -> None:  # fmt: skip
    """Test whether latency leads a market's volume, volatility or spread, or follows it.

    Both sides lose their daily rhythm and their memory first; the largest correlation over all lags is held against the same
    of thousands of shifts, and of whole days. Exit code 5: too little data to tell.
    """
    from nettrace.cli.market_run import run_lead_lag
    from nettrace.cli.market_source import latency_of
    from nettrace.cli.market_view import LeadLagView

    bench = _bench(data, markets, measures, step_s, fdr)
    latency = latency_of(_asked(files, targets, regions, (start, end)), bench.data)
    _told(output, LeadLagView(), run_lead_lag(bench, latency, lags), fdr)


@command.command("study")
@click.option(
    "--events", "files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="NDJSON of `nettrace signals replay`, or CSV with at and perhaps kind; repeatable. Default: the hub's events.",
)  # fmt: skip
@click.option(
    "--horizon",
    "horizons",
    multiple=True,
    type=click.IntRange(1, 500),
    help="Buckets before and after; repeatable. Default: 1, 4, 16.",
)
@click.option(
    "--happened",
    is_flag=True,
    help="Count from when an event began, not from when it was detected: that is hindsight.",
)
@_measured
@_tests
def study(
    files: Sequence[Path], horizons: Sequence[int], happened: bool, measures: Sequence[str], fdr: float,
    markets: Sequence[str], targets: Sequence[str], regions: Sequence[str], start: str | None, end: str | None, step_s: int,
    data: Path | None, output: str | None,
) -> None:  # fmt: skip
    """Test what volume, volatility and spread do before, while and after latency events (shifts, anomalies, route changes).

    Effects are in standard deviations from what is usual at that time of day; the odds come from moving all events together.
    Exit code 5: too little data to tell.
    """
    from nettrace.cli.market_run import run_study
    from nettrace.cli.market_source import events_of
    from nettrace.cli.market_view import StudyView

    bench = _bench(data, markets, measures, step_s, fdr)
    events = events_of(_asked((), targets, regions, (start, end)), bench.data, files, happened=happened)
    made = run_study(bench, events, tuple(dict.fromkeys(horizons)) or (1, 4, 16))
    _told(output, StudyView(), made, fdr)


@command.command("backtest")
@_latency
@click.option(
    "--when",
    type=click.Choice(["above", "below"]),
    default="above",
    show_default=True,
    help="Latency against its usual.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    type=Finite(0, 1000),
    help="Of trailing spreads; repeatable, each a trial. Default: 3.",
)
@click.option("--side", type=click.Choice(["long", "short"]), required=True, help="What the rule holds then.")
@click.option(
    "--hold", type=click.IntRange(1, 10_000), default=4, show_default=True, help="Buckets a position lasts."
)
@click.option(
    "--window",
    type=click.IntRange(8, 10_000),
    default=96,
    show_default=True,
    help="Trailing buckets that say what is usual.",
)
@click.option(
    "--cost-bps",
    type=Finite(0, 10_000),
    default=5.0,
    show_default=True,
    help="Lost at each fill, in hundredths of a percent.",
)
@click.option(
    "--folds", type=click.IntRange(1, 50), default=5, show_default=True, help="Stretches to be judged by."
)
@_tests
def backtest(
    files: Sequence[Path], when: str, thresholds: Sequence[float], side: str, hold: int, window: int, cost_bps: float,
    folds: int, markets: Sequence[str], targets: Sequence[str], regions: Sequence[str], start: str | None, end: str | None,
    step_s: int, data: Path | None, output: str | None,
) -> None:  # fmt: skip
    """Walk a rule forward through the past: after costs, filled a bucket later, judged among all trials ever made here.

    Evidence needs a deflated Sharpe ratio above 0.95, and positions at other times that do worse. Nothing is traded.
    """
    from nettrace.analysis.market.backtest import Rule
    from nettrace.cli.market_run import run_backtest
    from nettrace.cli.market_source import latency_of
    from nettrace.cli.market_view import BacktestView

    levels = tuple(dict.fromkeys(thresholds)) or (3.0,)
    rule = Rule(levels, when == "above", 1 if side == "long" else -1, hold, window, cost_bps / 1e4)
    bench = _bench(data, markets, (), step_s, 0.0)
    latency = latency_of(_asked(files, targets, regions, (start, end)), bench.data)
    _told(output, BacktestView(), run_backtest(bench, latency, rule, folds), None)


@command.command("ledger")
@data_option
@_output
def ledger(data: Path | None, output: str | None) -> None:
    """Every test ever made on this data folder, nulls too, oldest first; checked against changes."""
    from nettrace.cli.market_view import LedgerView
    from nettrace.outside.market_ledger import Ledger

    rows = Ledger(_folder(data)).rows()
    _emit(output, LedgerView(), [{"schema": "nettrace.market_test/1", **row} for row in rows])


def _folder(data: Path | None) -> Path:
    from nettrace.hub.place import default_folder

    return data or default_folder()


def _bench(
    data: Path | None, markets: Sequence[str], measures: Sequence[str], step_s: int, fdr: float
) -> "Bench":
    from nettrace.cli.market_run import Bench

    return Bench(_folder(data), markets, tuple(dict.fromkeys(measures)) or MEASURES, step_s * NS_PER_S, fdr)


def _asked(
    files: Sequence[Path],
    targets: Sequence[str],
    regions: Sequence[str],
    window: tuple[str | None, str | None],
) -> "Asked":
    from nettrace.cli.market_source import LATEST, Asked

    start, end = window
    asked = Asked(
        files,
        targets,
        regions,
        0 if start is None else _instant(start),
        LATEST if end is None else _instant(end),
    )
    if asked.start >= asked.end:
        raise click.UsageError("--from is not before --to")
    return asked


def _instant(text: str) -> Instant:
    from nettrace.outside.market_file import Layout, Wrong, clock

    try:
        return clock(Layout(zone="UTC"))(text)
    except Wrong:
        raise Invalid(f"'{text}' is no time", "Write 2026-01-31 or 2026-01-31T12:00:00Z") from None


def _day(text: str) -> "datetime":
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"'{text}' is no day", "Write 2026-01-31") from None


def _keep(market: str, bars: "Bars", reading: "Reading", folder: Path, output: str | None) -> None:
    """Put bars beside what is there, and say what came of it."""
    from nettrace.cli.market_view import ImportView
    from nettrace.outside.market_store import MarketStore

    whole = MarketStore(folder).add(market, bars) if len(bars) else bars
    document: Document = {
        "schema": "nettrace.market_import/1", **_facts(market, whole), "rows": reading.rows,
        "replaced": reading.replaced, "skipped": reading.skipped,
        "skipped_rows": [{"row": each.row, "why": each.why} for each in reading.told],
    }  # fmt: skip
    _emit(output, ImportView(), [document])
    if not len(bars):
        raise click.exceptions.Exit(NOTHING_MEASURED)


def _facts(name: str, bars: "Bars") -> Document:
    some = len(bars) > 0
    return {
        "market": name, "bars": len(bars), "step_s": bars.step_ns // NS_PER_S,
        "from": rfc3339(int(bars.at_ns[0])) if some else None,
        "to": rfc3339(int(bars.at_ns[-1]) + bars.step_ns) if some else None,
    }  # fmt: skip


def _told(output: str | None, view: View, documents: Sequence[Document], fdr: float | None) -> None:
    from nettrace.cli.market_run import tell

    _emit(output, view, documents)
    if not tell(documents, fdr):
        raise click.exceptions.Exit(NOTHING_MEASURED)


def _emit(output: str | None, view: View, documents: Sequence[Document]) -> None:
    emitter = Emitter(output, view)
    for document in documents:
        emitter.emit(document)
    emitter.close()
