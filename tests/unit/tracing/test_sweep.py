"""The sweep machine in virtual time, on nets whose truth is known: paths, silence, loss, limits, forgeries."""

import heapq
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from nettrace.measure.tracing.lanes import LEAST_SHARE, SHARES
from nettrace.measure.tracing.pacer import Pacer
from nettrace.measure.tracing.sweep import CLOSED, DIRECT, REACHED, REFUSED, Record, Sweep, return_length
from nettrace.measure.tracing.sweep_table import (
    INFERRED,
    LIMITED,
    LOST,
    SENT,
    SLOTS,
    STAMPED,
    UNSEEN,
    UNTIMED,
    SweepOptions,
)
from nettrace.model.instant import NS_PER_MS, NS_PER_S

TIME_EXCEEDED, PORT_UNREACHABLE, HOST_UNREACHABLE = 11, 3 + 256 * 3, 3 + 256 * 1
START = 1_000 * NS_PER_S


@dataclass
class Bucket:
    """Linux's limit: `rate` answers a second, `burst` at once."""

    rate: float
    burst: float
    tokens: float = field(init=False)
    at: int = START

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def allows(self, now: int) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate / NS_PER_S)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class World:
    """Targets are numbers; `router(target, ttl)` says who stands there (0: nobody answers)."""

    router: Callable[[int, int], int]
    length: Callable[[int], int] = lambda _: 8
    answers: Callable[[int], bool] = lambda _: True
    loss: float = 0.0
    limit: Callable[[int], Bucket | None] = lambda _: None
    direct: bool = False
    end_kind: int = PORT_UNREACHABLE
    hop_ns: int = 2 * NS_PER_MS
    random: Random = field(default_factory=lambda: Random(1))
    asked: "defaultdict[int, list[int]]" = field(default_factory=lambda: defaultdict(list))
    buckets: dict[int, Bucket | None] = field(default_factory=dict)

    def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
        """When, who, what and which TTL is quoted (or arrives); None for silence."""
        length = self.length(target)
        at = min(ttl, length)
        if self.random.random() < self.loss:
            return None
        if ttl >= length:
            if not self.answers(target):
                return None
            who, kind = target, DIRECT if self.direct else self.end_kind
            seen = 64 - (length - 1) if self.direct else ttl - length + 1
        else:
            who, kind, seen = self.router(target, ttl), TIME_EXCEEDED, 1
            if not who:
                return None
            self.asked[who].append(now)
            bucket = self.buckets.setdefault(who, self.limit(who))
            if bucket and not bucket.allows(now):
                return None
        return now + 2 * at * self.hop_ns, who, kind, seen


@dataclass
class Result:
    path: list[int]
    rtts: list[int]
    flags: int
    end: int
    inferred: dict[int, int]
    at: int


class Drive:
    """Runs a sweep over a world in virtual time, as the shell would."""

    def __init__(self, world: World, rate_pps: float = 10_000, **options: object) -> None:
        exact = not world.direct
        self.world = world
        self.now = START
        self.sweep = Sweep(
            SweepOptions(**{"rate_pps": rate_pps, "exact": exact, "arrived": PORT_UNREACHABLE, **options})
        )  # type: ignore[arg-type]
        self.pacer = Pacer(rate_pps, START)
        self.under_way: list[tuple[int, int, Record]] = []
        self.sent: list[tuple[int, int, int]] = []
        self.results: dict[int, Result] = {}
        self.stamped = True
        self.meddle: Callable[[list[Record]], list[Record]] = lambda records: records

    def run(self, targets: list[int], limit_s: float = 300) -> dict[int, Result]:
        for target in targets:
            self.sweep.admit(target, target, 7, self.now)
        while self.sweep.active:
            assert self.now < START + limit_s * NS_PER_S, "the sweep does not end"
            self._hear()
            self.sweep.expire(self.now)
            self._collect()
            self._send()
            self.now = self._next()
        return self.results

    def _hear(self) -> None:
        records: list[Record] = []
        while self.under_way and self.under_way[0][0] <= self.now:
            records.append(heapq.heappop(self.under_way)[2])
        self.sweep.take(self.meddle(records), self.now)

    def _send(self) -> None:
        table = self.sweep.table
        room = self.pacer.allowance(self.now)
        batch = self.sweep.batch(self.now, min(room, 256)) if room else None
        if batch is None:
            return
        self.pacer.spend(len(batch.rows), self.now)
        for slot, (row, step) in enumerate(zip(batch.rows, batch.steps, strict=True), batch.first):
            ttl, target = self.sweep.lanes[step].ttl, table.destination[row]
            table.sent_s[slot], table.sent_ns[slot] = divmod(self.now, NS_PER_S)
            if self.stamped:
                table.live[slot] += STAMPED - SENT
            self.sent.append((self.now, target, ttl))
            answer = self.world.answer(target, ttl, self.now)
            if answer:
                at, who, kind, seen = answer
                record = (*divmod(at, NS_PER_S), who, kind, slot, seen, target, 7)
                heapq.heappush(self.under_way, (at, slot, record))

    def _collect(self) -> None:
        sweep, table = self.sweep, self.sweep.table
        for row in sweep.finished:
            length = table.end[row] or table.horizon[row]
            cells = [table.cells(row, ttl)[0] for ttl in range(1, length + 1)]
            self.results[table.destination[row]] = Result(
                [table.found[cell] for cell in cells],
                [table.rtt[cell] for cell in cells],
                sweep.flags[row],
                table.end[row],
                dict(sweep.inferred.get(row, {})),
                self.now,
            )
            sweep.release(row, self.now)
        sweep.finished.clear()

    def _next(self) -> int:
        times = [self.now + NS_PER_MS]
        return min(times)


