"""Which of many tests say anything: the false discovery rate over every test that was ever made."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from nettrace.analysis.market.chance import Odds

FDR = 0.025
"""The default share of findings that may be false. Real series are never quite what a test assumes: half of the 5 % promised."""


class Finding(StrEnum):
    """What a test says.

    `evidence`: chance alone would hardly do this, on all shifts and on whole days. `no_evidence`: it would.
    `cannot_tell`: there is too little data to say either.
    """

    EVIDENCE = "evidence"
    NO_EVIDENCE = "no_evidence"
    CANNOT_TELL = "cannot_tell"


def adjusted(p: Sequence[float]) -> list[float]:
    """The q-value of each p (Benjamini and Hochberg, Controlling the False Discovery Rate, 1995): the least rate at which it counts.

    >>> adjusted([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    order = sorted(range(len(p)), key=lambda place: p[place], reverse=True)
    made = [1.0] * len(p)
    least = 1.0
    for rank, place in zip(range(len(p), 0, -1), order, strict=True):
        least = min(least, round(p[place] * len(p) / rank, 12))
        made[place] = least
    return made


def judged(
    tests: Mapping[str, Odds | None], earlier: Mapping[str, float], fdr: float = FDR
) -> dict[str, tuple[float | None, Finding]]:
    """Each test's q-value and finding, among these and all `earlier` ones (their p by name; a test made again counts once)."""
    family = dict(earlier) | {name: each.p for name, each in tests.items() if each is not None}
    q = dict(zip(family, adjusted(list(family.values())), strict=True))
    made: dict[str, tuple[float | None, Finding]] = {}
    for name, each in tests.items():
        if each is None or each.placebo_p is None:
            made[name] = (q.get(name), Finding.CANNOT_TELL)
        else:
            found = q[name] <= fdr and each.placebo_passed
            made[name] = (q[name], Finding.EVIDENCE if found else Finding.NO_EVIDENCE)
    return made
