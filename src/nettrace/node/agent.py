"""A node from start to end: who it is, what it may, measuring, keeping, reporting; and an orderly end in seconds."""

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from nettrace import __version__
from nettrace.errors import ConfigError, Invalid, NetTraceError, StoreError, Unmeasurable, Unreachable
from nettrace.measure.probing.capability import probe_capabilities
from nettrace.model.instant import ms
from nettrace.model.measurement import Outcome
from nettrace.model.vantage import Clock
from nettrace.node.hostclock import synchronised
from nettrace.node.identity import Folder, Identity
from nettrace.node.keeper import Keeper
from nettrace.node.line import Hub, Signature
from nettrace.node.mesh import MeshClock, Reach
from nettrace.node.metrics import MetricsDoor, NodeFacts, exposition
from nettrace.node.permits import methods_of, problems_of
from nettrace.node.runner import Runner
from nettrace.node.spool import Bounds
from nettrace.node.thrift import Held, in_words
from nettrace.node.uplink import About, Errands, Pauses, Uplink, enrol
from nettrace.runtime.logs import Log
from nettrace.runtime.machine import Machine
from nettrace.runtime.telemetry import tracing
from nettrace.wire.frames import Assignment, Enrol, Work

FINISH_S = 1.2
"""How long rounds under way are waited for at the end."""

LAST_REPORT_S = 1.0
STATUS_EVERY_S = 60.0

