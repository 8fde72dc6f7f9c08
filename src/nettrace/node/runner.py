"""Begins every round when it is due, and turns what it brought into a record. Ends within its time, with what it knows."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from nettrace.measure.probing.stamp_socket import Clockwork, kernel_wall
from nettrace.measure.tracing.politeness import Limits
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Outcome, Ping, Reason, SampleState
from nettrace.model.target import Endpoint, RoundMethod, Series
from nettrace.node.driver import Driver
from nettrace.node.keeper import Rest
from nettrace.node.moved import Watch
from nettrace.node.policy import NodePolicy
from nettrace.node.rounds import Done, Flight, Job, Rounds, blank
from nettrace.node.schedule import Due, Missed, Moment, Schedule
from nettrace.node.spool import Entry
from nettrace.node.thrift import Held
from nettrace.wire.frames import Assignment, Cadence, Gap, Measured, Record, Task, Work

SIDE_BY_SIDE = 4
"""Rounds of one series under way at once; a further one is not made, and says so."""

LOOK_S = 0.5
"""How often the clock is looked at although nothing is due: it may have been set."""

HANDFUL_S = 0.02
"""Rounds that fall due within this of a look begin together at the next one: a look for each costs more than it."""

STATE_MISSED_S = 10.0
WORK_REMEMBERED = 1000
MOST_LEFT = 1000
"""Targets remembered that are no longer wanted, the newest."""

_PACKET_METHODS = frozenset({RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP, RoundMethod.STAMP})


class _Plan(NamedTuple):
    """How the rounds of one series are made."""

    endpoint: Endpoint
    interval_ns: int
    probes: int
    spacing_s: float
    also_tcp: bool


class Runner:
    """What a node measures, as assigned, until stopped.

    Args:
        region: the vantage's code.
        out: takes every record and gap; their numbers do not matter.
        life: see `Schedule`.
        rest: what the life before did not measure, by the hub's word; `remember` is told when it changes.
        failed: told when measuring breaks as a whole.
        wall: this host's clock, for one-way delays.

    Attributes:
        counts: rounds by outcome, since this was made.
        latest_start_s: the longest a round began after its due moment, since it was last set to 0.
    """

    def __init__(
        self,
        region: str,
        out: Callable[[Entry], None],
        *,
        life: int = 0,
        rest: Rest = Rest(),  # noqa: B008 - it never changes
        remember: Callable[[Rest], None] = lambda _: None,
        failed: Callable[[Exception], None] = lambda _: None,
        wall: Clockwork = kernel_wall,
    ) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.latest_start_s = 0.0
        self._region = region
        self._out = out
        self._failed = failed
        self._wall = wall
        self._schedule = Schedule(life)
        self._watch = Watch()
        self._rounds: Rounds | None = None
        self._tasks: dict[tuple[str, str], Task] = {}
        self._cadence = Cadence()
        self._plans: dict[Series, _Plan] = {}
        self._under_way: dict[Series, list[Flight | Job]] = {}
        self._unsent: Counter[str] = Counter()
        self._waited: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        self._flying: dict[Flight, tuple[Job, Series, Driver]] = {}
        self._was_busy = False
        self._landed = asyncio.Event()
        self._changed = asyncio.Event()
        self._seen: deque[str] = deque(maxlen=WORK_REMEMBERED)
        self._missed: Missed | None = None
        self._missed_told = float("-inf")
        self._ending = False
        self._drained_at, self._left = rest.drained_at, dict(rest.left)
        self._wanted: set[str] = set()
        self._remember = remember

    @property
    def life(self) -> int:
        """The schedule's count of clocks set back."""
        return self._schedule.life

    @property
    def series(self) -> int:
        """How many series are scheduled."""
        return len(self._schedule)

    @property
    def driver(self) -> Driver | None:
        """The engine's driver, once there is an assignment."""
        return self._rounds.driver if self._rounds else None

    @property
    def limits(self) -> Limits:
        """The budgets in force."""
        return self.driver.politeness.limits if self.driver else Limits()

    @property
    def held(self) -> Held:
        """What budgets held back since this was made."""
        driver = self.driver
        if driver is None:
            return Held()
        waited = self._waited + Counter(driver.politeness.waited)
        return Held(waited, self._unsent + driver.unsent)

    def assign(self, assignment: Assignment) -> None:
        """Measure this from now on.

        Raises:
            ConfigError: it cannot be; what was measured before goes on.
        """
        policy = NodePolicy.of(open_networks=assignment.open_networks, opted_out=assignment.opted_out)
        before = self._rounds
        driver = before.driver if before else None
        if driver is None or driver.rate_pps != assignment.rate_pps:
            driver = Driver(assignment.rate_pps, self._failed)
        rounds = Rounds(driver, policy, self._region)
        rounds.keys = {peer.target: peer.key for peer in assignment.peers}
        rounds.wall = self._wall
        if before is not None:
            rounds.names = before.names
            if before.driver is not driver:
                before.driver.before = _nothing
                self._waited.update(before.driver.politeness.waited)
                self._unsent.update(before.driver.unsent)
                before.driver.retire()
        self._rounds = rounds
        self._cadence = assignment.cadence
        rounds.driver.before = self._look
        tasks = () if assignment.drained else assignment.tasks
        self._tasks = {(task.target, task.endpoint.name): task for task in tasks}
        self._plans = {
            Series(self._region, task.target, task.endpoint.name, method): _plan(
                task, method, task.cadence or assignment.cadence
            )
            for task in self._tasks.values()
            for method in task.methods
        }
        self._watch.keep(set(self._tasks))
        rounds.names.keep({task.endpoint.host for task in self._tasks.values()})
        now = _moment()
        self._schedule.assign({series: plan.interval_ns for series, plan in self._plans.items()}, now)
        self._state_rest({task.target for task in tasks}, now.utc, drained=assignment.drained)
        self._remember(Rest(drained_at=self._drained_at, left=dict(self._left)))
        self._changed.set()

    def request(self, work: Work, hub_ahead_ns: int = 0) -> None:
        """Make a round somebody asked for, at once. The same request is taken once; a late one not at all.

        Args:
            work: its deadline is by the hub's clock.
            hub_ahead_ns: how far that is ahead of ours.
        """
        now = time.time_ns()
        if work.request in self._seen or self._rounds is None or self._ending:
            return
        self._seen.append(work.request)
        if work.deadline < now + hub_ahead_ns:
            return
        task = self._tasks.get((work.target, work.endpoint.name))
        self._begin(
            Job(
                target=work.target,
                endpoint=work.endpoint,
                method=work.method,
                due=now,
                probes=work.probes,
                spacing_s=(task.cadence or self._cadence if task else self._cadence).spacing_s,
                request=work.request,
            )
        )

    async def run(self) -> None:
        """Begin rounds as they come due, until cancelled."""
        while True:
            self._changed.clear()
            self._look()
            upcoming = self._schedule.next_at()
            wait_s = LOOK_S if upcoming is None else (upcoming - time.time_ns()) / NS_PER_S
            if self._busy():
                wait_s = LOOK_S  # the engine looks before every tick, and nothing goes before that
            try:
                async with asyncio.timeout(min(LOOK_S, max(HANDFUL_S, wait_s))):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _look(self) -> None:
        """Begin what is due."""
        now = _moment()
        for due in self._schedule.due(now):
            self._start(due, now)
        self._note_missed()
        if self._was_busy and not self._busy():
            self._changed.set()  # ticks are rare again: look by the clock
        self._was_busy = self._busy()

    def _busy(self) -> bool:
        return self._rounds is not None and self._rounds.driver.busy

    async def stop(self, patience_s: float) -> None:
        """Begin nothing more, wait so long for what is under way, then take it as it stands."""
        self._ending = True
        until = time.monotonic() + patience_s
        if self._running:
            await asyncio.wait(self._running, timeout=patience_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                while self._flying:
                    self._landed.clear()
                    await self._landed.wait()
        left = set(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=0.5)
        for flight, (_, _, driver) in list(self._flying.items()):
            driver.leave(flight.machine)
            self._land(flight, asyncio.CancelledError())
        self._missed_told = float("-inf")
        self._note_missed()
        if self._rounds is not None:
            self._rounds.driver.close()

    def _start(self, due: Due, now: Moment) -> None:
        series = due.series
        plan = self._plans.get(series)
        if plan is None or self._ending:
            return
        self.latest_start_s = max(self.latest_start_s, (now.utc - due.due) / NS_PER_S)
        job = Job(
            target=series.target,
            endpoint=plan.endpoint,
            method=series.method,
            due=due.due,
            probes=plan.probes,
            spacing_s=plan.spacing_s,
            also_tcp=plan.also_tcp,
        )
        under_way = self._under_way.get(series) or []
        if len(under_way) >= SIDE_BY_SIDE:
            words = f"{SIDE_BY_SIDE} earlier rounds of this series are still under way"
            spent = self._waits_for(under_way[0])
            if spent is not None:
                self._unsent[spent] += 1
                words += f", waiting for the budget of their {spent}"
            made = blank(job, Outcome.NOT_MEASURED, Reason.NOT_SCHEDULED, words)
            self._hand_out(job, Done(method=job.method, measurement=_from(made, self._region)))
            return
        self._begin(job)

    def _begin(self, job: Job) -> None:
        """Set a round going: with the engine's next packets when it can, else in a task that waits for what it needs."""
        rounds = self._rounds
        if rounds is None:
            return
        try:
            flight = rounds.flight(job)
            if flight is None:
                task = asyncio.create_task(self._round(job))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            elif isinstance(flight, Done):
                self._hand_out(job, flight)
            else:
                self._fly(job, flight, rounds.driver)
        except Exception as error:
            self._hand_out(job, self._failure(job, error))

    def _fly(self, job: Job, flight: Flight, driver: Driver) -> None:
        series = Series(self._region, job.target, job.endpoint.name, job.method)
        driver.begin(flight.machine, lambda error: self._land(flight, error), flight.limit_s)
        self._flying[flight] = job, series, driver
        self._under_way.setdefault(series, []).append(flight)

    def _waits_for(self, round_: Flight | Job) -> str | None:
        """The spent budget a round waits for, if it is one of packets."""
        if not isinstance(round_, Flight) or round_ not in self._flying:
            return None
        return self._flying[round_][2].waits_for(round_.machine)

    def _land(self, flight: Flight, error: BaseException | None) -> None:
        """Hand out what a flight brought: all of it, or on the node's end what is known so far."""
        job, series, _ = self._flying.pop(flight)
        self._leave(series, flight)
        if not self._flying:
            self._landed.set()
        try:
            done = self._failure(job, error) if isinstance(error, Exception) else flight.done()
        except Exception as problem:
            done = self._failure(job, problem)
        self._hand_out(job, done)
        if error is None:
            self._look_for_moves(job, done)

    def _leave(self, series: Series, round_: Flight | Job) -> None:
        under_way = self._under_way[series]
        under_way.remove(round_)
        if not under_way:
            del self._under_way[series]

    def _failure(self, job: Job, error: Exception) -> Done:
        words = f"this node failed: {type(error).__name__}: {error}"
        made = blank(job, Outcome.NOT_MEASURED, Reason.ABORTED, words)
        return Done(method=job.method, measurement=_from(made, self._region))

    async def _round(self, job: Job) -> None:
        rounds = self._rounds
        if rounds is None:
            return
        series = Series(self._region, job.target, job.endpoint.name, job.method)
        self._under_way.setdefault(series, []).append(job)
        known: list[Done] = []
        try:
            done = await rounds.make(job, known.append)
        except asyncio.CancelledError:
            made = blank(job, Outcome.NOT_MEASURED, Reason.ABORTED, "the node was ending")
            done = known[-1] if known else Done(method=job.method, measurement=_from(made, self._region))
            self._hand_out(job, done)
            raise
        except Exception as error:
            done = self._failure(job, error)
        finally:
            self._leave(series, job)
        self._hand_out(job, done)
        self._look_for_moves(job, done)

    def _hand_out(self, job: Job, done: Done) -> None:
        self.counts[done.measurement.outcome] += 1
        for endpoint, made in ((job.endpoint.name, done.measurement), *done.also):
            self._out(
                Record(
                    seq=0,
                    target=job.target,
                    endpoint=endpoint,
                    method=done.method,
                    due=job.due,
                    measurement=made,
                    request=job.request,
                )
            )

    def _look_for_moves(self, job: Job, done: Done) -> None:
        """Trace at once when this round shows that the way has changed."""
        made = done.measurement
        task = self._tasks.get((job.target, job.endpoint.name))
        if self._ending or task is None or RoundMethod.TRACE not in task.methods:
            return
        if not isinstance(made, Ping) or made.outcome is not Outcome.MEASURED or made.address is None:
            return
        rtts = [
            sample.rtt_ns
            for sample in made.samples
            if sample.state is SampleState.ANSWERED and sample.rtt_ns is not None and not sample.stalled
        ]
        way = (done.method.value, made.address)
        endpoint = (job.target, job.endpoint.name)
        if self._watch.asks(endpoint, way, (rtts, done.reply_ttls), time.monotonic_ns()):
            self._begin(
                Job(target=job.target, endpoint=task.endpoint, method=RoundMethod.TRACE, due=time.time_ns())
            )

    def _state_rest(self, wanted: set[str], now: Instant, *, drained: bool) -> None:
        """State what was not measured, by the hub's word, and is again from now on."""
        if drained:
            self._drained_at = self._drained_at or now
            return
        if self._drained_at:
            self._out(Gap(seq=0, last_seq=0, reason="drained", since=self._drained_at, until=now))
            self._drained_at = 0
        self._left |= dict.fromkeys(self._wanted - wanted, now)
        for target in sorted(wanted & self._left.keys()):
            since = self._left.pop(target)
            self._out(Gap(seq=0, last_seq=0, reason="unassigned", since=since, until=now, target=target))
        for old in list(self._left)[:-MOST_LEFT]:
            del self._left[old]
        self._wanted = wanted

    def _note_missed(self) -> None:
        """State what nobody measured as a gap, a few seconds' worth at a time."""
        missed = self._schedule.missed()
        if missed is not None:
            known = self._missed or missed
            self._missed = Missed(known.rounds, min(known.since, missed.since), missed.until)
        if self._missed is None or time.monotonic() - self._missed_told < STATE_MISSED_S:
            return
        self._missed_told = time.monotonic()
        gap, self._missed = self._missed, None
        self._out(Gap(seq=0, last_seq=0, reason="paused", since=gap.since, until=gap.until))


def _interval_ns(method: RoundMethod, cadence: Cadence) -> int:
    if method in _PACKET_METHODS:
        seconds = cadence.rtt_s
    else:
        seconds = cadence.trace_s if method is RoundMethod.TRACE else cadence.exchange_s
    return int(seconds * NS_PER_S)


def _plan(task: Task, method: RoundMethod, cadence: Cadence) -> _Plan:
    interval_ns = _interval_ns(method, cadence)
    spacing_s = min(cadence.spacing_s, interval_ns / NS_PER_S / max(1, cadence.probes))
    return _Plan(task.endpoint, interval_ns, cadence.probes, spacing_s, RoundMethod.TCP in task.methods)


def _nothing() -> None:
    """Nothing is due any more."""


def _moment() -> Moment:
    return Moment(time.monotonic_ns(), time.time_ns())


def _from(made: Measured, region: str) -> Measured:
    return msgspec.structs.replace(made, vantage=region)