def chain(_: int, ttl: int) -> int:
    return 1000 + ttl


def tree(target: int, ttl: int) -> int:
    return 10_000 * ttl + target % (1 << min(ttl, 6))


def path_of(world: World, target: int) -> list[int]:
    """What a perfect observer sees before the destination."""
    return [world.router(target, ttl) for ttl in range(1, world.length(target))]


def test_a_friendly_net_is_seen_whole_with_one_probe_a_hop_and_one_a_target() -> None:
    world = World(tree, length=lambda target: 5 + target % 4)
    drive = Drive(world)
    targets = list(range(100_000, 100_400))
    results = drive.run(targets)
    for target in targets:
        assert results[target].path[:-1] == path_of(world, target)
        assert results[target].end == world.length(target)
        assert results[target].flags == REACHED | CLOSED
    assert len(drive.sent) == sum(world.length(target) for target in targets)
    assert max(ttl for _, target, ttl in drive.sent if ttl < 32) < 8, "nothing is asked beyond a destination"


def test_round_trips_are_those_of_the_probe_that_was_answered() -> None:
    world = World(chain)
    results = Drive(world).run([50_000])
    assert results[50_000].rtts[:7] == [2 * ttl * world.hop_ns for ttl in range(1, 8)]


@pytest.mark.parametrize("direct", [False, True])
def test_a_silent_target_behind_many_hops_is_followed_to_its_last_router(direct: bool) -> None:
    world = World(chain, length=lambda _: 21, answers=lambda _: False, direct=direct)
    result = Drive(world).run([50_000])[50_000]
    assert result.path[:20] == path_of(world, 50_000)
    assert result.end == 0
    assert not result.flags & REACHED
    assert result.rtts[20:] == [LOST] * 5, "the gap limit ends it"


def test_answers_without_a_quote_find_the_destination_where_it_is() -> None:
    world = World(chain, length=lambda target: 4 + target % 9, direct=True)
    targets = list(range(40_000, 40_100))
    results = Drive(world).run(targets)
    for target in targets:
        assert results[target].path == [*path_of(world, target), target]
        assert results[target].end == world.length(target)


def test_a_return_path_of_another_length_misleads_nobody() -> None:
    class Asymmetric(World):
        def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
            answer = super().answer(target, ttl, now)
            return answer and (*answer[:3], answer[3] - 3 if target % 2 else answer[3] + 3)

    world = Asymmetric(chain, length=lambda _: 9, direct=True)
    results = Drive(world).run([40_000, 40_001])
    assert results[40_000].path == [*path_of(world, 40_000), 40_000]
    assert results[40_001].path == [*path_of(world, 40_001), 40_001]


def test_a_lost_answer_is_asked_for_again_and_no_silence_is_invented() -> None:
    world = World(tree, loss=0.02, length=lambda target: 6 + target % 3)
    drive = Drive(world, attempts=4)
    targets = list(range(200_000, 201_000))
    results = drive.run(targets)
    assert [target for target in targets if results[target].path[:-1] != path_of(world, target)] == []