T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is started with.

    Attributes:
        folder: identity, spool and assignment; one process at a time.
        hub: URL; None takes the one it has enrolled with.
        region: code of the vantage it wants to be; None is only possible once it has enrolled.
        token: gives the one-time token; asked only when it has to enrol.
        reflect: ADDRESS[:PORT] where other nodes reach this one; None only sends.
        metrics_port: where `/metrics` is served on loopback; None is nowhere.
        gauges: folder of gauge files with replication lags (`runtime.machine.lags`).
        place: city, country, latitude and longitude where it stands, as far as known.
    """

    folder: Path
    hub: str | None
    region: str | None
    token: Callable[[], str]
    ca_file: str | None = None
    insecure_http: bool = False
    bounds: Bounds = Bounds()
    city: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    reflect: str | None = None
    metrics_port: int | None = None
    gauges: Path | None = None


def run(settings: Settings) -> None:
    """Be a node until SIGTERM or SIGINT; everything measured is on disk when this returns.

    Raises:
        Conflict: another process runs on this folder.
        ConfigError, Invalid: a setting cannot be.
        AccessError: the hub does not enrol this node, or has revoked it.
        WireError: node and hub speak different protocols.
        StoreError: the spool cannot be opened.
        Unmeasurable: measuring broke as a whole.
    """
    with Folder(settings.folder) as folder:
        asyncio.run(_Node(settings, folder).live())


class _Node:
    """The supervisor, and the `Agent` its uplink talks to."""

    def __init__(self, settings: Settings, folder: Folder) -> None:
        self._settings = settings
        self._folder = folder
        self._log = Log("node")
        self._machine = Machine(folder.path, settings.gauges)
        self._name = settings.region or "node"
        self._about = About()
        self._end = asyncio.Event()
        self._error: NetTraceError | None = None
        self._runner: Runner | None = None
        self._uplink: Uplink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock = MeshClock(self._hub_clock)
        self._reach = Reach(settings.reflect, self._clock.wall)

    # -- what the uplink's threads call -------------------------------------------------------------------

    def about(self) -> About:
        """What goes with each report."""
        return msgspec.structs.replace(self._about, synchronised=synchronised(), load=self._machine.sample())

    def assigned(self, assignment: Assignment) -> None:
        """Keep it on disk first, then measure it."""
        with suppress(OSError):
            self._folder.keep_assignment(assignment)
        self._soon(self._take, assignment)

    def asked(self, work: tuple[Work, ...]) -> None:
        """Make these rounds now."""
        self._soon(self._make, work)

    def dismissed(self, error: NetTraceError) -> None:
        """End, with this error."""
        self._soon(self._fail, error)

    def say(self, words: str) -> None:
        """One line for the operator."""
        self._log.say("node.says", region=self._name, words=words)

    # -- life ----------------------------------------------------------------------------------------------

    async def live(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end.set)
        known = self._folder.identity()
        hub, region = self._whereabouts(known)
        keeper = self._keeper()
        host = await asyncio.to_thread(probe_capabilities)
        self._about = About(
            methods=methods_of(host), problems=problems_of(host), reflector=self._reach.address
        )
        identity = known or await self._enrol(hub, region, keeper)
        if identity is None:  # asked to end before the hub had answered
            keeper.stop()
            return
        try:
            self._reach.start()
        except Unmeasurable as problem:  # others cannot measure this one; it measures them all the same
            self._about = msgspec.structs.replace(self._about, reflector="")
            self.say(str(problem))
        self._runner = Runner(
            region, keeper.put, life=keeper.life, rest=keeper.rest, remember=keeper.remember, failed=self._broke,
            wall=self._clock.wall,
        )  # fmt: skip
        self._introduce(identity, hub)
        assignment = self._folder.assignment()
        if assignment is not None:
            self._take(assignment)
        keeper.start()
        signature = Signature(identity)
        traces = tracing("nettrace-node")
        uplink = self._uplink = Uplink(hub, signature, identity.node, keeper, self, tracing=traces)
        errands = Errands(hub, signature, self)
        parts = (self._runner, keeper, uplink)
        door = MetricsDoor(self._settings.metrics_port, lambda: self._metrics(*parts))
        if door.port is not None:
            self.say(f"metrics at http://127.0.0.1:{door.port}/metrics")
        uplink.start()
        errands.start()
        work = [
            asyncio.create_task(self._runner.run()),
            asyncio.create_task(self._tell(self._runner, keeper, uplink)),
        ]
        ended = asyncio.create_task(_came(self._end))
        await asyncio.wait([ended, *work], return_when=asyncio.FIRST_COMPLETED)
        door.close()
        try:
            await self._wind_down([ended, *work], (self._runner, keeper, uplink, errands))
        finally:
            await asyncio.to_thread(traces.close)

    async def _wind_down(
        self,
        tasks: list[asyncio.Task[None]],
        parts: tuple[Runner, Keeper, Uplink, Errands],
    ) -> None:
        runner, keeper, uplink, errands = parts
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        broken = [each for each in results if isinstance(each, Exception)]
        self._reach.close()
        await runner.stop(FINISH_S)
        keeper.life = runner.life
        await asyncio.to_thread(keeper.flush)
        await asyncio.to_thread(uplink.stop, LAST_REPORT_S)
        await asyncio.to_thread(errands.stop)
        left = keeper.backlog
        safe = await asyncio.to_thread(keeper.stop)
        lost = "" if safe else "; the disk takes no records, so those in memory are lost"
        self.say(
            f"ended; {left} entries wait in the spool{lost}"
            if left
            else f"ended; the hub has everything{lost}"
        )
        if self._error is not None:
            raise self._error
        if broken:
            raise broken[0]

    def _keeper(self) -> Keeper:
        try:
            return Keeper(self._folder.path, self._settings.bounds, say=self.say)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"The spool in {self._folder.path} cannot be opened: {error}",
                "Is there room, and is it ours?",
            ) from error

    def _whereabouts(self, known: Identity | None) -> tuple[Hub, str]:
        settings = self._settings
        url = settings.hub or (known.hub if known else None)
        region = settings.region or (known.region if known else None)
        if url is None or region is None:
            raise Invalid(
                "A new node needs a hub and a region", "Give --hub URL --token-file F --region CODE"
            )
        if known is not None and known.region != region:
            raise ConfigError(
                f"{self._folder.path} belongs to a node of region {known.region}, not {region}",
                "Give this one a folder of its own with --data",
            )
        self._name = region
        return Hub(url, ca_file=settings.ca_file, insecure_http=settings.insecure_http), region

    async def _enrol(self, hub: Hub, region: str, keeper: Keeper) -> Identity | None:
        """A new identity; a hub that does not answer is asked until it does. None when asked to end meanwhile."""
        settings = self._settings
        request = Enrol(
            token=settings.token(),
            region=region,
            version=__version__,
            city=settings.city,
            country=settings.country,
            latitude=settings.latitude,
            longitude=settings.longitude,
        )
        pauses, told = Pauses(), False
        while not self._end.is_set():
            try:
                enrolled = await _in_thread(lambda: enrol(hub, request), self._end)
            except Unreachable as problem:
                if not told:
                    self.say(f"{problem.detail}; trying again until it does")
                told = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(pauses.next_s()):
                        await self._end.wait()
                continue
            if enrolled is None:
                return None
            identity = Identity(node=enrolled.node, secret=enrolled.secret, region=region, hub=hub.url)
            self._folder.keep_identity(identity)
            self._folder.keep_assignment(enrolled.assignment)
            keeper.follow(enrolled.silent_since)
            return identity
        return None

    def _introduce(self, identity: Identity, hub: Hub) -> None:
        ways = ", ".join(f"{method} ({way})" for method, way in self._about.methods.items())
        self.say(f"node {identity.node} for {hub.url}, kept in {self._folder.path}")
        self.say(f"this host permits {ways or 'nothing'}")
        for problem in self._about.problems:
            self.say(f"this host does not permit: {problem}")

    def _metrics(self, runner: Runner, keeper: Keeper, uplink: Uplink) -> bytes:
        """What `/metrics` of this node says now."""
        return exposition(
            NodeFacts(
                region=self._name, load=self._machine.sample(), series=runner.series, rounds=dict(runner.counts), held=runner.held,
                backlog=keeper.backlog, oldest_at=keeper.oldest_at(), sent=uplink.sent, dropped=keeper.dropped,
                latest_start_s=runner.latest_start_s, clock=uplink.offset.clock(), reporting=uplink.trouble is None,
                assignment=self._about.assignment, heard_at=uplink.heard_at,
            ),
            time.time_ns(),
        )  # fmt: skip

    # -- in the loop ---------------------------------------------------------------------------------------

    def _take(self, assignment: Assignment) -> None:
        if self._runner is None:
            return
        try:
            self._runner.assign(assignment)
            self._reach.allow(assignment.peers)
        except (NetTraceError, OSError) as error:
            self.say(f"assignment {assignment.version} cannot be measured: {error}")
            return
        self._about = msgspec.structs.replace(
            self._about, assignment=assignment.version, resting=assignment.drained
        )
        if assignment.drained and self._uplink is not None:
            self._uplink.hurry()  # who waits for it to be empty need not wait for a heartbeat
        what = "drained: nothing is measured" if assignment.drained else f"{self._runner.series} series"
        self.say(f"assignment {assignment.version}: {what}")

    def _make(self, work: tuple[Work, ...]) -> None:
        if not work and self._uplink is not None:
            self._uplink.hurry()
        for each in work:
            if self._runner is not None:
                self._runner.request(each, self._hub_ahead_ns())

    def _hub_clock(self) -> Clock | None:
        return self._uplink.offset.clock() if self._uplink is not None else None

    def _hub_ahead_ns(self) -> int:
        clock = self._hub_clock()
        return clock.offset_ns if clock is not None else 0

    def _fail(self, error: NetTraceError) -> None:
        self._error = error
        self._end.set()

    def _broke(self, error: Exception) -> None:
        self._fail(Unmeasurable(f"Measuring has broken down: {type(error).__name__}: {error}"))

    def _soon(self, work: Callable[..., None], argument: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(work, argument)

    async def _tell(self, runner: Runner, keeper: Keeper, uplink: Uplink) -> None:
        """One line a minute: what was done, what waits, and how it stands with the hub."""
        before = dict.fromkeys(Outcome, 0)
        permitted, held_before = self._about.problems, Held()
        while True:
            await asyncio.sleep(STATUS_EVERY_S)
            keeper.life = runner.life
            now = {outcome: runner.counts[outcome] for outcome in Outcome}
            made = {outcome: now[outcome] - before[outcome] for outcome in Outcome}
            before = now
            held = runner.held
            thrift = in_words(held.since(held_before), runner.limits, "the last minute")
            held_before = held
            self._about = msgspec.structs.replace(self._about, problems=(*permitted, *thrift))
            clock = uplink.offset.clock()
            parts = [
                f"{sum(made.values())} rounds in the last minute ({made[Outcome.MEASURED]} measured, "
                f"{made[Outcome.FAILED]} failed, {made[Outcome.NOT_MEASURED]} not measured)",
                f"{keeper.backlog} entries wait",
                uplink.trouble or "the hub takes reports",
            ]
            if clock is not None:
                parts.append(
                    f"clock {ms(clock.offset_ns):+.1f} ms from the hub's (+-{ms(clock.error_ns):.1f})"
                )
            parts += thrift
            if self._reach.words:
                parts.append(self._reach.words)
            if keeper.trouble:
                parts.append(keeper.trouble)
            self.say("; ".join(parts))


async def _in_thread(work: Callable[[], T], end: asyncio.Event) -> T | None:
    """What `work` gives; None when `end` comes first. The thread is a daemon: nobody waits for it then."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result)

    def task() -> None:
        result, problem = None, None
        try:
            result = work()
        except Exception as error:
            problem = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=task, name="enrol", daemon=True).start()
    ending = asyncio.ensure_future(end.wait())
    await asyncio.wait([future, ending], return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if future.done():
        return future.result()
    future.cancel()
    return None


async def _came(event: asyncio.Event) -> None:
    await event.wait()
