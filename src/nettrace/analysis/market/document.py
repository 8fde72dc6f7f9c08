"""Answers as public JSON documents: `nettrace.market_lead_lag/1`, `nettrace.market_study/1`, `nettrace.market_backtest/1`."""

from math import isnan
from typing import Any

from nettrace.analysis.market.backtest import Rule, Walk
from nettrace.analysis.market.chance import Odds
from nettrace.analysis.market.clock import Grid
from nettrace.analysis.market.discovery import Finding
from nettrace.analysis.market.leadlag import LeadLag
from nettrace.analysis.market.study import EventEffect
from nettrace.model.instant import NS_PER_S, rfc3339

Document = dict[str, Any]


def lead_lag_document(pair: Document, found: LeadLag, grid: Grid) -> Document:
    """`nettrace.market_lead_lag/1`; `pair` names both sides."""
    leads = "together" if found.lag == 0 else "latency" if found.lag > 0 else "market"
    leads = None if isnan(found.r) else leads
    lags = len(found.by_lag) // 2
    return {
        "schema": "nettrace.market_lead_lag/1", **pair, **_window(grid),
        "lag_s": found.lag * grid.step_ns // NS_PER_S, "first": leads, "r": _short(found.r),
        "by_lag": [
            {"lag_s": (place - lags) * grid.step_ns // NS_PER_S, "r": _short(each)} for place, each in enumerate(found.by_lag)
        ],
        "buckets": found.buckets, **_odds(found.odds),
    }  # fmt: skip


def study_document(pair: Document, found: EventEffect, grid: Grid) -> Document:
    """`nettrace.market_study/1`; `pair` names both sides and the kind of event."""
    return {
        "schema": "nettrace.market_study/1", **pair, **_window(grid), "phase": found.phase,
        "horizon_s": found.horizon * grid.step_ns // NS_PER_S, "effect_sd": _short(found.effect),
        "events": found.events, **_odds(found.odds),
    }  # fmt: skip


def backtest_document(
    pair: Document, walk: Walk, rule: Rule, grid: Grid, judged: tuple[int, float, Finding]
) -> Document:
    """`nettrace.market_backtest/1`; `judged` is the number of trials ever made, the deflated Sharpe ratio, the finding."""
    trials, dsr, finding = judged
    return {
        "schema": "nettrace.market_backtest/1", **pair, **_window(grid),
        "thresholds": list(rule.thresholds), "chosen": walk.chosen, "when": "above" if rule.rising else "below",
        "side": "long" if rule.side > 0 else "short", "hold_s": rule.hold * grid.step_ns // NS_PER_S,
        "cost_bps": round(rule.cost * 1e4, 6), "tested": len(walk.net), "trades": walk.trades,
        "net_pct": _short(100 * float(walk.net.sum())), "gross_pct": _short(100 * float(walk.gross.sum())),
        "sharpe_a_year": _short(walk.sharpe_a_year), "trials": trials, "deflated_sharpe": _short(dsr), **_odds(walk.odds),
        "finding": str(finding),
    }  # fmt: skip


def _window(grid: Grid) -> Document:
    return {
        "from": rfc3339(grid.start),
        "to": rfc3339(grid.start + grid.count * grid.step_ns),
        "step_s": grid.step_ns // NS_PER_S,
    }


def _odds(odds: Odds | None) -> Document:
    if odds is None:
        return {"p": None, "shifts": 0, "placebo_p": None, "placebo_shifts": 0, "by_chance": None}
    return {
        "p": odds.p, "shifts": odds.shifts, "placebo_p": _short(odds.placebo_p),
        "placebo_shifts": odds.placebo_shifts, "by_chance": _short(odds.by_chance),
    }  # fmt: skip


def _short(value: float | None) -> float | None:
    """Six digits; None for what is no number."""
    return None if value is None or isnan(value) else float(f"{value:.6g}")
