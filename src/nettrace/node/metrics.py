"""A node's own `/metrics`: OpenMetrics on loopback when asked for, from the standard library alone."""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from nettrace import __version__
from nettrace.errors import Conflict
from nettrace.measure.tracing.politeness import BUDGETS
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.vantage import Clock, Load
from nettrace.node.thrift import Held
from nettrace.runtime import classic_metrics
from nettrace.runtime.openmetrics import END, MEDIA_TYPE, Sample, family

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node knows of itself.

    Attributes:
        backlog: entries that wait for the hub; the oldest was due at `oldest_at`.
        latest_start_s: the longest a round began after its due moment.
        held: what its budgets held back.
        heard_at: when the hub last took a report; None is never.
    """

    region: str
    load: Load
    series: int
    rounds: Mapping[Outcome, int]
    held: Held
    backlog: int
    oldest_at: Instant | None
    sent: int
    dropped: int
    latest_start_s: float
    clock: Clock | None
    reporting: bool
    assignment: int
    heard_at: Instant | None


def exposition(facts: NodeFacts, now: Instant) -> bytes:
    """The whole text."""
    at: Mapping[str, str] = {"region": facts.region}

    def one(value: float | None) -> list[Sample]:
        return [(at, value)]

    def age(since: Instant | None) -> list[Sample]:
        return one(None if since is None else max(0.0, (now - since) / NS_PER_S))

    clock = facts.clock
    return b"".join(
        (
            family("nettrace_node_build", "info", "Which program this is.", [({**at, "version": __version__}, 1)]),
            family("nettrace_node_series", "gauge", "Series that are scheduled.", one(facts.series)),
            family("nettrace_node_assignment", "gauge", "Version of the assignment in force.", one(facts.assignment)),
            family("nettrace_node_rounds", "counter", "Rounds made since the start, by outcome.",
                   [({**at, "outcome": outcome.value}, facts.rounds.get(outcome, 0)) for outcome in Outcome]),
            family("nettrace_node_packets_waited", "counter", "Packets that waited for a spent budget, by budget.",
                   [({**at, "budget": name}, facts.held.waited.get(name, 0)) for name in BUDGETS]),
            family("nettrace_node_rounds_unsent", "counter",
                   "Rounds not made or not finished because a budget was spent, by budget.",
                   [({**at, "budget": name}, facts.held.unsent.get(name, 0)) for name in BUDGETS]),
            family("nettrace_node_latest_start_seconds", "gauge", "The longest a round began after it was due.",
                   one(facts.latest_start_s)),
            family("nettrace_node_spool_entries", "gauge", "Entries that wait for the hub.", one(facts.backlog)),
            family("nettrace_node_spool_age_seconds", "gauge", "Age of the oldest entry that waits.",
                   age(facts.oldest_at if facts.backlog else None)),
            family("nettrace_node_spool_dropped", "counter", "Records the spool had no room for; stated as gaps.",
                   one(facts.dropped)),
            family("nettrace_node_sent", "counter", "Entries the hub has acknowledged.", one(facts.sent)),
            family("nettrace_node_reporting", "gauge", "1 while the hub takes reports.", one(int(facts.reporting))),
            family("nettrace_node_report_age_seconds", "gauge", "Since the hub last took a report.", age(facts.heard_at)),
            family("nettrace_node_clock_offset_seconds", "gauge", "The hub's clock minus this one's.",
                   one(None if clock is None else clock.offset_ns / NS_PER_S)),
            family("nettrace_node_clock_error_seconds", "gauge", "Bound of that offset.",
                   one(None if clock is None else clock.error_ns / NS_PER_S)),
            *machine_families("nettrace_node", [(at, facts.load)]),
            END,
        )
    )  # fmt: skip


def machine_families(prefix: str, loads: list[tuple[Mapping[str, str], Load]]) -> list[bytes]:
    """What machines are like, under names that begin with `prefix`; ratios are 0 to 1."""

    def all_of(read: Callable[[Load], float | None]) -> list[Sample]:
        return [(about, read(load)) for about, load in loads]

    return [
        family(f"{prefix}_cpu_ratio", "gauge", "Busy share of all cores between two reports.",
               all_of(lambda load: None if load.cpu_percent is None else load.cpu_percent / 100)),
        family(f"{prefix}_memory_used_bytes", "gauge", "Memory in use.", all_of(lambda load: load.memory_used_bytes)),
        family(f"{prefix}_memory_bytes", "gauge", "Memory there is.", all_of(lambda load: load.memory_bytes)),
        family(f"{prefix}_disk_used_bytes", "gauge", "Used room where the spool is.", all_of(lambda load: load.disk_used_bytes)),
        family(f"{prefix}_disk_bytes", "gauge", "Room where the spool is.", all_of(lambda load: load.disk_bytes)),
        family(f"{prefix}_resident_bytes", "gauge", "Memory of the node's process.", all_of(lambda load: load.rss_bytes)),
        family(f"{prefix}_replication_lag_seconds", "gauge", "Replication lag by endpoint, from gauge files.",
               [({**about, "endpoint": endpoint}, lag) for about, load in loads
                for endpoint, lag in load.replication_lag_s.items()]),
    ]  # fmt: skip


class MetricsDoor:
    """Serves `GET /metrics` on 127.0.0.1 in threads of its own; with no port it is no door.

    Args:
        port: 0 takes a free one.

    Raises:
        Conflict: somebody listens there already.
    """

    def __init__(self, port: int | None, text: Callable[[], bytes]) -> None:
        self._server: ThreadingHTTPServer | None = None
        if port is None:
            return
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(text))
        except OSError as error:
            raise Conflict(
                f"cannot serve metrics on 127.0.0.1:{port}: {error.strerror}", "Choose another --metrics PORT"
            ) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()

    @property
    def port(self) -> int | None:
        """Where it listens."""
        return None if self._server is None else self._server.server_address[1]

    def close(self) -> None:
        """Serve nothing more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _handler(text: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version = "nettrace-node"
        sys_version = ""

        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").rpartition(":")
            named = (host[0] or host[2]).strip("[]")
            if named not in _LOOPBACK_NAMES:  # a page elsewhere whose name was bent to this machine
                self._answer(421, b"this node answers as 127.0.0.1 alone\n", "text/plain")
            elif self.path.partition("?")[0] != "/metrics":
                self._answer(404, b"there is /metrics\n", "text/plain")
            elif classic_metrics.wanted(self.headers.get("Accept") or ""):
                self._answer(200, classic_metrics.classic(text()), classic_metrics.MEDIA_TYPE)
            else:
                self._answer(200, text(), MEDIA_TYPE)

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
            """Scrapes are not news."""

    return Handler
