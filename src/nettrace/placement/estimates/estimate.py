"""The estimate of a pair: what it is, how wide it may be off, and what that rests on."""

from collections.abc import Sequence
from math import exp
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from nettrace.placement.estimates.evidence import Row
from nettrace.placement.estimates.kriging import OFFSET_MS, krige
from nettrace.placement.estimates.model import PUBLIC_SHIFT, Model, joined, unplaced
from nettrace.placement.estimates.relays import relayed
from nettrace.placement.request import Evidence as Kind

_NAMED = 3


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the median round trip of a pair probably is, and how that is known.

    Attributes:
        p95_ms: 95th percentile of the round trips; None when too few rows have one to tell how far a guess of it may be off.
        p95_low_ms, p95_high_ms: interval that holds it nine times in ten; None for a row's own.
        low_ms, high_ms: interval that holds the true median nine times in ten; None for an own row that has none.
        evidence: `measured` by own nodes, or `estimated`.
        by: `own history`, `published`, `near pairs`, `twins`, `near pairs and twins`, `relay`.
        n: samples of a measured or published row, else rows it rests on.
        at: the time of the newest of them.
        fibre_ms: what light in glass on the great circle takes; None when an end's place is not known.
        basis: the evidence that weighs most, in words.
    """

    p50_ms: float
    p95_ms: float | None
    low_ms: float | None
    high_ms: float | None
    evidence: Kind
    by: str
    n: int | None
    at: str | None
    fibre_ms: float | None = None
    basis: tuple[str, ...] = ()
    p95_low_ms: float | None = None
    p95_high_ms: float | None = None


class _Near(NamedTuple):
    """What rows near a pair say: logarithm of (ms + 3), its spread, the rows that weigh most."""

    log: float
    spread: float
    rows: list[Row]
    weights: list[float]
    used: int


def estimate(pair: tuple[str, str], model: Model) -> Estimate | None:
    """The estimate of one pair of ends of the model's evidence, None where nothing known bears on it."""
    return estimates(model, [pair])[0]


def estimates(model: Model, asked: Sequence[tuple[str, str]]) -> list[Estimate | None]:
    """The estimate of each pair, best evidence first: own history, a published row, near pairs and twins, a relay.

    Ends must be in the evidence the model was made of, if only without rows.
    """
    near = _near(model, asked)
    return [_own(model, pair) or _guessed(model, pair, near.get(pair)) for pair in asked]


def _own(model: Model, pair: tuple[str, str]) -> Estimate | None:
    rows = [row for row in model.known.get(frozenset(pair), ()) if row.own]
    if not rows:
        return None
    row = max(rows, key=lambda each: (each.at or "", each.n or 0))
    return Estimate(
        p50_ms=row.p50_ms,
        p95_ms=row.p95_ms,
        low_ms=row.low_ms,
        high_ms=row.high_ms,
        evidence=Kind.MEASURED,
        by="own history",
        n=row.n,
        at=row.at,
        fibre_ms=_rounded(model.floor_ms(*pair)),
        basis=(_words(row),),
    )


def _near(model: Model, asked: Sequence[tuple[str, str]]) -> dict[tuple[str, str], _Near]:
    """What near rows say of the pairs whose ends both have a place."""
    placed = [pair for pair in dict.fromkeys(asked) if all(model.ends[name].placed for name in pair)]
    if not placed or not len(model.field.pairs):
        return {}
    pairs = np.array([[model.at[name] for name in pair] for pair in placed], np.int64)
    guess = krige(model.field, pairs)
    logs = model.logs(pairs, guess.ratio)
    made: dict[tuple[str, str], _Near] = {}
    for at, pair in enumerate(placed):
        heavy = np.argsort(-guess.weights[at], kind="stable")[:_NAMED]
        made[pair] = _Near(
            float(logs[at]),
            float(guess.spread[at]),
            [model.rows[int(model.field_rows[guess.rows[at, each]])] for each in heavy],
            [float(guess.weights[at, each]) for each in heavy],
            guess.rows.shape[1],
        )
    return made