def test_a_lost_end_is_looked_for_again_before_the_path_is_called_longer() -> None:
    """Of 2,000 paths, 10 % of whose answers are lost, a hop too many was told of 26."""
    world = World(tree, loss=0.1, length=lambda target: 6 + target % 3, direct=True)
    targets = list(range(200_000, 202_000))
    results = Drive(world).run(targets)
    assert [target for target in targets if results[target].end > world.length(target)] == []


@dataclass
class Listening(World):
    """Its hosts answer one request to connect at a time, again after a second when the answer was lost."""

    until: dict[int, int] = field(default_factory=dict)

    def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
        length = self.length(target)
        way_ns = length * self.hop_ns
        if ttl < length:
            return super().answer(target, ttl, now)
        there = now + way_ns
        if self.random.random() < self.loss or there < self.until.get(target, 0):
            return None
        lost = self.random.random() < self.loss
        self.until[target] = there + (NS_PER_S if lost else 0) + 2 * way_ns
        return None if lost else (there + way_ns, target, DIRECT, 64 - (length - 1))


def test_of_several_requests_to_connect_the_lowest_that_arrives_is_found() -> None:
    """The first question unanswered, hops beyond the destination are asked, too, and it may answer any of them.

    With 8 % loss each way 70 of 1,000 paths were told too long. One is left: what was lost was lost every time.
    """
    world = Listening(tree, loss=0.08, length=lambda target: 6 + target % 3, direct=True)
    targets = list(range(200_000, 201_000))
    results = Drive(world, connects=True).run(targets)
    assert sum(results[target].end > world.length(target) for target in targets) <= 1


def test_a_router_that_is_silent_where_the_destination_could_be_is_asked_once_more_and_passed() -> None:
    class Asymmetric(World):
        def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
            answer = super().answer(target, ttl, now)
            return answer and (*answer[:3], answer[3] + 1)

    world = Asymmetric(
        lambda target, ttl: 0 if ttl == 7 else chain(target, ttl), length=lambda _: 8, direct=True
    )
    drive = Drive(world)
    result = drive.run([40_000])[40_000]
    assert result.path == [*path_of(world, 40_000), 40_000]
    assert result.rtts[6] == LOST
    assert sum(ttl == 7 for _, _, ttl in drive.sent) == 4


def test_silent_routers_stay_unobserved_and_stop_nothing() -> None:
    def router(target: int, ttl: int) -> int:
        return 0 if ttl in {1, 4, 5} else tree(target, ttl)

    world = World(router)
    results = Drive(world).run(list(range(300_000, 300_500)))
    for target, result in results.items():
        assert result.path[:-1] == path_of(world, target)
        assert [result.rtts[ttl - 1] for ttl in (1, 4, 5)] == [LOST] * 3


def test_several_probes_a_hop_follow_each_other() -> None:
    world = World(chain)
    drive = Drive(world, probes_per_hop=3)
    drive.run([60_000])
    assert Counter(ttl for _, _, ttl in drive.sent if ttl != 32) == Counter(
        {**dict.fromkeys(range(1, 8), 3), 8: 2}
    )


def test_a_router_that_refuses_ends_the_path_with_its_word() -> None:
    class Walled(World):
        def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
            answer = super().answer(target, min(ttl, 5), now)
            return answer and ((*answer[:2], HOST_UNREACHABLE, 1) if ttl >= 5 else answer)

    result = Drive(Walled(chain)).run([70_000])[70_000]
    assert result.path == [1001, 1002, 1003, 1004, 1005]
    assert result.flags & REFUSED
    assert not result.flags & REACHED


def test_a_destination_nearer_than_it_said_cuts_the_path() -> None:
    class Rewriting(World):
        """Something on the way sets the TTL back by three: the quoted TTL says three hops too many."""

        def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
            answer = super().answer(target, ttl, now)
            return answer and (*answer[:3], answer[3] - 3 if answer[2] == PORT_UNREACHABLE else answer[3])

    result = Drive(Rewriting(chain, length=lambda _: 6)).run([70_000])[70_000]
    assert result.path == [*[1000 + ttl for ttl in range(1, 6)], 70_000]
    assert result.end == 6


def test_probes_that_were_not_seen_to_leave_prove_no_loss() -> None:
    drive = Drive(World(lambda _target, ttl: 0 if ttl == 3 else 1000 + ttl))
    drive.stamped = False
    assert drive.run([80_000])[80_000].rtts[2] == UNSEEN


