"""Brings records to the hub: batches in the order of their numbers, forgotten here once they are on its disk.

Nothing is lost or doubled however it breaks: a report begins right behind what the hub says it has, so repeating one
changes nothing. A hub that does not answer is tried again with growing pauses; one that is busy says how long to wait.
"""

import random
import sqlite3
import threading
import time
import zlib
from contextlib import closing, suppress
from typing import Protocol

import msgspec

from nettrace import __version__
from nettrace.errors import AccessError, NetTraceError, Unauthenticated, Unreachable, WireError
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.vantage import Load
from nettrace.node.keeper import Keeper, rested_s
from nettrace.node.line import Answer, Hub, Line, Signature
from nettrace.node.offset import Exchange, Offset
from nettrace.node.spool import BATCH, Batch, Entry
from nettrace.runtime.telemetry import HEADER, OFF, Tracing
from nettrace.wire.frames import Ack, Assignment, Enrol, Enrolled, Gap, Report, Work

REPORT_PATH = "/api/v1/nodes/report"
WORK_PATH = "/api/v1/nodes/work"
ENROL_PATH = "/api/v1/nodes/enrol"
SOONEST_S, EVERY_S = 0.2, 1.0
"""Reports go no closer, unless a whole batch waits: the first to a hub that answers at once, the second to a far or busy one."""

HEARTBEAT_S = 15.0
"""So often the hub hears of a node that has nothing to say."""

PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
ANSWER_S = 30.0
POLL_S = 60.0
"""How long the hub may hold a question for work open."""

_TYPE = "application/msgpack"


class Agent(Protocol):
    """What the uplink needs of the node around it; every call comes from the uplink's threads."""

    def about(self) -> "About":
        """What goes with each report."""
        ...

    def assigned(self, assignment: Assignment) -> None:
        """The hub wants something else measured."""
        ...

    def asked(self, work: tuple[Work, ...]) -> None:
        """Somebody wants rounds now; without any, the hub may want something else measured, and a report asks for it."""
        ...

    def dismissed(self, error: NetTraceError) -> None:
        """The hub will never take anything again: measuring has to end."""
        ...

    def say(self, words: str) -> None:
        """One line for the operator."""
        ...


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The node's state, as its reports tell it."""

    assignment: int = 0
    methods: dict[str, str] = {}
    problems: tuple[str, ...] = ()
    synchronised: bool | None = None
    reflector: str = ""
    load: Load | None = None
    resting: bool = False


class Pauses:
    """Growing pauses with jitter: 1, 2, 4 ... 60 seconds, each shortened by up to a half."""

    def __init__(self) -> None:
        self._failures = 0

    def ended(self) -> None:
        """It works again."""
        self._failures = 0

    def next_s(self) -> float:
        """How long to wait after one more failure."""
        pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        return pause_s * random.uniform(0.5, 1.0)


