"""How often real series are far above their usual: what the overview's suspicion counts as chance.

    NETTRACE_DATASETS=FOLDER python -m bench.web_suspect

Every round of the 33 labelled RIPE Atlas series is once the newest, true changes among them: so the shares are bounds from above.
Beside them how often it would be "suspected" if as many pairs of a fleet as are needed rose each by chance.
"""

from collections import Counter

from bench.signals_data import labelled
from nettrace.analysis.signals.suspect import BY_CHANCE, LEAST_PAIRS, LONGEST, USUAL, joint, outside

BEARABLE = 1e-6


def main() -> None:
    """Print the shares, beside those the product states, and how many pairs it takes."""
    seen: Counter[int] = Counter()
    total = 0
    for series in labelled("labelled"):
        rtts = [round(value * 1e6) for value in series.rtt_ms if value > 0]
        for end in range(USUAL + LONGEST, len(rtts) + 1):
            found = outside(rtts[end - USUAL - LONGEST : end])
            total += 1
            seen[min(2, found.rounds) if found else 0] += 1
    for least, stated in BY_CHANCE.items():
        share = sum(count for rounds, count in seen.items() if rounds >= least) / total
        print(f"{least} newest outside: {share:.5f} of {total} rounds (stated {stated})")
    for pairs in (6, 12, 24, 100, 1000):
        needed = {
            rounds: next(count for count in range(LEAST_PAIRS, pairs) if joint([rounds] * count + [0] * (pairs - count)).chance < BEARABLE)
            for rounds in BY_CHANCE
        }  # fmt: skip
        print(f"of {pairs} pairs it takes {needed[1]} after one round, {needed[2]} after two")


if __name__ == "__main__":
    main()
