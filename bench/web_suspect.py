"""How often real series are far above their usual, and how often chance makes a suspicion: what the overview states of it.

    NETTRACE_DATASETS=FOLDER python -m bench.web_suspect

Every round of the 33 labelled RIPE Atlas series is once the newest, true changes among them: so the shares are bounds from above.
Then fleets of such series, each from another instant of its own, so that nothing they do together is more than chance: every
round that comes in is looked at, and suspicions are counted when they begin, at several bars beside what these state.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.signals_data import labelled
from nettrace.analysis.signals.suspect import (
    BY_CHANCE,
    BY_CHANCE_NEW,
    LEAST_PAIRS,
    LEAST_USUAL,
    LONGEST,
    USUAL,
    Outside,
    Stand,
    joint,
    outside,
    stand,
)

BEARABLE = 1e-6
FLEETS, VANTAGES, TARGETS = 200, 3, 5
BARS = (1_000, 10_000, 43_200)
"""Rounds of a pair between two suspicions by chance; the last is a month of rounds a minute."""
Stands = list[Stand]


def main() -> None:
    """Print the shares and the rates, beside those the product states."""
    rows = [[round(value * 1e6) for value in series.rtt_ms if value > 0] for series in labelled("labelled")]
    known = [_stands(rtts, USUAL) for rtts in rows]
    _print_shares("all known", known, BY_CHANCE)
    _print_shares("few known", [_stands(rtts, LEAST_USUAL) for rtts in rows], BY_CHANCE_NEW)
    for pairs in (6, 12, 24, 100, 1000):
        needed = [_needed(pairs, Stand(rounds, far)) for rounds in (1, 2) for far in (1.5, 20.0, 100.0)]
        print(
            f"of {pairs} pairs it takes {needed[:3]} after one round, {needed[3:]} after two (1, 16, 64 times as far)"
        )
    for bar in BARS:
        told, rounds = _told(known, bar)
        print(f"stated at most one in {bar} rounds: {told} in {rounds}, one in {rounds / max(1, told):.0f}")


def _stands(rtts: Sequence[int], usual: int) -> Stands:
    """How a series stands at each of its rounds, by so many rounds of what is usual."""
    made: Stands = []
    for end in range(USUAL + LONGEST, len(rtts) + 1):
        seen = rtts[end - usual - LONGEST : end]
        found = _outside(seen) if seen[-1] > min(seen) else None
        made.append(stand(seen, found)._replace(known=True))
    return made


def _outside(seen: Sequence[int]) -> Outside | None:
    """What is outside of a usual of as many rounds as there are beside the longest run, whatever the run."""
    runs = ((run, outside(seen[LONGEST - run :])) for run in range(LONGEST, 0, -1))
    return next((found for run, found in runs if found is not None and found.rounds == run), None)


def _print_shares(name: str, known: Iterable[Stands], stated: dict[tuple[int, int], float]) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    total = 0
    for stands in known:
        total += len(stands)
        seen.update(
            level for each in stands for level in stated if each.rounds >= level[0] and each.far > level[1]
        )
    for (rounds, far), share in stated.items():
        print(
            f"{name}: {rounds} newest outside, {far} times as far: {seen[rounds, far] / total:.5f} of {total} rounds (stated {share})"
        )


def _needed(pairs: int, one: Stand) -> int | None:
    """How many pairs that stand so it takes."""
    fits = (
        count
        for count in range(LEAST_PAIRS, pairs)
        if joint([one] * count + [Stand()] * (pairs - count)).rate < BEARABLE
    )
    return next(fits, None)


def _told(known: Sequence[Stands], bar: int) -> tuple[int, int]:
    """Suspicions that chance began in fleets, and for how many rounds of a pair these were looked at."""
    random = np.random.default_rng(264)
    pairs, length = VANTAGES * TARGETS, min(map(len, known))
    arrays = [np.array([(each.rounds, each.far) for each in stands]) for stands in known]
    groups = [
        np.arange(pairs),
        *(np.arange(pairs).reshape(VANTAGES, TARGETS)),
        *np.arange(pairs).reshape(VANTAGES, TARGETS).T,
    ]
    told = 0
    for _ in range(FLEETS):
        chosen = random.choice(len(arrays), pairs, replace=False)
        looks = _looks(
            [np.roll(arrays[each], random.integers(len(arrays[each])), axis=0)[:length] for each in chosen]
        )
        on = np.zeros(looks.shape[1], dtype=bool)
        for level in BY_CHANCE:
            far = (looks[..., 0] >= level[0]) & (looks[..., 1] > level[1])
            for group in groups:
                least = _least(len(group), level, bar, len(groups))
                if least is not None:
                    on |= far[group].sum(axis=0) >= least
        told += int(np.sum(on[1:] & ~on[:-1]))
    return told, FLEETS * length


def _looks(fleet: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """How each pair of a fleet stands at each look: one a round of each pair, in turn."""
    pairs = len(fleet)
    return np.stack(
        [
            np.repeat(one, pairs, axis=0)[pairs - 1 - place : len(one) * pairs - place]
            for place, one in enumerate(fleet)
        ]
    )


def _least(of: int, level: tuple[int, int], bar: int, groups: int) -> int | None:
    """How many pairs of a group must stand so that it is told at a bar."""
    one = Stand(level[0], level[1] * 1.01)
    fits = (
        count
        for count in range(LEAST_PAIRS, of + 1)
        if joint([one] * count + [Stand()] * (of - count)).rate * groups < 1 / bar
    )
    return next(fits, None)


if __name__ == "__main__":
    main()
