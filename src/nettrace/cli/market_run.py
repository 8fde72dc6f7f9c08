"""The market tests as commands run them: align, test, write into the ledger, and only then tell."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nettrace.analysis.market import backtest as walking
from nettrace.analysis.market.bars import Bars, Floats, Times
from nettrace.analysis.market.chance import Odds
from nettrace.analysis.market.clock import Grid, closes_on, counts_on, grid_of, latency_on, measure_on
from nettrace.analysis.market.discovery import Finding, judged
from nettrace.analysis.market.document import Document, backtest_document, lead_lag_document, study_document
from nettrace.analysis.market.leadlag import compare
from nettrace.analysis.market.rhythm import surprises
from nettrace.analysis.market.study import event_study
from nettrace.cli.market_source import Latency
from nettrace.cli.output import note
from nettrace.errors import Invalid
from nettrace.model.instant import rfc3339
from nettrace.outside.market_ledger import Ledger, Row, name_of
from nettrace.outside.market_store import MarketStore


@dataclass(frozen=True)
class Bench:
    """Where tests are made.

    Attributes:
        data: the data folder: markets and ledger.
        markets: their names; empty means all.
        measures: of each market; those it has no data for are passed over.
        step_ns: length of a bucket.
        fdr: share of findings that may be false.
    """

    data: Path
    markets: Sequence[str]
    measures: Sequence[str]
    step_ns: int
    fdr: float

    def bars(self) -> dict[str, Bars]:
        """The markets by name.

        Raises:
            Invalid: none was imported.
        """
        store = MarketStore(self.data)
        names = list(dict.fromkeys(self.markets)) or store.names()
        if not names:
            raise Invalid(
                "no market data in this folder", "nettrace market import FILE --market EXCHANGE:SYMBOL"
            )
        return {name: store.read(name) for name in names}

    def sides(self, market: str, bars: Bars, grid: Grid) -> Iterator[tuple[Document, Floats]]:
        """Each measure this market has on the grid, with the words that name it."""
        for measure in self.measures:
            values = measure_on(grid, bars, measure)
            if np.isfinite(values).any():
                yield {"market": market, "measure": measure}, values


def run_lead_lag(bench: Bench, latency: Sequence[Latency], lags: int) -> list[Document]:
    """Every pair of a latency series and a market's measure."""
    found: list[tuple[Row, Document, Odds | None]] = []
    for market, bars in bench.bars().items():
        for series in latency:
            grid = grid_of(series.at, [bars], bench.step_ns)
            left = surprises(latency_on(grid, series.at, series.rtt_ns), grid)
            for side, values in bench.sides(market, bars, grid):
                pair = {"latency": series.name, **side}
                result = compare(left, surprises(values, grid), grid, lags)
                words: Row = {
                    "what": "lead_lag",
                    "lags": lags,
                    "data": [series.digest(), _digest(values)],
                    **pair,
                }
                found.append((words, lead_lag_document(pair, result, grid), result.odds))
    return _kept(bench, found)


def run_study(bench: Bench, events: dict[str, Times], horizons: tuple[int, ...]) -> list[Document]:
    """Every kind of event against every measure of every market."""
    found: list[tuple[Row, Document, Odds | None]] = []
    for market, bars in bench.bars().items():
        span = np.array([bars.at_ns[0], bars.at_ns[-1] + bars.step_ns], dtype=np.int64)
        grid = grid_of(span, [bars], bench.step_ns)
        for side, values in bench.sides(market, bars, grid):
            for kind, instants in events.items():
                counts = counts_on(grid, instants)
                for result in event_study(counts, values, grid, horizons):
                    pair = {"event": kind, **side}
                    words: Row = {
                        "what": "study", "phase": result.phase, "horizon": result.horizon,
                        "data": [_digest(counts), _digest(values)], **pair,
                    }  # fmt: skip
                    found.append((words, study_document(pair, result, grid), result.odds))
    return _kept(bench, found)