def _guessed(model: Model, pair: tuple[str, str], near: _Near | None) -> Estimate | None:
    case = model.case(*pair)
    one, other = (model.at[name] for name in pair)
    told = model.twins.about(one, other) if case.twins and one != other else None
    if near is None and told is None:
        return _by_relay(model, pair)
    names = list(model.ends)
    said: list[str] = []
    used, by = 0, "near pairs"
    log, spread = (near.log, near.spread) if near else (0.0, float("inf"))
    rows = near.rows if near else []
    if near:
        used = near.used
        said = [f"{_words(row)}, weight {weight:.2f}" for row, weight in zip(rows, near.weights, strict=True)]
    if told is not None:
        log, spread = joined((log, spread), (told[0], told[1]))
        by = "near pairs and twins" if near else "twins"
        used += len(told[2])
        said += [f"{names[at]} sees the others much alike" for at in dict.fromkeys(told[2][:_NAMED])]
    if not near:
        case = unplaced(case)
    half: float | None = model.half_width(case, spread)
    if case.public:
        log += PUBLIC_SHIFT
        said.append(
            f"{exp(PUBLIC_SHIFT) - 1:.0%} added for the open internet: no row is between networks like these"
        )
    middle, low, high = (exp(log + step) - OFFSET_MS for step in (0.0, -half, half))
    published = model.known.get(frozenset(pair))
    if published:
        rows, by = published, "published"
        half = None
        shown = float(np.median([row.p50_ms for row in published]))
        low, high, middle = min(low, shown), max(high, shown), shown
        said = [_words(row) for row in published]
        counts = [row.n for row in published if row.n is not None]
        used = sum(counts) if counts else len(published)
    made = _estimate(model, pair, (low, middle, high), by, (used, rows, said))
    return _with_tail(model, pair, made, published or [], half)


def _by_relay(model: Model, pair: tuple[str, str]) -> Estimate | None:
    names = list(model.ends)
    found = relayed(model.twins.known, model.at[pair[0]], model.at[pair[1]], OFFSET_MS)
    if found is None or found.shares is None:
        return None
    middle, low, high = (share * found.detour_ms for share in found.shares)
    said = [
        f"by way of {names[found.by]} {found.detour_ms:.1f} ms; legs differ by {found.difference_ms:.1f} ms"
    ]
    return _estimate(model, pair, (low, middle, max(high, middle)), "relay", (2, [], said))


def _estimate(
    model: Model,
    pair: tuple[str, str],
    span: tuple[float, float, float],
    by: str,
    basis: tuple[int, Sequence[Row], list[str]],
) -> Estimate:
    floor = model.floor_ms(*pair)
    low, middle, high = (max(each, floor or 0.0, 0.0) for each in span)
    used, rows, said = basis
    return Estimate(
        p50_ms=round(middle, 3),
        p95_ms=None,
        low_ms=round(low, 3),
        high_ms=round(high, 3),
        evidence=Kind.ESTIMATED,
        by=by,
        n=used,
        at=max((row.at for row in rows if row.at), default=None),
        fibre_ms=_rounded(floor),
        basis=tuple(said),
    )


def _with_tail(
    model: Model, pair: tuple[str, str], made: Estimate, published: Sequence[Row], half: float | None
) -> Estimate:
    """The estimate with its 95th percentile: the published one, else what the tails of other rows say, else none."""
    shown = [row.p95_ms for row in published if row.p95_ms is not None]
    if shown:
        return replace(made, p95_ms=round(max(made.p50_ms, float(np.median(shown))), 3))
    one, other = (model.at[name] for name in pair)
    tail = model.tails.about(one, other, made.p50_ms, half) if model.tails is not None else None
    if tail is None:
        return made
    least = made.fibre_ms or 0.0
    p95, low, high = (
        round(max(each, floor), 3) for each, floor in zip(tail, (made.p50_ms, least, least), strict=True)
    )
    return replace(made, p95_ms=p95, p95_low_ms=min(low, p95), p95_high_ms=max(high, p95))


def _words(row: Row) -> str:
    return f"{row.a} - {row.b} {row.p50_ms:g} ms ({row.source}{', ' + row.at if row.at else ''})"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
