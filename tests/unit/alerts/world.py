"""A small world in virtual time: vantages that measure targets once a minute, and a script of what goes wrong."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from nettrace.analysis.alerts.evaluator import Evaluator, Turn
from nettrace.analysis.alerts.fact import EventSeen, Fact, Heard, Known, RoundSeen
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.target import RoundMethod, Series

MINUTE = 60 * NS_PER_S
HOUR = 60 * MINUTE
START = 1_782_086_400 * NS_PER_S
"""Monday, 2026-06-22, midnight UTC."""

Effect = Callable[[RoundSeen], RoundSeen | None]


@dataclass
class Happening:
    """Something that goes wrong for a while: what it does to a round it touches (None: the round never comes)."""

    start: Instant
    end: Instant
    effect: Effect
    touches: Callable[[Series], bool]
    silent: tuple[str, ...] = ()


@dataclass
class World:
    vantages: tuple[str, ...] = ("nyc", "lon", "tok", "fra")
    targets: tuple[str, ...] = tuple(f"api{n}.example" for n in range(8))
    interval_ns: int = MINUTE
    script: list[Happening] = field(default_factory=list)
    events: list[tuple[Instant, EventSeen]] = field(default_factory=list)
    seed: int = 7

    def minutes(self, start: Instant, end: Instant) -> Iterator[tuple[Instant, list[Fact]]]:
        """What is heard, minute by minute."""
        rng = random.Random(self.seed)
        yield start, [Known(target=host, category="Crypto Exchanges", asn=64500) for host in self.targets]
        for at in range(start, end, MINUTE):
            silent = {v for each in self.script if each.start <= at < each.end for v in each.silent}
            facts: list[Fact] = [Heard(vantage=v, at=at) for v in self.vantages if v not in silent]
            facts += [event for when, event in self.events if at - MINUTE < when <= at]
            if (at - start) % self.interval_ns == 0:
                facts += [
                    r
                    for v in self.vantages
                    if v not in silent
                    for t in self.targets
                    for r in self._round(v, t, at, rng)
                ]
            yield at + 2 * NS_PER_S, facts

    def _round(self, vantage: str, target: str, at: Instant, rng: random.Random) -> list[RoundSeen]:
        series = Series(vantage, target, "rest", RoundMethod.TCP)
        level = 20 + 15 * self.vantages.index(vantage) + 3 * self.targets.index(target)
        rtt = round((level + rng.expovariate(1.0)) * 1e6)
        lost = sum(rng.random() < 0.002 for _ in range(5))
        seen: RoundSeen | None = answered(series, at, rtt, self.interval_ns, lost)
        for each in self.script:
            if seen is not None and each.start <= at < each.end and each.touches(series):
                seen = each.effect(seen)
        return [] if seen is None else [seen]


def answered(series: Series, at: Instant, rtt_ns: int, interval_ns: int = MINUTE, lost: int = 0) -> RoundSeen:
    return RoundSeen(
        series=series,
        due=at,
        interval_ns=interval_ns,
        outcome=Outcome.MEASURED,
        rtt_ns=rtt_ns,
        sent=5,
        received=5 - lost,
    )


def failed(seen: RoundSeen) -> RoundSeen:
    return RoundSeen(
        series=seen.series,
        due=seen.due,
        interval_ns=seen.interval_ns,
        outcome=Outcome.FAILED,
        sent=seen.sent,
        received=0,
    )


def not_measured(seen: RoundSeen) -> RoundSeen:
    return RoundSeen(
        series=seen.series, due=seen.due, interval_ns=seen.interval_ns, outcome=Outcome.NOT_MEASURED
    )


def slower(by_ms: float) -> Effect:
    def effect(seen: RoundSeen) -> RoundSeen:
        return answered(seen.series, seen.due, (seen.rtt_ns or 0) + round(by_ms * 1e6), seen.interval_ns)

    return effect


def run(evaluator: Evaluator, world: World, start: Instant, end: Instant) -> list[Turn]:
    """Everything that came of it, in order."""
    return [evaluator.feed(now, facts) for now, facts in world.minutes(start, end)]