class Uplink:
    """The thread that reports.

    Args:
        hub: where to.
        signature: of this node.
        node: its id.
        keeper: whose entries are sent.
        agent: the node around it.
        tracing: each report is a span that the hub goes on from.

    Attributes:
        offset: this clock against the hub's.
        trouble: why nothing gets through, in words; None while all is well.
        sent: entries the hub has acknowledged since this was made.
        heard_at: when the hub last took a report, by our clock; None is never.
    """

    def __init__(
        self,
        hub: Hub,
        signature: Signature,
        node: str,
        keeper: Keeper,
        agent: Agent,
        *,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self.offset = Offset()
        self.trouble: str | None = None
        self.sent = 0
        self.heard_at: Instant | None = None
        self._node = node
        self._keeper = keeper
        self._agent = agent
        self._line = Line(hub, signature)
        self._pauses = Pauses()
        self._most = BATCH
        self._behind: int | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def hurry(self) -> None:
        """Report as soon as a report may be."""
        self._keeper.news.set()

    def stop(self, patience_s: float) -> None:
        """End within `patience_s`; what is not sent stays in the spool."""
        self._ending.set()
        self._keeper.news.set()
        self._thread.join(patience_s)
        self._line.hang_up()
        self._thread.join(0.3)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._keeper.news.clear()
            try:
                wait_s = self._report()
            except Exception as error:
                wait_s = self._failed(f"reporting failed: {type(error).__name__}: {error}")
            started = time.monotonic()
            self._ending.wait(wait_s)
            if not self._keeper.ready and self.trouble is None and not self._ending.is_set():
                self._keeper.news.wait(max(0.0, HEARTBEAT_S - (time.monotonic() - started)))
        if self.trouble is None and self._keeper.backlog:
            with suppress(NetTraceError, sqlite3.Error):
                self._report()
        self._line.close()

    def _report(self) -> float:
        """One report; how long to wait before the next."""
        epoch, batch = self._keeper.read(self._most)
        batch = self._joined(batch)
        try:
            sent_at = time.time_ns()
            with self._tracing.span("node report", "client") as span:
                span.note(entries=len(batch.entries), backlog=self._keeper.backlog)
                answer = self._send(epoch, batch, sent_at, span.traceparent)
            back_at, monotonic = time.time_ns(), time.monotonic_ns()
            if answer.status != 200:
                return self._refused(answer, batch)
            ack = msgspec.msgpack.decode(answer.body, type=Ack)
        except (Unreachable, msgspec.DecodeError) as error:
            return self._failed(str(error))
        if self.trouble is not None:
            self._agent.say(f"the hub takes reports again, {self._keeper.backlog} entries wait")
        self.trouble, self.heard_at = None, back_at
        self.offset.learn(Exchange(sent_at, ack.received_at, ack.answered_at, back_at), monotonic)
        moved = self._settle(epoch, batch, ack)
        if ack.assignment is not None:
            self._agent.assigned(ack.assignment)
        if ack.work:
            self._agent.asked(ack.work)
        if batch.entries and not moved:
            return max(ack.wait_s, self._pauses.next_s())
        self._pauses.ended()
        if self._most == 0:  # without the record it refuses the hub takes a report: so it is the record
            self._agent.say(f"the hub refuses record {batch.first_seq} for good: stated as a gap")
            self._keeper.waive(batch.first_seq, "refused")
        self._most = min(BATCH, self._most * 2 or 1)
        if len(batch.entries) >= self._most // 2 or self._behind is not None:
            return ack.wait_s  # more waits, so this is no time to rest
        return max(ack.wait_s, rested_s((back_at - sent_at) / NS_PER_S, SOONEST_S, EVERY_S))

    def _send(self, epoch: str, batch: Batch, sent_at: Instant, trace: str) -> Answer:
        about = self._agent.about()
        report = Report(
            node=self._node,
            epoch=epoch,
            first_seq=batch.first_seq,
            entries=batch.entries,
            sent_at=sent_at,
            assignment=about.assignment,
            clock=self.offset.clock(synchronised=about.synchronised),
            version=__version__,
            methods=about.methods,
            problems=about.problems,
            reflector=about.reflector,
            load=about.load,
            resting=about.resting,
            backlog=self._keeper.backlog,
            oldest_at=self._keeper.oldest_at(),
        )
        body = zlib.compress(msgspec.msgpack.encode(report), 6)
        headers = {"Content-Type": _TYPE, "Content-Encoding": "deflate"}
        if trace:
            headers[HEADER] = trace
        answer = self._line.ask("POST", REPORT_PATH, body, headers=headers, timeout_s=ANSWER_S)
        if self._line.corrected(answer):
            self._agent.say(
                "the hub's clock differs from this one by minutes: signatures go by the hub's from now on"
            )
            answer = self._line.ask("POST", REPORT_PATH, body, headers=headers, timeout_s=ANSWER_S)
        return answer

    def _settle(self, epoch: str, batch: Batch, ack: Ack) -> bool:
        """Forget what the hub has. True when it took something, or there was nothing to take."""
        if epoch != self._keeper.epoch:
            return True
        if ack.upto_seq >= self._keeper.next_seq:
            self._agent.say("the hub knows numbers this spool never gave: a new epoch begins")
            self._keeper.renumber()
            self._behind = None
            return True
        if ack.upto_seq < batch.first_seq - 1:
            self._agent.say(
                f"the hub has nothing behind {ack.upto_seq}, though it had acknowledged up to {batch.first_seq - 1}"
            )
            self._behind = ack.upto_seq + 1
            return not batch.entries
        self._behind = None
        kept = [entry for entry in batch.entries if _last(entry) <= ack.upto_seq]
        kept_until = max((each.until if isinstance(each, Gap) else each.due for each in kept), default=0)
        self._keeper.acknowledge(epoch, ack.upto_seq, kept_until)
        self.sent += len(kept)
        return bool(kept) or not batch.entries

    def _joined(self, batch: Batch) -> Batch:
        """The batch, with a gap in front when the hub has lost what it had acknowledged."""
        if self._behind is None or self._behind >= batch.first_seq:
            return batch
        entry = batch.entries[0] if batch.entries else None
        at = (entry.since if isinstance(entry, Gap) else entry.due) if entry else time.time_ns()
        gap = Gap(seq=self._behind, last_seq=batch.first_seq - 1, reason="hub_restored", since=at, until=at)
        return Batch(self._behind, (gap, *batch.entries[: BATCH - 1]))

    def _refused(self, answer: Answer, batch: Batch) -> float:
        """What to do about an answer that is no acknowledgement; how long to wait."""
        said = problem_words(answer)
        if answer.status in {409, 410}:
            self._agent.dismissed(dismissal(answer.status, said))
            self._ending.set()
            return 0.0
        if answer.status in {400, 413, 422} and batch.entries:
            self._most = min(self._most, len(batch.entries)) // 2
            return 0.0
        self._most = self._most or BATCH
        pause_s = self._failed(f"the hub answered {answer.status}: {said}")
        return max(pause_s, min(answer.seconds("Retry-After") or 0.0, LONGEST_PAUSE_S))

    def _failed(self, why: str) -> float:
        if self.trouble is None and not self._ending.is_set():
            self._agent.say(f"{why}; measuring goes on, records wait in the spool")
        self.trouble = why
        return self._pauses.next_s()


class Errands:
    """The thread that asks the hub whether somebody wants a round now, and waits there for the answer."""

    def __init__(self, hub: Hub, signature: Signature, agent: Agent) -> None:
        self._agent = agent
        self._line = Line(hub, signature)
        self._pauses = Pauses()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="errands", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End at once, whatever the hub holds open."""
        self._ending.set()
        self._line.hang_up()
        self._thread.join(0.3)

    def _run(self) -> None:
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                wait_s = self._ask()
            except Exception:
                wait_s = self._pauses.next_s()
            self._ending.wait(max(wait_s, EVERY_S - (time.monotonic() - began)))

    def _ask(self) -> float:
        answer = self._line.ask("GET", WORK_PATH, timeout_s=POLL_S)
        if self._line.corrected(answer):
            return 0.0
        if answer.status not in {200, 204}:
            return max(self._pauses.next_s(), min(answer.seconds("Retry-After") or 0.0, LONGEST_PAUSE_S))
        self._pauses.ended()
        if answer.status == 200 and answer.body:
            self._agent.asked(msgspec.msgpack.decode(answer.body, type=tuple[Work, ...]))
        return 0.0


def enrol(hub: Hub, request: Enrol) -> Enrolled:
    """Who this machine is from now on.

    Raises:
        Unreachable: the hub does not answer, or cannot just now: try again later.
        AccessError: the token is used up, expired or for another region.
        WireError: the hub speaks another protocol.
    """
    with closing(Line(hub)) as line:
        answer = line.ask(
            "POST", ENROL_PATH, msgspec.msgpack.encode(request), headers={"Content-Type": _TYPE}
        )
    said = problem_words(answer)
    if answer.status in {200, 201}:
        try:
            return msgspec.msgpack.decode(answer.body, type=Enrolled)
        except msgspec.DecodeError as error:
            raise WireError(f"The hub's answer to enrolling is not what it should be: {error}") from None
    if answer.status in {400, 401, 403, 404, 410, 422}:
        raise AccessError(f"The hub does not enrol this node: {said}", _another_token(said))
    if answer.status == 409:
        raise WireError(f"The hub does not enrol this node: {said}")
    raise Unreachable(f"the hub answered {answer.status}: {said}")


def _another_token(said: str) -> str:
    """What a node that is not let in needs, unless the hub's own words end with it.

    >>> _another_token("This is no token. Make one: nettrace fleet token --region CODE"), _another_token("used")
    ('', 'Make a new token: nettrace fleet token --region CODE')
    """
    told = "nettrace fleet token" in said
    return "" if told else "Make a new token: nettrace fleet token --region CODE"


def dismissal(status: int, said: str) -> NetTraceError:
    """Why a node has to end."""
    if status == 410:
        return Unauthenticated(
            f"The hub has revoked this node: {said}", "The new one needs a folder of its own: --data DIR"
        )
    return WireError(f"The hub does not work with this node: {said}", "Update the older one of the two")


def problem_words(answer: Answer) -> str:
    """What an answer that refuses says, in words (RFC 9457 problem, else its status)."""
    with suppress(msgspec.DecodeError, msgspec.ValidationError):
        problem = msgspec.json.decode(answer.body, type=dict[str, object])
        for name in ("detail", "title"):
            if isinstance(words := problem.get(name), str) and words:
                return words.rstrip(".")
    return f"status {answer.status}"


def _last(entry: Entry) -> int:
    return entry.last_seq if isinstance(entry, Gap) else entry.seq