def test_a_stall_of_this_host_makes_losses_doubtful_and_asks_again() -> None:
    class Deaf(World):
        def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
            return None if now < START + 2 * NS_PER_S else super().answer(target, ttl, now)

    drive = Drive(Deaf(chain))
    heard = drive.sweep.take

    def stalled(records: list[Record], now: int) -> None:
        if now < START + 2 * NS_PER_S:
            drive.sweep.stalled(now)
        heard(records, now)

    drive.sweep.take = stalled  # type: ignore[method-assign, assignment]
    result = drive.run([90_000])[90_000]
    assert result.path[:-1] == path_of(drive.world, 90_000)


# -- forgeries, doubles, late ones ----------------------------------------------------------------------------


def test_forged_replayed_and_impossible_replies_change_nothing() -> None:
    random = Random(5)
    world = World(tree)
    targets = list(range(400_000, 400_300))
    honest = Drive(world).run(targets)
    drive = Drive(World(tree))
    old: list[Record] = []

    def attack(records: list[Record]) -> list[Record]:
        forged = [
            (
                *divmod(drive.now, NS_PER_S),
                random.randrange(1, 99),
                random.choice([TIME_EXCEEDED, PORT_UNREACHABLE, HOST_UNREACHABLE, DIRECT]),
                random.randrange(SLOTS + 1),
                random.randrange(256),
                random.choice(targets),
                random.choice([0, 6, 8, 65_535]),
            )
            for _ in range(50)
        ]
        wrong_target = [(*record[:6], record[6] + 1, 7) for record in records]
        old.extend(records)
        mixed = [*forged, *wrong_target, *records, *records, *random.sample(old, min(20, len(old)))]
        return mixed

    drive.meddle = attack
    results = drive.run(targets)
    assert {target: result.path for target, result in results.items()} == {
        target: result.path for target, result in honest.items()
    }
    assert drive.sweep.rejected > 0
    assert drive.sweep.stray > 0


def test_answers_in_any_order_and_seconds_late_are_matched_to_their_own_probe() -> None:
    random = Random(9)

    class Jittery(World):
        def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
            answer = super().answer(target, ttl, now)
            return answer and (answer[0] + random.randrange(600 * NS_PER_MS), *answer[1:])

    world = Jittery(tree)
    results = Drive(world).run(list(range(500_000, 500_200)))
    for target, result in results.items():
        assert result.path[:-1] == path_of(world, target)
        assert all(0 < rtt <= 640 * NS_PER_MS for rtt in result.rtts[:-1])


def test_a_round_trip_no_clock_can_have_measured_is_not_told() -> None:
    drive = Drive(World(chain))
    drive.meddle = lambda records: [(record[0] + 3600, *record[1:]) for record in records]
    result = drive.run([60_000])[60_000]
    assert result.path[:-1] == path_of(drive.world, 60_000)
    assert result.rtts[:-1] == [UNTIMED] * 7


# -- pace ------------------------------------------------------------------------------------------------------


def test_no_stretch_of_time_sees_more_packets_than_the_rate_and_one_stalls_worth() -> None:
    rate = 2_000
    drive = Drive(World(tree, loss=0.05), rate_pps=rate)
    drive.run(list(range(600_000, 600_300)))
    times = [at for at, _, _ in drive.sent]
    for first in range(0, len(times), 7):
        for last in range(first, len(times), 23):
            stretch = (times[last] - times[first]) / NS_PER_S
            assert last - first + 1 <= rate * stretch + drive.pacer.depth + 1


def test_no_router_gets_a_burst_even_when_all_paths_pass_it() -> None:
    rate, window_ns = 50_000, 10 * NS_PER_MS
    drive = Drive(World(chain), rate_pps=rate)
    drive.run(list(range(700_000, 702_000)))
    allowed = rate / SHARES * window_ns / NS_PER_S + rate / SHARES / 1000 + LEAST_SHARE
    for ttl in range(1, 8):
        times = [at for at, _, asked in drive.sent if asked == ttl]
        for first, at in enumerate(times):
            assert bisect_left(times, at + window_ns) - first <= allowed


# -- routers that limit their answers -----------------------------------------------------------------------------


def busiest(world: World) -> float:
    """Probes a second at the router asked most, its first burst of six granted."""
    return max((len(times) - 6) / ((times[-1] - START) / NS_PER_S) for times in world.asked.values())


