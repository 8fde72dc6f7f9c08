"""Days of a hub in virtual time: the demo's internet measured by its vantages, breaking by script, alerts and all.

Rounds are the world's own arithmetic plus noise; everything behind them is the real thing: reports into the real store
through the writer's watchers, events out of it into the alert rules, and the node's own rule for tracing at once. A
minute costs milliseconds, so that days pass in a test.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

import msgspec

from nettrace.analysis.alerts.rule import RuleBook, read_book
from nettrace.hub.alerting import Alerting
from nettrace.hub.enrolment import token_hash
from nettrace.hub.open import open_reader, open_recorder, open_writer
from nettrace.hub.place import Data
from nettrace.lab.routing import Conditions
from nettrace.lab.truth import Oracle, TruePath
from nettrace.lab.world import Event as WorldEvent
from nettrace.lab.worldfile import load
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.alert import Incident
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import Vantage
from nettrace.node.moved import Watch
from nettrace.store.port import EnrolToken, StoreReader
from nettrace.wire.frames import Record, Report

BEGIN: Instant = 1_772_409_600 * NS_PER_S
"""2 March 2026, 00:00 UTC, a Monday."""
MINUTE: Instant = 60 * NS_PER_S
TRACE_MINUTES, PROBES = 15, 3
LOSS, JITTER_MS, SPIKES, SPIKE_MS = 0.001, 0.15, 0.002, 40.0
"""A healthy internet: a probe in a thousand lost, exponential jitter, and now and then a probe that waits long."""


class Mishap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens at a minute of the script.

    Attributes:
        event: in the world; None when it is one of the others.
        down, up: a target that answers nothing any more, or again.
        silent, heard: a vantage that dies, or is back (its rounds of meanwhile were never made).
        away, back: the hub is not reachable; nodes keep what they measure and send it later.
    """

    minute: int
    event: WorldEvent | None = None
    down: str | None = None
    up: str | None = None
    silent: str | None = None
    heard: str | None = None
    away: bool = False
    back: bool = False


