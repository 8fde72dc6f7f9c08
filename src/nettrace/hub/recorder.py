"""What the writer does with each command: the store's methods, and around them what only the one writer can know.

Synchronous, one call at a time, the clock given: `hub.writer` puts a socket and a queue before it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from nettrace.errors import NetTraceError, NotAllowed, StoreFull
from nettrace.hub.atlas import HopAtlas
from nettrace.hub.hub_time import in_hub_time
from nettrace.hub.link import Taken
from nettrace.hub.watchers import Watchers, everything
from nettrace.hub.work import WorkBoard
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import Series
from nettrace.model.vantage import Clock, Vantage, VantageState
from nettrace.store.port import Accepted, Choice, StoreReader, StoreWriter
from nettrace.store.rows import MeasurementRequest, MeasurementState, Round, Window
from nettrace.wire.frames import Gap, Record, Report, Work

HEARD_NS = 10 * NS_PER_S
"""A node's sign of life is written down so often, or at once when it says something new of itself."""
_BETWEEN_NOTES = 1000
_REMEMBERED = 10_000
"""Open on-demand measurements looked for after a restart."""

Incoming = tuple[Report, Clock | None]


class Recorder:
    """The store with its watcher, the board of on-demand rounds and the register of nodes.

    Args:
        say: told what went wrong without stopping anything.
        now: UTC ns; a clock that steps back is held where it was, so that what is stored later never looks older.
        atlas: names the hops of traces before they are stored; without it they stay as the node said.
    """

    def __init__(
        self,
        store: StoreWriter,
        reader: StoreReader,
        now: Callable[[], Instant],
        say: Callable[[str], None] = lambda _: None,
        atlas: HopAtlas | None = None,
    ) -> None:
        self._store = store
        self._reader = reader
        self._atlas = atlas
        self._clock = now
        self._last = 0
        self._watch = everything(reader, self._rounds_since, say)
        self._nodes = {row.vantage.node: row.vantage for row in reader.nodes()}
        self._heard: dict[str, tuple[Instant, tuple[object, ...]]] = {}
        self._board = WorkBoard()
        self._recall()

    def _rounds_since(self, series: Series, newest: Instant) -> Iterable[Round]:
        """What was stored of a series behind a due time: as much as lies between two notes of a watcher, and some."""
        choice = Choice(
            targets=(series.target,), vantages=(series.vantage,), endpoints=(series.endpoint,),
            methods=(series.method,),
        )  # fmt: skip
        return self._reader.rounds(choice, Window(newest + 1, 2**63 - 1), limit=_BETWEEN_NOTES)

    def now(self) -> Instant:
        """The hub's time; never earlier than before."""
        self._last = max(self._last, self._clock())
        return self._last

    def take_all(self, incoming: Sequence[Incoming]) -> list[Taken | NetTraceError]:
        """Store several nodes' reports in one transaction; each one's answer, or why it was refused.

        Other people's vantages are watched by nobody, and are stored by themselves: a look they had once proves nothing.
        """
        at = self.now()
        incoming = [(in_hub_time(report, clock, at), clock) for report, clock in incoming]
        answers: list[Taken | NetTraceError | None] = [self._refusal(report.node) for report, _ in incoming]
        good = [index for index, refused in enumerate(answers) if refused is None]
        lent = [index for index in good if self._nodes[incoming[index][0].node].third_party]
        ours = [index for index in good if index not in lent]
        taken = self._accept([self._named(incoming[index][0]) for index in ours], at, self._watch)
        taken += self._accept([self._named(incoming[index][0]) for index in lent], at, None)
        for index, result in zip([*ours, *lent], taken, strict=True):
            if isinstance(result, Accepted):
                self._note(*incoming[index], result.new, at)
                answers[index] = Taken(upto_seq=result.upto_seq)
            else:
                answers[index] = result
        return [answer for answer in answers if answer is not None]

    def run(self, name: str, args: Sequence[Any]) -> Any:
        """Any other command of the protocol, by name."""
        match name:
            case "claim":
                return self.claim(*args)
            case "put_request":
                return self.put_request(*args)
            case "enrol":
                return self.enrol(*args)
            case "set_state":
                return self.set_state(*args)
            case "known_targets":
                return self._reader.targets()
            case "known_nodes":
                return list(self._nodes.values())
            case "setting":
                return self._reader.settings().get(*args)
            case "accept" | "accept_all":
                return getattr(self._store, name)(*args, self._watch)
            case _:
                return getattr(self._store, name)(*args)

    def claim(self, vantage: str) -> tuple[Work, ...]:
        """On-demand rounds the vantage is to do now."""
        work, begun = self._board.claim(vantage, self.now())
        for request in begun:
            self._store.put_request(request)
        return tuple(work)

    def put_request(self, request: MeasurementRequest) -> None:
        """Remember an on-demand measurement and offer it to the vantages it wants."""
        self._store.put_request(request)
        self._board.put(request)

    def enrol(self, token_hash: bytes, vantage: Vantage, key: bytes, at: Instant) -> Vantage | None:
        """Let a machine in; the region's old node gets nothing in from now on.

        `last_seen` of the answer is the due of the newest round that old node has handed over.
        """
        enrolled = self._store.enrol(token_hash, vantage, key, at)
        if enrolled is not None:
            for node, known in self._nodes.items():
                if known.code == enrolled.code and known.state is not VantageState.REVOKED:
                    self._nodes[node] = msgspec.structs.replace(known, state=VantageState.REVOKED)
            self._nodes[enrolled.node] = enrolled
            newest = (
                row.round.due for row in self._reader.latest(0) if row.round.series.vantage == enrolled.code
            )
            return msgspec.structs.replace(enrolled, last_seen=max(newest, default=None))
        return None

    def set_state(self, node: str, state: VantageState, at: Instant) -> None:
        """Drain, revoke or activate a node, in the store and for the next report."""
        self._store.set_state(node, state, at)
        if node in self._nodes:
            self._nodes[node] = msgspec.structs.replace(self._nodes[node], state=state)

    def idle(self) -> bool:
        """A slice of what can wait: requests that expire, sealing, rollups, retention. True when more waits."""
        at = self.now()
        for request in self._board.expire(at):
            self._store.put_request(request)
        if self._atlas is not None:
            self._atlas.renew()
        return self._store.maintain(at)

    def close(self) -> None:
        """Flush and let go."""
        self._reader.close()
        self._store.close()

    def _named(self, report: Report) -> Report:
        return report if self._atlas is None else self._atlas.named(self._nodes[report.node], report)

    def _refusal(self, node: str) -> NotAllowed | None:
        known = self._nodes.get(node)
        if known is None:
            return NotAllowed(f"no node '{node}' is enrolled at this hub", "Enrol it with a new token")
        if known.state is VantageState.REVOKED:
            return NotAllowed(f"the node '{node}' of {known.code} is revoked", "Enrol it with a new token")
        return None

    def _accept(
        self, reports: list[Report], at: Instant, watch: Watchers | None
    ) -> list[Accepted | NetTraceError]:
        if not reports:
            return []
        try:
            return list(self._store.accept_all(reports, at, watch))
        except StoreFull as full:
            self._watch.recall()
            return [full] * len(reports)
        except NetTraceError as error:
            self._watch.recall()
            if len(reports) == 1:
                return [error]
        except BaseException:
            self._watch.recall()
            raise
        # One of them is at fault: the others shall not suffer with it.
        return [result for report in reports for result in self._accept([report], at, watch)]

    def _note(self, report: Report, clock: Clock | None, new: Iterable[Record | Gap], at: Instant) -> None:
        vantage = self._nodes[report.node].code
        answers = dict.fromkeys(e.request for e in new if isinstance(e, Record) and e.request is not None)
        for request in answers:
            changed = self._board.answered(request, [vantage])
            if changed is not None:
                self._store.put_request(changed)
        said = (
            report.version,
            report.methods,
            report.problems,
            report.epoch,
            report.assignment,
            report.resting and not report.backlog,
        )
        last, before = self._heard.get(report.node, (-HEARD_NS, ()))
        if at - last >= HEARD_NS or said != before:
            self._heard[report.node] = (at, said)
            self._store.heard(report.node, at, report, clock)

    def _recall(self) -> None:
        """Take up the open requests of the life before, and answers that came in without being counted."""
        for request in reversed(self._reader.requests(limit=_REMEMBERED)):
            if request.state not in (MeasurementState.QUEUED, MeasurementState.RUNNING):
                continue
            self._board.put(request)
            came = [round_.series.vantage for round_ in self._reader.request_rounds(request.id)]
            changed = self._board.answered(request.id, came)
            if changed is not None:
                self._store.put_request(changed)