def test_every_route_behind_limited_routers_is_right_within_a_minute() -> None:
    world = World(chain, length=lambda _: 9, limit=lambda _: Bucket(1, 6), direct=True)
    drive = Drive(world, rate_pps=1_000)
    targets = list(range(800_000, 800_200))
    results = drive.run(targets)
    for target in targets:
        assert results[target].path == [*path_of(world, target), target]
        observed = [ttl for ttl in range(1, 9) if ttl not in results[target].inferred]
        assert all(results[target].rtts[ttl - 1] == INFERRED for ttl in results[target].inferred)
        assert all(results[target].rtts[ttl - 1] > 0 for ttl in observed)
        assert all(flows >= 59 for flows in results[target].inferred.values())
    assert max(result.at for result in results.values()) <= START + 60 * NS_PER_S
    assert busiest(world) <= 1.2


def test_a_limited_branching_path_is_inferred_from_the_right_branch_only() -> None:
    def router(target: int, ttl: int) -> int:
        return 1000 + ttl if ttl < 4 else 2000 + 100 * (target >> 8 & 1) + ttl

    world = World(router, length=lambda _: 8, limit=lambda _: Bucket(1, 6), direct=True)
    # Two networks of 100, told apart by the third byte of the address as this machine reads it.
    targets = [0x01_00_00_0A + (network << 8) + (host << 24) for network in (0, 1) for host in range(100)]
    Random(3).shuffle(targets)
    results = Drive(world, rate_pps=1_000).run(targets)
    for target in targets:
        said = results[target].path[:-1]
        assert [who for who in said if who] == [
            true for who, true in zip(said, path_of(world, target), strict=True) if who
        ], "what is said is true"
        assert all(said), "and everything is said"


def test_flows_spread_over_equal_branches_are_never_inferred() -> None:
    def router(target: int, ttl: int) -> int:
        return 1000 + ttl + (500 * (hash((target, 1)) & 1) if ttl == 3 else 0)

    world = World(
        router, length=lambda _: 6, limit=lambda who: Bucket(1, 6) if who % 500 == 3 else None, direct=True
    )
    results = Drive(world, rate_pps=1_000).run(list(range(900_000, 900_300)))
    for target, result in results.items():
        assert 3 not in result.inferred
        assert result.path[2] in {0, router(target, 3)}
        assert result.path[2] or result.rtts[2] in {LIMITED, LOST}


def test_silence_is_not_mistaken_for_a_limit() -> None:
    def router(target: int, ttl: int) -> int:
        return 0 if ttl > 3 and target % 3 else tree(target, ttl)

    world = World(router, answers=lambda target: target % 3 == 0)
    results = Drive(world).run(list(range(1_000_000, 1_001_000)))
    assert max(result.at for result in results.values()) < START + 15 * NS_PER_S
    assert not any(result.inferred for result in results.values())


def test_a_slow_spell_of_the_net_is_not_mistaken_for_a_limit() -> None:
    class Slow(World):
        def answer(self, target: int, ttl: int, now: int) -> tuple[int, int, int, int] | None:
            answer = super().answer(target, ttl, now)
            slow = START + 60 * NS_PER_MS < now < START + 900 * NS_PER_MS
            return answer and (answer[0] + (500 * NS_PER_MS if slow else 0), *answer[1:])

    world = Slow(chain)
    results = Drive(world, rate_pps=5_000).run(list(range(1_100_000, 1_101_000)))
    assert max(result.at for result in results.values()) < START + 15 * NS_PER_S
    assert all(result.path[:-1] == path_of(world, target) for target, result in results.items())
    assert not any(result.inferred for result in results.values())


def test_targets_of_which_most_are_dark_end_in_the_time_their_probes_take() -> None:
    def router(target: int, ttl: int) -> int:
        return tree(target, ttl) if ttl < 5 or target % 10 == 0 else 0

    world = World(router, answers=lambda target: target % 10 == 0)
    drive = Drive(world, rate_pps=10_000)
    targets = list(range(1_200_000, 1_202_000))
    results = drive.run(targets)
    dark = [results[target] for target in targets if target % 10]
    assert all(
        result.path[:4] == [tree(target, ttl) for ttl in range(1, 5)] for target, result in results.items()
    )
    assert all(not result.flags & REACHED and len(result.path) == 9 for result in dark)
    assert max(result.at for result in results.values()) < START + (len(drive.sent) / 10_000 + 5) * NS_PER_S


def test_the_return_length_is_read_from_the_usual_initial_ttls() -> None:
    assert [return_length(ttl) for ttl in (64, 56, 128, 100, 255, 240, 0)] == [1, 9, 1, 29, 1, 16, 65]
