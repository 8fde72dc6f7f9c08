"""Whole random internets from a seed: shared near hops, balancers, silence, limits, loss, changing routes."""

from random import Random

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.testing.simclock import SimClock
from nettrace.testing.simdriver import EPOCH
from nettrace.testing.simnet import Route, Router, Site


class WorldShape(msgspec.Struct, frozen=True, kw_only=True):
    """How a random internet looks.

    Attributes:
        silent: share of routers that never answer.
        balanced: share of stages with two to four parallel routers.
        limited: share of routers that limit their answers to `answers_per_s`.
        loss: chance that a round trip of average length loses a packet.
        dark: share of destinations that never answer.
        changes_per_day: reroutes of each destination.
        stragglers: share of destinations whose answers may be held up or doubled.
    """

    sites: int = 20
    shortest: int = 8
    longest: int = 20
    silent: float = 0.12
    balanced: float = 0.25
    limited: float = 0.3
    answers_per_s: float = 1.0
    loss: float = 0.005
    dark: float = 0.05
    changes_per_day: float = 4.0
    stragglers: float = 0.2
    days: float = 1.0
    ipv6: float = 0.2


def random_sites(shape: WorldShape, seed: int) -> list[Site]:
    """Destinations with their routes; the near hops are shared, as a host's real ones are."""
    made = _Maker(shape, Random(seed))
    return [made.site(number) for number in range(shape.sites)]


def random_clock(seed: int, *, hours: float, steps: int, stalls: int) -> SimClock:
    """A clock with steps of up to an hour either way, and pauses of 5 ms to 5 s."""
    random = Random(seed)
    length = int(hours * 3600 * NS_PER_S)

    def moment() -> Instant:
        return EPOCH + random.randrange(length)

    changes = [(moment(), int(random.choice((-1, 1)) * 10 ** random.uniform(5, 12.5))) for _ in range(steps)]
    pauses: list[tuple[Instant, Instant]] = []
    for start in sorted(moment() for _ in range(stalls)):
        if not pauses or start > pauses[-1][1]:
            pauses.append((start, start + int(10 ** random.uniform(6.7, 9.7))))
    return SimClock(changes, pauses)


class _Maker:
    def __init__(self, shape: WorldShape, random: Random) -> None:
        self.shape = shape
        self.random = random
        self._routers = 0
        self._hop_loss = shape.loss / (shape.shortest + shape.longest)
        self._trunk = tuple((self._router(0.3),) for _ in range(2))
        self._regions = [tuple(self._stage(2.0) for _ in range(3)) for _ in range(4)]

    def site(self, number: int) -> Site:
        random, shape = self.random, self.shape
        region = random.choice(self._regions)
        address = f"198.18.{number >> 8}.{number & 255}"
        if random.random() < shape.ipv6:
            address = f"2001:db8:{number:x}::1"
        dark = random.random() < shape.dark
        straggles = random.random() < shape.stragglers
        return Site(
            address=address,
            routes=tuple(self._routes(region)),
            jitter_ms=random.uniform(0.0, 3.0),
            loss=self._hop_loss,
            answers=() if dark else Site(address="", routes=()).answers,
            doubles=0.02 if straggles else 0.0,
            straggles=0.02 if straggles else 0.0,
            straggle_ms=3000.0 if straggles else 0.0,
        )

    def _routes(self, region: tuple[tuple[Router, ...], ...]) -> list[Route]:
        random, shape = self.random, self.shape
        length = random.randint(shape.shortest, shape.longest)
        far = [self._stage(5.0) for _ in range(length - 1 - len(self._trunk) - len(region))]
        routes = [Route(stages=(*self._trunk, *region, *far))]
        for at in sorted(random.random() for _ in range(self._poisson(shape.changes_per_day * shape.days))):
            far = self._rerouted(far)
            since = EPOCH + int(at * shape.days * 86_400 * NS_PER_S)
            routes.append(Route(stages=(*self._trunk, *region, *far), since=since))
        return routes

    def _rerouted(self, far: list[tuple[Router, ...]]) -> list[tuple[Router, ...]]:
        """A cut somewhere, and a detour of other, perhaps more or fewer, hops around it."""
        shape, near = self.shape, 1 + len(self._trunk) + len(self._regions[0])
        cut = self.random.randrange(len(far) + 1)
        rejoin = min(len(far), cut + self.random.randint(0, 3))
        detour = [self._stage(5.0) for _ in range(self.random.randint(0, 3))]
        rerouted = [*far[:cut], *detour, *far[rejoin:]]
        return rerouted if shape.shortest <= near + len(rerouted) <= shape.longest else far

    def _stage(self, delay_ms: float) -> tuple[Router, ...]:
        width = self.random.randint(2, 4) if self.random.random() < self.shape.balanced else 1
        return tuple(self._router(delay_ms) for _ in range(width))

    def _router(self, delay_ms: float) -> Router:
        self._routers += 1
        random, number = self.random, self._routers
        return Router(
            address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            delay_ms=random.uniform(0.2, 2.0) * delay_ms,
            jitter_ms=random.uniform(0.0, 0.3) * delay_ms,
            loss=self._hop_loss,
            silent=random.random() < self.shape.silent,
            answers_per_s=self.shape.answers_per_s if random.random() < self.shape.limited else None,
        )

    def _poisson(self, mean: float) -> int:
        count, left = 0, self.random.expovariate(1.0)
        while left < mean:
            count += 1
            left += self.random.expovariate(1.0)
        return count
