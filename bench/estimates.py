"""Estimates of pairs nobody measured, on real matrices: how far off, how honest, beside what anybody would do at once.

Every pair (or site) of a set is hidden once in five folds and estimated from the rest, in a small set again and again with
other folds, until as much was asked as of a large one; then whole sets are estimated from the others. "off" is the median over pairs of the error as a share of what is allowed, max(10 % of the truth, 2 ms): 1 keeps the
goal. Pairs that light forbids by the set's own coordinates are left out of truth and listed by set.
"""

import numpy as np

from bench.estimates_data import NAMES, Ends, Pairs, load, rows
from bench.estimates_tails import tables as tables_of_tails
from bench.figure import OURS, Column, Table
from nettrace.placement.estimates.estimate import Estimate, estimates
from nettrace.placement.estimates.evidence import Evidence
from nettrace.placement.estimates.kriging import FIBRE_MS_PER_KM, distances_km
from nettrace.placement.estimates.model import Model

FOLDS, MOST = 5, 300
"""Folds, and pairs asked of each. A set with fewer pairs is folded anew until as many were asked, each round by its own seed:
of 55 pairs folded once the share covered is anything from 86 to 100 %, as the folds fall."""
CONSTANT, NEAREST = "distance x constant", "nearest measured"
Results = dict[str, list[tuple[Pairs, list]]]
"""By who said it: what was asked with its truth, and what was said (an `Estimate`, ms, or None)."""


def run(runs: int, quick: bool) -> list[Table]:
    """One table for each way of hiding."""
    del runs
    sets = load(NAMES)
    clean = {name: (_possible(*each), each[1]) for name, each in sets.items()}
    for name, (pairs, ends) in sets.items():
        _list_impossible(name, pairs, clean[name][0], ends)
    folds = 1 if quick else FOLDS
    made = [_hidden(name, clean[name], by_site=False, folds=folds) for name in NAMES]
    made += [_hidden(name, clean[name], by_site=True, folds=folds) for name in NAMES if name != "PlanetLab"]
    made += tables_of_tails()
    return [*made, *(_left_out(name, clean) for name in NAMES if name != "PlanetLab")]


def _list_impossible(name: str, pairs: Pairs, kept: Pairs, ends: Ends) -> None:
    odd: dict[str, int] = {}
    for pair in pairs.keys() - kept.keys():
        for end in pair:
            odd[end] = odd.get(end, 0) + 1
    worst = sorted(odd, key=lambda end: -odd[end])
    told = ", ".join(f"{end} {odd[end]}" for end in worst[:12])
    print(
        f"{name}: {len(pairs)} pairs of {len(ends)} ends; below the vacuum floor: {len(pairs) - len(kept)} ({told})",
        flush=True,
    )


def _km(pairs: list[tuple[str, str]], ends: Ends) -> np.ndarray:
    names = list(ends)
    at = {name: number for number, name in enumerate(names)}
    far = distances_km(
        *(np.array([getattr(ends[name], key) or 0.0 for name in names]) for key in ("latitude", "longitude"))
    )
    return np.array([far[at[a], at[b]] for a, b in pairs])


def _possible(pairs: Pairs, ends: Ends) -> Pairs:
    if not all(end.placed for end in ends.values()):
        return pairs
    far = _km(list(pairs), ends)
    return {
        pair: ms
        for (pair, ms), km in zip(pairs.items(), far, strict=True)
        if ms >= km * FIBRE_MS_PER_KM / 1.468
    }


def _hidden(name: str, known: tuple[Pairs, Ends], *, by_site: bool, folds: int) -> Table:
    pairs, _ = known
    table = _table(
        f"estimates: {name}, hidden {'sites' if by_site else 'pairs'}, the rest measured by oneself"
    )
    results: Results = {}
    rounds = 1 if folds < FOLDS else max(1, round(FOLDS * MOST / len(pairs)))
    for seed in range(1, rounds + 1):
        _hide(results, name, known, by_site=by_site, folds=folds, seed=seed)
    if rounds > 1:
        each = _covered_each(results[OURS], folds)
        told = f"{name}: {rounds} rounds of folds, covered {min(each):.1f} to {max(each):.1f} %, the first {each[0]:.1f} %"
        print(told, flush=True)
    return _filled(table, results)


def _covered_each(parts: list[tuple[Pairs, list]], folds: int) -> list[float]:
    """Percent of intervals that hold the truth, by round of folds."""
    said: list[float] = []
    for start in range(0, len(parts), folds):
        held = [
            found.low_ms <= ms <= found.high_ms
            for asked, several in parts[start : start + folds]
            for ms, found in zip(asked.values(), several, strict=True)
            if found is not None
        ]
        said.append(float(100 * np.mean(held)))
    return said


def _hide(
    results: Results, name: str, known: tuple[Pairs, Ends], *, by_site: bool, folds: int, seed: int
) -> None:
    """One round: each fifth is asked of the rest."""
    pairs, ends = known
    rng = np.random.default_rng(seed)
    items = sorted(ends) if by_site else sorted(pairs)
    fold_of = dict(zip(items, rng.permutation(len(items)) % FOLDS, strict=True))
    for fold in range(folds):
        gone = {
            pair
            for pair in pairs
            if (fold in (fold_of[pair[0]], fold_of[pair[1]]) if by_site else fold_of[pair] == fold)
        }
        shown = {pair: ms for pair, ms in pairs.items() if pair not in gone}
        asked = sorted(gone)
        asked = [asked[at] for at in rng.permutation(len(asked))[:MOST]]
        _compare(
            results,
            {pair: pairs[pair] for pair in asked},
            shown,
            Evidence(ends, tuple(rows(name, shown, own=True))),
        )


