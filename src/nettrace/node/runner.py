"""Begins every round when it is due, and turns what it brought into a record. Ends within its time, with what it knows."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from nettrace.measure.probing.stamp_socket import Clockwork, kernel_wall
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome, Ping, Reason, SampleState
from nettrace.model.target import RoundMethod, Series
from nettrace.node.driver import Driver
from nettrace.node.moved import Watch
from nettrace.node.policy import NodePolicy
from nettrace.node.rounds import Done, Job, Rounds, blank
from nettrace.node.schedule import Due, Missed, Moment, Schedule
from nettrace.node.spool import Entry
from nettrace.wire.frames import Assignment, Cadence, Gap, Measured, Record, Task, Work

SIDE_BY_SIDE = 4
"""Rounds of one series under way at once; a further one is not made, and says so."""

LOOK_S = 0.5
"""How often the clock is looked at although nothing is due: it may have been set."""

HANDFUL_S = 0.02
"""Rounds that fall due within this of a look begin together at the next one: a look for each costs more than it."""

STATE_MISSED_S = 10.0
WORK_REMEMBERED = 1000

_PACKET_METHODS = frozenset({RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP, RoundMethod.STAMP})


class Runner:
    """What a node measures, as assigned, until stopped.

    Args:
        region: the vantage's code.
        out: takes every record and gap; their numbers do not matter.
        life: see `Schedule`.
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
        self._under_way: Counter[Series] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._seen: deque[str] = deque(maxlen=WORK_REMEMBERED)
        self._missed: Missed | None = None
        self._missed_told = float("-inf")
        self._ending = False

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
                before.driver.retire()
        self._rounds = rounds
        self._cadence = assignment.cadence
        tasks = () if assignment.drained else assignment.tasks
        self._tasks = {(task.target, task.endpoint.name): task for task in tasks}
        intervals = {
            Series(self._region, task.target, task.endpoint.name, method): _interval_ns(
                method, task.cadence or assignment.cadence
            )
            for task in self._tasks.values()
            for method in task.methods
        }
        self._watch.keep(set(self._tasks))
        rounds.names.keep({task.endpoint.host for task in self._tasks.values()})
        self._schedule.assign(intervals, _moment())
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
            now = _moment()
            for due in self._schedule.due(now):
                self._start(due, now)
            self._note_missed()
            upcoming = self._schedule.next_at()
            wait_s = LOOK_S if upcoming is None else (upcoming - time.time_ns()) / NS_PER_S
            try:
                async with asyncio.timeout(min(LOOK_S, max(HANDFUL_S, wait_s))):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def stop(self, patience_s: float) -> None:
        """Begin nothing more, wait so long for what is under way, then take it as it stands."""
        self._ending = True
        if self._running:
            _, left = await asyncio.wait(self._running, timeout=patience_s)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=0.5)
        self._missed_told = float("-inf")
        self._note_missed()
        if self._rounds is not None:
            self._rounds.driver.close()

    def _start(self, due: Due, now: Moment) -> None:
        series = due.series
        task = self._tasks.get((series.target, series.endpoint))
        if task is None or self._ending:
            return
        self.latest_start_s = max(self.latest_start_s, (now.utc - due.due) / NS_PER_S)
        cadence = task.cadence or self._cadence
        interval_s = _interval_ns(series.method, cadence) / NS_PER_S
        job = Job(
            target=task.target,
            endpoint=task.endpoint,
            method=series.method,
            due=due.due,
            probes=cadence.probes,
            spacing_s=min(cadence.spacing_s, interval_s / max(1, cadence.probes)),
            also_tcp=RoundMethod.TCP in task.methods,
        )
        if self._under_way[series] >= SIDE_BY_SIDE:
            words = f"{SIDE_BY_SIDE} earlier rounds of this series are still under way"
            made = blank(job, Outcome.NOT_MEASURED, Reason.NOT_SCHEDULED, words)
            self._hand_out(job, Done(method=job.method, measurement=_from(made, self._region)))
            return
        self._begin(job)

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._round(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _round(self, job: Job) -> None:
        rounds = self._rounds
        if rounds is None:
            return
        series = Series(self._region, job.target, job.endpoint.name, job.method)
        self._under_way[series] += 1
        known: list[Done] = []
        try:
            done = await rounds.make(job, known.append)
        except asyncio.CancelledError:
            made = blank(job, Outcome.NOT_MEASURED, Reason.ABORTED, "the node was ending")
            done = known[-1] if known else Done(method=job.method, measurement=_from(made, self._region))
            self._hand_out(job, done)
            raise
        except Exception as error:
            words = f"this node failed: {type(error).__name__}: {error}"
            made = blank(job, Outcome.NOT_MEASURED, Reason.ABORTED, words)
            done = Done(method=job.method, measurement=_from(made, self._region))
        finally:
            self._under_way[series] -= 1
            if not self._under_way[series]:
                del self._under_way[series]
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


def _moment() -> Moment:
    return Moment(time.monotonic_ns(), time.time_ns())


def _from(made: Measured, region: str) -> Measured:
    return msgspec.structs.replace(made, vantage=region)
