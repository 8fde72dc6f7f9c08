"""The one way in for what nodes measured: who sent it, is it whole, is it small enough; then to the writer.

Nothing here waits for a disk but the writer's answer. The register of nodes and targets lives in memory and follows
the store's `targets_version`; what the tiers of accounts still hold is looked up once a second.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from nettrace.errors import Conflict, Invalid, NetTraceError, NotAllowed, Unauthenticated, WireError
from nettrace.hub.allotment import paused
from nettrace.hub.assignment import assignment_for
from nettrace.hub.enrolment import admit
from nettrace.hub.link import HubWriter, WriterLink
from nettrace.hub.tiers import Tiers
from nettrace.model.instant import Instant
from nettrace.model.target import Target
from nettrace.model.vantage import VantageState
from nettrace.runtime.ending import Ending
from nettrace.store.port import NodeRow, StoreReader
from nettrace.wire.frames import PROTOCOL, Ack, Assignment, Enrol, Enrolled, Gap, Report, Work
from nettrace.wire.signing import NODE_HEADER, genuine, timely

MOST_SENT_BYTES = 4 << 20
MOST_UNPACKED_BYTES = 32 << 20
MOST_ENTRIES = 1000
MOST_WAIT_S = 30.0
POLL_S = 0.1
_LOOKS = 10
"""Of so many looks one is at tiers and keys too."""
_HASTE_S = 0.25
"""An unknown node makes the register look again, so often at most."""

Request = tuple[str, str]
"""Method and path, as they are signed."""


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """What the doors know of nodes and targets, as of one version."""

    version: int = 0
    nodes: dict[str, NodeRow] = {}
    targets: tuple[Target, ...] = ()
    settings: dict[str, bytes] = {}
    paused: frozenset[str] = frozenset()

    @classmethod
    def read(cls, reader: StoreReader, tiers: Tiers, now: Instant) -> "Register":
        """As the store has it now."""
        version = reader.targets_version()  # first: what changes while we read is read again
        targets = tuple(reader.targets())
        return cls(
            version=version,
            nodes={row.vantage.node: row for row in reader.nodes()},
            targets=targets,
            settings=reader.settings(),
            paused=frozenset(paused(reader, tiers, targets, now)),
        )

    @property
    def watched(self) -> list[Target]:
        """The targets, without those that rest because their account's tier holds no more."""
        return [target for target in self.targets if target.host not in self.paused]