class Days:
    """A hub in a folder with its nodes, targets and rules.

    Args:
        book: the rules, as in `alerts.toml`.
        vantages: of the world; all of them when none are named.

    Attributes:
        incidents: by id, as they are now.
    """

    def __init__(
        self, folder: Path, targets: Sequence[str], book: dict[str, object], script: Iterable[Mishap] = (),
        *, world: str = "world", seed: int = 1, vantages: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.data = Data(folder)
        self.now: Instant = BEGIN
        self._random = Random(seed)
        self._noise = [self._random.expovariate(1 / JITTER_MS) for _ in range(8192)]
        self._oracle = Oracle(load(world))
        self._conditions = Conditions()
        self.vantages = tuple(vantages or self._oracle.topology.vantages)
        self.targets = tuple(targets)
        self._script = sorted(script, key=lambda mishap: mishap.minute)
        self._paths: dict[tuple[str, str], TruePath] = {}
        self._down: set[str] = set()
        self._silent: set[str] = set()
        self._is_away = False
        self._seq = dict.fromkeys(self.vantages, 0)
        self._spool: dict[str, list[Record]] = {vantage: [] for vantage in self.vantages}
        self._watches = {vantage: Watch() for vantage in self.vantages}
        self.incidents: dict[str, Incident] = {}
        self._book: RuleBook = read_book(book)
        self._enrol()
        self.recorder = open_recorder(self.data, lambda: self.now, self._say)
        self.reader: StoreReader = open_reader(self.data)
        self.alerting = Alerting(self.reader, self._book)
        self.said: list[str] = []

    def _say(self, words: str) -> None:
        self.said.append(words)

    def close(self) -> None:
        """Let go of the store."""
        self.reader.close()
        self.recorder.close()

    def again(self) -> None:
        """Another life of the writer and of alerting, from what is stored."""
        self.close()
        self.recorder = open_recorder(self.data, lambda: self.now, self._say)
        self.reader = open_reader(self.data)
        self.alerting = Alerting(self.reader, self._book)

    def run(self, minutes: int, each: Callable[[int], None] = lambda _: None) -> None:
        """So many minutes; `each` is called after every one with its number."""
        for _ in range(minutes):
            number = (self.now - BEGIN) // MINUTE
            while self._script and self._script[0].minute <= number:
                self._happen(self._script.pop(0))
            for vantage in self.vantages:
                if vantage not in self._silent:
                    self._measure(vantage, number)
            self.now += MINUTE
            if not self._is_away:
                self._send()
                self._alert()
            each(number)

    def _enrol(self) -> None:
        writer = open_writer(self.data)
        try:
            for code in self.vantages:
                token = EnrolToken(
                    id=code, hash=token_hash(code), region=code, created_at=0, expires_at=2**62
                )
                writer.put_token(token)
                writer.enrol(
                    token.hash, Vantage(code=code, node=f"node_{code}", enrolled_at=BEGIN), b"k" * 32, BEGIN
                )
            writer.put_targets([_target(host) for host in self.targets], BEGIN)
        finally:
            writer.close()

    def _happen(self, mishap: Mishap) -> None:
        if mishap.event is not None:
            self._conditions = self._conditions.after(mishap.event)
            self._oracle = Oracle(self._oracle.world, self._conditions)
            self._paths.clear()
        self._down = (self._down | {mishap.down or ""}) - {mishap.up or "", ""}
        self._silent = (self._silent | {mishap.silent or ""}) - {mishap.heard or "", ""}
        self._is_away = (self._is_away or mishap.away) and not mishap.back

    def _path(self, vantage: str, target: str) -> TruePath:
        path = self._paths.get((vantage, target))
        if path is None:
            there = self._oracle.topology.find(target)
            address = str(there.address4 and _dotted(there.address4)) if there else ""
            path = self._paths[vantage, target] = self._oracle.path(
                vantage, target, flow_for(address, Method.UDP)
            )
        return path

    def _measure(self, vantage: str, minute: int) -> None:
        for place, target in enumerate(self.targets):
            path = self._path(vantage, target)
            due = self.now + place * NS_PER_S
            ping = self._ping(path, target, due)
            self._keep(vantage, target, RoundMethod.ICMP, due, ping)
            rtts = [sample.rtt_ns for sample in ping.samples if sample.rtt_ns is not None]
            asked = ping.outcome is Outcome.MEASURED and self._watches[vantage].asks(
                (target, "site"), ("icmp", target), (rtts, [64 - len(path.hops)] * len(rtts)), due
            )
            if asked or (minute + place) % TRACE_MINUTES == 0:
                at = due + 20 * NS_PER_S
                self._keep(vantage, target, RoundMethod.TRACE, at, self._trace(path, vantage, target, at))

    def _keep(self, vantage: str, target: str, method: RoundMethod, due: Instant, made: Ping | Trace) -> None:
        self._seq[vantage] += 1
        self._spool[vantage].append(
            Record(
                seq=self._seq[vantage], target=target, endpoint="site", method=method, due=due, measurement=made
            )
        )  # fmt: skip

    def _rtt_ns(self, true_ns: int, path: TruePath, loss: float) -> int | None:
        random = self._random
        chance = random.random()
        if chance < loss or not path.reaches:
            return None
        noise = self._noise[random.getrandbits(13)] + (
            SPIKE_MS * random.random() if chance > 1 - SPIKES else 0.0
        )
        return true_ns + int(noise * NS_PER_MS)

    def _ping(self, path: TruePath, target: str, at: Instant) -> Ping:
        loss = 1.0 if target in self._down else LOSS + self._loss(path)
        samples = tuple(
            Sample(
                state=SampleState.LOST if rtt is None else SampleState.ANSWERED, sent_at=at, rtt_ns=rtt,
                error_ns=10_000, grade=Grade.KERNEL,
            )
            for rtt in (self._rtt_ns(path.rtt_ns, path, loss) for _ in range(PROBES))
        )  # fmt: skip
        answered = any(sample.rtt_ns is not None for sample in samples)
        return Ping(
            target=target, address=target, at=at, outcome=Outcome.MEASURED if answered else Outcome.FAILED,
            reason=None if answered else Reason.TIMEOUT, method=Method.ICMP, port=0, samples=samples,
        )  # fmt: skip

    def _loss(self, path: TruePath) -> float:
        """Congestion's loss on the way there and back, for paths over a congested cable."""
        through = 1.0
        for cable in path.cables:
            congestion = self._conditions.congested.get(cable)
            through *= (1 - congestion.loss) ** 2 if congestion else 1.0
        return 1 - through

    def _trace(self, path: TruePath, vantage: str, target: str, at: Instant) -> Trace:
        loss = LOSS + self._loss(path)
        hops = [
            self._hop(number, hop.address, hop.rtt_ns, path, 1.0 if hop.silent else LOSS, hop.asn)
            for number, hop in enumerate(path.hops, 1)
        ]
        end = self._hop(
            len(hops) + 1, f"203.0.113.{1 + self.targets.index(target)}", path.rtt_ns, path,
            1.0 if target in self._down else loss, None,
        )  # fmt: skip
        reached = end.address is not None
        return Trace(
            vantage=vantage, target=target, address=f"203.0.113.{1 + self.targets.index(target)}", at=at,
            outcome=Outcome.MEASURED, method=Method.UDP, flow=0, reached=reached,
            stop=StopReason.REACHED if reached else StopReason.GAP, rtt_ns=end.samples[0].rtt_ns if reached else None,
            hops=(*hops, end),
        )  # fmt: skip

    def _hop(self, ttl: int, address: str, true_ns: int, path: TruePath, loss: float, asn: int | None) -> Hop:
        rtts = [self._rtt_ns(true_ns, path, loss) for _ in range(PROBES)]
        samples = tuple(
            Sample(state=SampleState.LOST if rtt is None else SampleState.ANSWERED, rtt_ns=rtt)
            for rtt in rtts
        )
        answered = any(rtt is not None for rtt in rtts)
        return Hop(
            ttl=ttl, address=address if answered else None, samples=samples, asn=asn if answered else None
        )

    def _send(self) -> None:
        incoming = [
            (
                Report(
                    node=f"node_{vantage}", epoch="e", first_seq=entries[0].seq, entries=tuple(entries), sent_at=self.now
                ),
                None,
            )
            for vantage, entries in self._spool.items()
            if entries and vantage not in self._silent
        ]  # fmt: skip
        for answer in self.recorder.take_all(incoming):
            if isinstance(answer, Exception):
                raise answer
        for vantage, entries in self._spool.items():
            if vantage not in self._silent:
                entries.clear()

    def _alert(self) -> None:
        stepped = self.alerting.step(self.now)
        if stepped.step is not None:
            self.recorder.run("put_alerts", (stepped.step,))
            self.incidents.update({each.id: each for each in stepped.step.incidents})

    def opened(self) -> list[Incident]:
        """The incidents people were told of, in order."""
        found = [each for each in self.incidents.values() if each.page_at is not None]
        return sorted(found, key=lambda each: (each.opened_at, each.id))


def _target(host: str) -> Target:
    endpoint = Endpoint(name="site", host=host, role=Role.API, methods=(RoundMethod.ICMP, RoundMethod.TRACE))
    return Target(host=host, name=host, category="exchange", endpoints=(endpoint,))


def _dotted(address: bytes) -> str:
    return ".".join(map(str, address))
