"""What `/metrics` says of the hub's own queues, of its writer, of this worker's listeners, and of the nodes' machines."""

import asyncio
import os
from collections.abc import Iterable

import msgspec

from nettrace.api.service import Service
from nettrace.errors import NetTraceError
from nettrace.hub.backlog import Queue, alert_lag, queues
from nettrace.hub.latest import Snapshot
from nettrace.hub.link import HubWriter, WriterStatus
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.vantage import Vantage, VantageState
from nettrace.node.metrics import machine_families
from nettrace.runtime.openmetrics import Sample, family
from nettrace.store.port import StoreReader

PATIENCE_S = 2.0


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in this hub.

    Attributes:
        writer: None while it does not answer.
        stored: queues that are rows of the store, by name.
        alert_lag: live events behind which the alert rules' stored place is.
        listeners, longest, let_go, behind: of this worker's stream: who listens, the most events that wait for one,
            how many were let go, and how many events of the log it has not handed out.
        questions: that wait for this worker's readers.
    """

    writer: WriterStatus | None
    stored: dict[str, Queue]
    alert_lag: int | None
    head: int
    listeners: int
    longest: int
    let_go: int
    behind: int
    questions: int


async def look(service: Service) -> Queues:
    """Ask the writer and the store; either may be away."""
    writer: WriterStatus | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer = await service.writer.call(HubWriter.status)
    except (TimeoutError, NetTraceError):
        pass
    try:
        stored, lag, head = await service.readers.run(_stored)
    except NetTraceError:
        stored, lag, head = {}, None, 0
    feed = service.feed
    return Queues(
        writer=writer, stored=stored, alert_lag=lag, head=head, listeners=feed.listening if feed else 0,
        longest=feed.longest if feed else 0, let_go=feed.let_go if feed else 0,
        behind=max(0, head - feed.position) if feed and feed.position >= 0 else 0, questions=service.readers.waiting,
    )  # fmt: skip


def _stored(reader: StoreReader) -> tuple[dict[str, Queue], int | None, int]:
    return queues(reader), alert_lag(reader), reader.head()


def families(found: Queues, snapshot: Snapshot, now: Instant) -> bytes:
    """The lines. Those of one worker carry its process number, because each scrape meets one of several."""
    live = [each for each in snapshot.vantages.values() if each.state is not VantageState.REVOKED]
    return b"".join((*_writer(found.writer), *_queues(found, now), *_spools(live, now), *_machines(live)))


def _writer(status: WriterStatus | None) -> Iterable[bytes]:
    def one(value: float | None) -> list[Sample]:
        return [({}, value)]

    yield family("nettrace_writer_up", "gauge", "1 when the writer answers.", one(int(status is not None)))
    if status is None:
        return
    yield family("nettrace_writer_queue", "gauge", "Commands that wait for the writer.", one(status.waiting))
    yield family(
        "nettrace_writer_queue_bytes", "gauge", "Bytes of reports that wait.", one(status.waiting_bytes)
    )
    yield family(
        "nettrace_writer_queue_age_seconds", "gauge", "How long the oldest has waited.", one(status.oldest_s)
    )
    yield family("nettrace_writer_commit_seconds", "gauge", "A group commit, smoothed.", one(status.commit_s))
    yield family("nettrace_writer_commits", "counter", "Group commits since its start.", one(status.commits))
    yield family("nettrace_writer_reports", "counter", "Reports stored since its start.", one(status.reports))
    yield family("nettrace_writer_entries", "counter", "Records and gaps stored.", one(status.entries))
    yield family("nettrace_writer_refused", "counter", "Reports there was no room for.", one(status.refused))
    yield family(
        "nettrace_writer_listening", "gauge", "Vantages that wait for on-demand work.", one(status.listening)
    )
    yield family(
        "nettrace_upkeep_behind_seconds", "gauge",
        "For how long sealing, rollups and retention have had more to do than they got done.", one(status.upkeep_s),
    )  # fmt: skip
    yield family(
        "nettrace_upkeep_failing",
        "gauge",
        "1 while they meet an error.",
        one(int(bool(status.upkeep_problem))),
    )


def _queues(found: Queues, now: Instant) -> Iterable[bytes]:
    worker = {"worker": str(os.getpid())}
    yield family(
        "nettrace_queue", "gauge", "What waits: notices of the courier, exports, on-demand measurements.",
        [({"queue": name}, each.waiting) for name, each in found.stored.items()],
    )  # fmt: skip
    yield family(
        "nettrace_queue_age_seconds", "gauge", "Age of the oldest in each queue; absent when nothing waits.",
        [({"queue": name}, _age(each.oldest_at, now)) for name, each in found.stored.items()],
    )  # fmt: skip
    yield family(
        "nettrace_alert_lag_events", "gauge", "Live events the alert rules' stored place is behind.",
        [({}, found.alert_lag)],
    )  # fmt: skip
    for name, kind, meaning, value in (
        ("listeners", "gauge", "Live listeners of this worker.", found.listeners),
        ("longest", "gauge", "The most events that wait for one listener.", found.longest),
        ("lag_events", "gauge", "Live events this worker has not handed out.", found.behind),
        ("let_go", "counter", "Listeners let go because they read too slowly.", found.let_go),
    ):
        yield family(f"nettrace_stream_{name}", kind, meaning, [(worker, value)])
    yield family(
        "nettrace_reader_queue", "gauge", "Questions to the store under way in this worker.",
        [(worker, found.questions)],
    )  # fmt: skip


def _spools(live: list[Vantage], now: Instant) -> Iterable[bytes]:
    yield family(
        "nettrace_vantage_spool_entries", "gauge", "Entries that wait in a node's spool, by its newest report.",
        [({"region": each.code}, each.backlog) for each in live if each.last_seen is not None],
    )  # fmt: skip
    yield family(
        "nettrace_vantage_spool_age_seconds", "gauge",
        "Age of the oldest of them when that report came; nettrace_vantage_report_age_seconds says how long ago that is.",
        [
            ({"region": each.code}, _age(each.oldest_at, each.last_seen))
            for each in live if each.backlog and each.last_seen is not None
        ],
    )  # fmt: skip
    yield family(
        "nettrace_vantage_report_age_seconds", "gauge", "Since a vantage was last heard of, to ten seconds.",
        [({"region": each.code}, _age(each.last_seen, now)) for each in live],
    )  # fmt: skip


def _machines(live: list[Vantage]) -> Iterable[bytes]:
    return machine_families(
        "nettrace_vantage", [({"region": each.code}, each.load) for each in live if each.load is not None]
    )


def _age(since: Instant | None, now: Instant) -> float | None:
    return None if since is None else max(0.0, (now - since) / NS_PER_S)