def run_backtest(bench: Bench, latency: Sequence[Latency], rule: walking.Rule, folds: int) -> list[Document]:
    """The rule on every pair of a latency series and a market; every threshold is a trial."""
    walks: list[tuple[Document, walking.Walk, Grid]] = []
    rows: list[Row] = []
    for market, bars in bench.bars().items():
        for series in latency:
            grid = grid_of(series.at, [bars], bench.step_ns)
            closes = closes_on(grid, bars)
            walk = walking.walk_forward(latency_on(grid, series.at, series.rtt_ns), closes, grid, rule, folds)
            pair = {"latency": series.name, "market": market}
            walks.append((pair, walk, grid))
            for trial in walk.trials:
                words: Row = {
                    "what": "backtest", "threshold": trial.threshold, "rising": rule.rising, "side": rule.side,
                    "hold": rule.hold, "window": rule.window, "cost": rule.cost, "folds": folds,
                    "data": [series.digest(), _digest(closes)], **pair,
                }  # fmt: skip
                rows.append(
                    {
                        "test": name_of({**words, "step_ns": bench.step_ns}), **words, "p": None,
                        "trades": trial.trades, "sharpe_a_year": round(trial.sharpe * walk.a_year**0.5, 6),
                    }
                )  # fmt: skip
    ledger = Ledger(bench.data)
    every = ledger.tests() | {row["test"]: row for row in rows}
    ratios = [row["sharpe_a_year"] for row in every.values() if row.get("sharpe_a_year") is not None]
    made: list[Document] = []
    for pair, walk, grid in walks:
        dsr = walking.worth(walk, len(every), ratios)
        finding = walking.verdict(walk, dsr)
        made.append(backtest_document(pair, walk, rule, grid, (len(every), dsr, finding)))
        for row in rows:
            if row["latency"] == pair["latency"] and row["market"] == pair["market"]:
                row["finding"] = str(finding)
    ledger.add([{**row, "at": rfc3339(time.time_ns())} for row in rows])
    return made


def _kept(bench: Bench, found: list[tuple[Row, Document, Odds | None]]) -> list[Document]:
    """Judge these among all tests ever made here, write them down, and return their documents."""
    if not found:
        raise Invalid(
            f"these markets have no {' or '.join(bench.measures)}", "nettrace market list says what they have"
        )
    ledger = Ledger(bench.data)
    names = [name_of({**words, "step_ns": bench.step_ns}) for words, _, _ in found]
    tests = {name: odds for name, (_, _, odds) in zip(names, found, strict=True)}
    earlier = {name: row["p"] for name, row in ledger.tests().items() if row["p"] is not None}
    findings = judged(tests, earlier, bench.fdr)
    family = len(earlier.keys() | {name for name, odds in tests.items() if odds is not None})
    rows: list[Row] = []
    made: list[Document] = []
    for name, (words, document, odds) in zip(names, found, strict=True):
        q, finding = findings[name]
        made.append({**document, "q": q, "tests": family, "finding": str(finding)})
        p = None if odds is None else odds.p
        at = rfc3339(time.time_ns())
        rows.append({"test": name, "at": at, **words, "p": p, "q": q, "finding": str(finding)})
    ledger.add(rows)
    return made


def tell(documents: Sequence[Document], fdr: float | None) -> bool:
    """One plain sentence below the results; True when something could be told at all."""
    evidence = sum(document["finding"] == Finding.EVIDENCE for document in documents)
    unknown = sum(document["finding"] == Finding.CANNOT_TELL for document in documents)
    limit = "" if fdr is None else f", of which at most {fdr:.1%} should be false"
    known = len(documents) - unknown
    said = f"{evidence} of {known} show evidence{limit}" if evidence else f"no evidence in {known}"
    short = f"cannot tell in {unknown}: too little data" if unknown else ""
    note("; ".join(each for each in (said if known else "", short) if each))
    return unknown < len(documents)


def _digest(values: Floats) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]
