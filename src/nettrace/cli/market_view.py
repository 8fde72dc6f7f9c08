"""How market documents look to a person."""

from collections.abc import Sequence
from typing import Any

import click

from nettrace.cli.output import Document

_COLOURS = {"evidence": "green", "no_evidence": "white", "cannot_tell": "yellow"}
_ODDS = ("p", "q", "tests", "shifts", "placebo_p", "placebo_shifts", "by_chance", "finding")


def finding(document: Document) -> str:
    """`evidence`, `no evidence` or `cannot tell`."""
    return click.style(document["finding"].replace("_", " "), fg=_COLOURS[document["finding"]])


def _number(value: Any, form: str, width: int) -> str:
    return ("-" if value is None else format(value, form)).rjust(width)


class ImportView:
    """What came of a file."""

    fields = ("market", "rows", "replaced", "skipped", "bars", "step_s", "from", "to")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """The market's line, and one for each skipped row that is told."""
        said = f"{document['market']}: {document['rows']:,} rows read, {document['skipped']:,} skipped, {document['replaced']:,} replaced; {_bars(document)}"
        return [said, *(f"  row {each['row']}: {each['why']}" for each in document["skipped_rows"])]


class MarketView:
    """A market and what it has."""

    fields = ("market", "bars", "step_s", "from", "to", "measures")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """One line a market."""
        return [f"{document['market']:<24} {_bars(document)}  {' '.join(document['measures'])}"]


def _bars(document: Document) -> str:
    if not document["bars"]:
        return "no bars"
    return f"{document['bars']:,} bars of {document['step_s']} s, {document['from'][:16]} to {document['to'][:16]}"


class LeadLagView:
    """A pair, its best lag, and what it is worth."""

    fields = (
        "latency",
        "market",
        "measure",
        "from",
        "to",
        "step_s",
        "lag_s",
        "first",
        "r",
        "buckets",
        *_ODDS,
    )

    def heading(self) -> str | None:
        """What the columns are."""
        return click.style(
            f"{'market':<20} {'measure':<10} {'lag s':>7} {'r':>6} {'chance':>6} {'p':>8} {'q':>8}  finding       latency",
            bold=True,
        )

    def lines(self, document: Document) -> Sequence[str]:
        """One line a pair."""
        return [
            f"{document['market']:<20} {document['measure']:<10} {document['lag_s']:>7} {_number(document['r'], '.3f', 6)}"
            f" {_number(document['by_chance'], '.3f', 6)} {_number(document['p'], '.2g', 8)} {_number(document['q'], '.2g', 8)}"
            f"  {finding(document):<12}  {document['latency']}"
        ]


class StudyView:
    """A kind of event, where it was looked, and what it is worth."""

    fields = (
        "event",
        "market",
        "measure",
        "phase",
        "horizon_s",
        "events",
        "from",
        "to",
        "step_s",
        "effect_sd",
        *_ODDS,
    )

    def heading(self) -> str | None:
        """What the columns are."""
        return click.style(
            f"{'event':<14} {'market':<20} {'measure':<10} {'phase':<6} {'over s':>7} {'events':>6} {'effect sd':>9} {'p':>8} {'q':>8}  finding",
            bold=True,
        )

    def lines(self, document: Document) -> Sequence[str]:
        """One line a test."""
        return [
            f"{document['event']:<14} {document['market']:<20} {document['measure']:<10} {document['phase']:<6} {document['horizon_s']:>7}"
            f" {document['events']:>6} {_number(document['effect_sd'], '+.3f', 9)} {_number(document['p'], '.2g', 8)}"
            f" {_number(document['q'], '.2g', 8)}  {finding(document)}"
        ]


class BacktestView:
    """What a rule did, and what that is worth after all that was tried."""

    fields = (
        "latency", "market", "from", "to", "step_s", "when", "side", "hold_s", "cost_bps", "tested", "trades", "net_pct",
        "gross_pct", "sharpe_a_year", "trials", "deflated_sharpe", "p", "placebo_p", "finding",
    )  # fmt: skip

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """Two lines a pair."""
        return [
            f"{document['latency']} -> {document['market']}: {finding(document)}",
            f"  {document['trades']} trades where it was not fitted: net {_number(document['net_pct'], '+.2f', 0)} %"
            f" (gross {_number(document['gross_pct'], '+.2f', 0)} %), Sharpe {_number(document['sharpe_a_year'], '.2f', 0)} a year;"
            f" deflated for {document['trials']} trials {_number(document['deflated_sharpe'], '.3f', 0)}, p {_number(document['p'], '.2g', 0)}",
        ]


class LedgerView:
    """A test that was made."""

    fields = (
        "at",
        "what",
        "test",
        "latency",
        "event",
        "market",
        "measure",
        "p",
        "q",
        "sharpe_a_year",
        "finding",
    )

    def heading(self) -> str | None:
        """What the columns are."""
        return click.style(
            f"{'at (UTC)':<19}  {'test':<16} {'what':<8} {'p':>8} {'sharpe':>7}  finding", bold=True
        )

    def lines(self, document: Document) -> Sequence[str]:
        """One line a test."""
        left = document.get("latency") or document.get("event") or ""
        return [
            f"{document['at'][:19].replace('T', ' ')}  {document['test']:<16} {document['what']:<8} {_number(document.get('p'), '.2g', 8)}"
            f" {_number(document.get('sharpe_a_year'), '.2f', 7)}  {finding(document)}  {left} / {document['market']}"
        ]