def _left_out(name: str, sets: dict[str, tuple[Pairs, Ends]]) -> Table:
    """A whole set from what the other published ones say, as a user's first question is answered."""
    others = [other for other in sets if other not in (name, "PlanetLab", "WonderNetwork")]
    table = _table(f"estimates: {name}, from {', '.join(others)} alone")
    pairs, ends = sets[name]
    chosen = sorted(pairs)
    chosen = [chosen[at] for at in np.random.default_rng(2).permutation(len(chosen))[: 2 * MOST]]
    shown, everybody, evidence = {}, dict(ends), []
    for other in others:
        shown |= sets[other][0]
        everybody |= sets[other][1]
        evidence += rows(other, sets[other][0], own=False)
    results: Results = {}
    _compare(results, {pair: pairs[pair] for pair in chosen}, shown, Evidence(everybody, tuple(evidence)))
    return _filled(table, results)


def _compare(results: Results, asked: Pairs, shown: Pairs, evidence: Evidence) -> None:
    found = estimates(Model(evidence), list(asked))
    results.setdefault(OURS, []).append((asked, found))
    ends = evidence.ends
    if all(end.placed for end in ends.values()):
        far = _km(list(shown), ends)
        ms = np.array(list(shown.values()))
        constant = float(np.median(ms[far > 100] / far[far > 100]))
        results.setdefault(CONSTANT, []).append((asked, list(_km(list(asked), ends) * constant)))
    results.setdefault(NEAREST, []).append((asked, [_nearest(pair, shown, ends) for pair in asked]))


_KEPT: dict[int, tuple] = {}


def _nearest(pair: tuple[str, str], shown: Pairs, ends: Ends) -> float | None:
    """The known pair whose ends are nearest (by distance, or by round trip where no end has a place)."""
    if id(shown) not in _KEPT:  # kept with its object, so that no other takes its id
        _KEPT.clear()
        names = list(ends)
        at = {name: number for number, name in enumerate(names)}
        if all(end.placed for end in ends.values()):
            far = distances_km(
                *(np.array([getattr(ends[name], key) for name in names]) for key in ("latitude", "longitude"))
            )
        else:
            far = np.full((len(names), len(names)), np.inf)
            for (a, b), ms in shown.items():
                far[at[a], at[b]] = far[at[b], at[a]] = ms
            np.fill_diagonal(far, 0)
        known = np.array([(at[a], at[b]) for a, b in shown])
        _KEPT[id(shown)] = (at, far, known, np.array(list(shown.values())), shown)
    at, far, known, ms, _ = _KEPT[id(shown)]
    a, b = at[pair[0]], at[pair[1]]
    apart = np.minimum(far[a][known[:, 0]] + far[b][known[:, 1]], far[a][known[:, 1]] + far[b][known[:, 0]])
    best = int(np.argmin(apart))
    return float(ms[best]) if np.isfinite(apart[best]) else None


def _table(title: str) -> Table:
    return Table(
        title,
        [
            Column("off", "of allowed", 1.0),
            Column("off by", "% of truth"),
            Column("within", "% of pairs"),
            Column("covered", "%", 85.0, at_least=True),
            Column("covered, most", "%", 95.0),
            Column("width", "% of p50"),
            Column("below glass", "", 0),
            Column("no answer", ""),
            Column("pairs", ""),
        ],
        "off: median error over max(10 % of truth, 2 ms); covered: 90 % intervals that hold the truth",
    )


def _filled(table: Table, results: dict) -> Table:
    for who, parts in results.items():
        truth = np.array([ms for asked, _ in parts for ms in asked.values()])
        found = [each for _, several in parts for each in several]
        said = np.array(
            [
                each.p50_ms if isinstance(each, Estimate) else np.nan if each is None else each
                for each in found
            ]
        )
        told = ~np.isnan(said)
        error = abs(said - truth)[told]
        allowed = np.maximum(0.1 * truth[told], 2)
        figures: dict[str, float | None] = {
            "off": float(np.median(error / allowed)) if who == OURS else None,
            "off by": float(100 * np.median(error / truth[told])),
            "within": float(100 * np.mean(error <= allowed)),
            "no answer": float((~told).sum()),
            "pairs": float(len(truth)),
        }
        spans = [
            (each.low_ms, each.high_ms, ms, each)
            for each, ms in zip(found, truth, strict=True)
            if isinstance(each, Estimate)
        ]
        if spans:
            covered = float(100 * np.mean([low <= ms <= high for low, high, ms, _ in spans]))
            figures |= {"covered": covered, "covered, most": covered}
            figures["width"] = float(
                100 * np.median([(high - low) / each.p50_ms for low, high, _, each in spans])
            )
            figures["below glass"] = float(
                sum(each.fibre_ms is not None and low < each.fibre_ms - 0.001 for low, _, _, each in spans)
            )
        table.add(who, figures)
    return table