class NodeDoors:
    """Everything a node can ask of its hub.

    Args:
        open_reader: makes the reader that keeps the register; it is used in one thread.
        link: the way to the writer.
        tiers: what accounts may have watched.
        now: the hub's clock.
    """

    def __init__(
        self,
        open_reader: Callable[[], StoreReader],
        link: WriterLink,
        tiers: Tiers,
        now: Callable[[], Instant],
    ) -> None:
        self._open_reader = open_reader
        self._tiers = tiers
        self._looks = 0
        self._link = link
        self._now = now
        self._thread = ThreadPoolExecutor(1, "register")
        self._reader: StoreReader | None = None
        self._register = Register()
        self._assignments: dict[str, Assignment] = {}
        self._renewed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self._hurried = 0.0

    async def start(self) -> None:
        """Read the register and keep following it. The first request does so when nobody has."""
        if self._following is None:
            self._ending = Ending()
            self._following = asyncio.create_task(self._follow())
            await self._refresh()

    async def close(self) -> None:
        """Let go of everything but the link, which others may use."""
        if self._ending is not None:
            self._ending.begin()
            self._ending.close()
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def now(self) -> Instant:
        """The hub's time."""
        return self._now()

    async def enrol(self, body: bytes) -> Enrolled:
        """Make a machine a node.

        Raises:
            Unauthenticated, Conflict, Invalid: as `enrolment.admit`. WireError: not an `Enrol`.
        """
        await self.start()
        asked = _decoded(body, Enrol)
        vantage, secret = await admit(self._link, asked, self._now())
        await self._refresh()
        return Enrolled(
            node=vantage.node, secret=secret, assignment=self._assignment(vantage.node),
            silent_since=vantage.last_seen or 0,
        )  # fmt: skip

    async def report(
        self, request: Request, headers: Mapping[str, str], body: bytes, received_at: Instant
    ) -> Ack:
        """Store a report; the answer means it is on disk.

        Raises:
            Unauthenticated, NotAllowed: not a node of ours. WireError: not a report. Conflict: another protocol.
            StoreFull, StoreBusy, Unreachable: send it again later.
        """
        row = await self._sender(request, headers, body)
        report = _report(_unpacked(body, headers.get("content-encoding", "")))
        if report.node != row.vantage.node:
            raise WireError(f"a report of '{report.node}' signed by '{row.vantage.node}'")
        taken = await self._link.call(HubWriter.take, report, report.clock)
        current = self._assignment(row.vantage.node)
        return Ack(
            upto_seq=taken.upto_seq,
            received_at=received_at,
            answered_at=self._now(),
            assignment=current if current.version != report.assignment else None,
            wait_s=taken.wait_s,
        )

    async def work(
        self, request: Request, headers: Mapping[str, str], wait_s: float, gone: Callable[[], Awaitable[None]]
    ) -> tuple[Work, ...]:
        """On-demand rounds for the node that asks, waited for as long as it says and until it has gone.

        Nothing, at once, when it is to measure something else: it reports then, and the answer has its new assignment.

        Raises:
            Unauthenticated, NotAllowed: not a node of ours.
        """
        row = await self._sender(request, headers, b"")
        wait_s = min(max(wait_s, 0.0), MOST_WAIT_S)
        otherwise = asyncio.create_task(self._otherwise(row.vantage.node))
        waits = [otherwise, asyncio.create_task(self._enough(gone))]
        claim = None
        if row.vantage.state is VantageState.ACTIVE:
            claim = asyncio.create_task(self._link.call(HubWriter.claim, row.vantage.code, wait_s))
        try:
            every = waits if claim is None else [claim, *waits]
            limit_s = wait_s if claim is None else None
            await asyncio.wait(every, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            return await claim if claim is not None and claim.done() else ()
        finally:
            for each in (claim, *waits):
                if each is not None:
                    each.cancel()

    async def _otherwise(self, node: str) -> None:
        """Returns when a node is to measure something else than now."""
        before = self._assignment(node).version
        while True:
            await self._renewed.wait()
            with contextlib.suppress(
                Unauthenticated
            ):  # it is gone: whoever waits for it is told so next time
                if self._assignment(node).version == before:
                    continue
            return

    async def _enough(self, gone: Callable[[], Awaitable[None]]) -> None:
        """Returns when it makes no sense to wait on: the node has gone, or this hub is ending."""
        waits = [asyncio.ensure_future(gone())]
        if self._ending is not None:
            waits.append(asyncio.create_task(self._ending.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _sender(self, request: Request, headers: Mapping[str, str], body: bytes) -> NodeRow:
        await self.start()
        node = headers.get(NODE_HEADER.lower(), "")
        row = self._register.nodes.get(node)
        if row is None and node and self._may_hurry():  # enrolled a moment ago, at another worker
            await self._refresh()
            row = self._register.nodes.get(node)
        if row is None or not genuine(row.key, request, headers, body):
            raise Unauthenticated(
                "this request is not signed by a node of this hub", "Enrol it: nettrace fleet token"
            )
        if not timely(headers, self._now()):
            raise Unauthenticated("the signature's time is too far from the hub's", "Set the clock by ours")
        if row.vantage.state is VantageState.REVOKED:
            raise NotAllowed(
                f"the node '{node}' of {row.vantage.code} is revoked", "Enrol it with a new token"
            )
        return row

    def _may_hurry(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._hurried < _HASTE_S:
            return False
        self._hurried = now
        return True

    def _assignment(self, node: str) -> Assignment:
        found = self._assignments.get(node)
        if found is None:
            register = self._register
            row = register.nodes.get(node)
            if row is None:
                raise Unauthenticated(f"no node '{node}' is enrolled at this hub")
            found = assignment_for(row, register.watched, register.settings, register.nodes.values())
            self._assignments[node] = found
        return found

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(NetTraceError):  # the store is busy or away: what we know still holds
                await self._refresh()

    async def _refresh(self) -> None:
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._read)
        if found is not None:
            self._register, self._assignments = found, {}
            self._renewed.set()
            self._renewed = asyncio.Event()

    def _read(self) -> Register | None:
        if self._reader is None:
            self._reader = self._open_reader()
        held = self._register
        self._looks += 1
        if self._reader.targets_version() != held.version:
            return Register.read(self._reader, self._tiers, self._now())
        if self._looks % _LOOKS:
            return None
        resting = frozenset(paused(self._reader, self._tiers, held.targets, self._now()))
        return None if resting == held.paused else msgspec.structs.replace(held, paused=resting)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()


class _Envelope(msgspec.Struct):
    protocol: int = PROTOCOL


def _report(body: bytes) -> Report:
    try:
        report = msgspec.msgpack.decode(body, type=Report)
    except msgspec.DecodeError as error:
        spoken = _spoken(body)
        if spoken != PROTOCOL:
            raise _other_protocol(spoken) from error
        raise WireError(f"this is not a report: {error}") from error
    if report.protocol != PROTOCOL:
        raise _other_protocol(report.protocol)
    if len(report.entries) > MOST_ENTRIES:
        raise WireError(f"a report of {len(report.entries)} entries", f"At most {MOST_ENTRIES}")
    following = report.first_seq
    for entry in report.entries:
        if entry.seq != following:
            raise WireError(f"entry {entry.seq} stands where {following} should", "Numbers have no holes")
        last = entry.last_seq if isinstance(entry, Gap) else entry.seq
        if last < entry.seq:
            raise WireError(f"the gap at {entry.seq} ends before it begins")
        following = last + 1
    return report


def _spoken(body: bytes) -> int:
    try:
        return msgspec.msgpack.decode(body, type=_Envelope).protocol
    except msgspec.DecodeError:
        return PROTOCOL


def _other_protocol(spoken: int) -> Conflict:
    return Conflict(
        f"the node speaks protocol {spoken}, this hub {PROTOCOL}",
        "Update "
        + ("the hub" if spoken > PROTOCOL else "the node")
        + "; its spool keeps everything till then",
    )


def _decoded(body: bytes, kind: type[Enrol]) -> Enrol:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise WireError(f"this is not what a new node says: {error}") from error


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was packed; one that would grow beyond all bounds is never unpacked whole."""
    if encoding in {"", "identity"}:
        return body
    if encoding != "deflate":
        raise Invalid(f"a report packed as '{encoding}'", "Send deflate or nothing")
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(body, MOST_UNPACKED_BYTES)
    except zlib.error as error:
        raise WireError(f"the report cannot be unpacked: {error}") from error
    if unpacker.unconsumed_tail:
        raise WireError(f"the report unpacks to more than {MOST_UNPACKED_BYTES} bytes", "Send less at a time")
    if not unpacker.eof or unpacker.unused_data:
        raise WireError("the packed report is cut short, or has something behind it")
    return data
