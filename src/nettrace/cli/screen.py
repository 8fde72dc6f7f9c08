"""`nettrace trace --watch`: one path on a live full screen, with what every hop has done so far."""

import select
import sys
import termios
import time
import tty
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nettrace.analysis.geo.route import RouteStretch, route_stretch
from nettrace.cli.family import resolved_targets
from nettrace.cli.naming import Annotator
from nettrace.cli.output import milliseconds
from nettrace.cli.watch import HopHistory, PathHistory, sparkline
from nettrace.errors import Invalid, NetTraceError
from nettrace.measure.probing.path import trace
from nettrace.measure.probing.ping import Driving, ProbeTarget
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.instant import ms
from nettrace.model.path import Place, Trace

LOOK_AGAIN_S = 60.0
"""A name is resolved again this often: a CDN that moves you is a fact."""

KEYS = "q end   p pause   r start over"


def watch_path(
    hosts: Sequence[str],
    family: int | None,
    options: TraceOptions,
    driving: Driving,
    interval_s: float,
    origin: Place | None,
    destination: Place | None,
) -> None:
    """Trace one host again and again until `q` or Ctrl-C.

    Raises:
        Invalid: not one host, no terminal, or a name without an address.
    """
    if len(hosts) != 1:
        raise Invalid("--watch shows one path", "Name one HOST")
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise Invalid("--watch needs a terminal", "Without one, repeat `nettrace trace` and read its lines")
    session = _Session(
        hosts[0], family, options, driving, Annotator(names=True, origin=origin, destination=destination)
    )
    with (
        _keys() as pressed,
        Live(session.screen(), console=Console(), screen=True, auto_refresh=False) as live,
    ):
        while True:
            started = time.monotonic()
            if not session.paused:
                session.step(origin, destination)
            live.update(session.screen(), refresh=True)
            wait_s = max(0.05, interval_s - (time.monotonic() - started))
            key = pressed(wait_s)
            if key in ("q", "\x03"):
                return
            session.press(key)


class _Session:
    """What is watched, how it went, and what the screen shows of it."""

    def __init__(
        self, host: str, family: int | None, options: TraceOptions, driving: Driving, annotator: Annotator
    ) -> None:
        self.paused = False
        self._host = host
        self._family = family
        self._options = options
        self._driving = driving
        self._annotator = annotator
        self._history = PathHistory()
        self._target: ProbeTarget | None = None
        self._looked_at = -LOOK_AGAIN_S
        self._notes: list[str] = []
        self._stretch: RouteStretch | None = None
        self._last: Trace | None = None

    def press(self, key: str | None) -> None:
        """What a key means here."""
        if key == "p":
            self.paused = not self.paused
        elif key == "r":
            self._history = PathHistory()

    def step(self, origin: Place | None, destination: Place | None) -> None:
        """One more trace."""
        self._resolve()
        if self._target is None:
            return
        for result in trace([self._target], self._options, driving=self._driving):
            known = self._annotator.annotated(result)
            self._history.add(known)
            self._last = known
            self._stretch = route_stretch(known, origin, destination)
            if known.reached:  # the next trace need not look for the end again
                self._options = msgspec.structs.replace(self._options, expected_ttl=len(known.hops))

    def _resolve(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_AGAIN_S:
            return
        self._looked_at = time.monotonic()
        known = resolved_targets([self._host], self._family)
        if not known.targets:
            problem = known.problems[0]
            if self._target is None:
                raise NetTraceError(
                    f"{self._host}: {problem['detail']}", "Check the name, or give an address"
                )
            self._notes.append(f"{self._clock()} the name does not resolve any more: {problem['detail']}")
            return
        found = known.targets[0]
        if self._target is not None and self._target.address not in known.addresses[self._host]:
            self._notes.append(f"{self._clock()} moved from {self._target.address} to {found.address}")
            self._history = PathHistory()
            self._target = found
        elif self._target is None:
            self._target = found

    @staticmethod
    def _clock() -> str:
        return time.strftime("%H:%M:%SZ", time.gmtime())

    def screen(self) -> Group:
        """Everything that is shown now."""
        return Group(self._headline(), self._table(), *map(Text, self._footer()))

    def _headline(self) -> Text:
        where = f" ({self._target.address})" if self._target and self._target.address != self._host else ""
        words = f"{self._host}{where}  {self._options.method} flow {self._options.flow_number}"
        state = "paused" if self.paused else self._clock()
        return Text(f"{words}   {state}", style="bold")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, expand=True)
        for name in ("ttl", "hop"):
            table.add_column(name, no_wrap=True, ratio=3 if name == "hop" else None, overflow="ellipsis")
        for name in ("loss", "last", "best", "mean", "worst", "spread", "stretch"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("AS", no_wrap=True)
        table.add_column("place", no_wrap=True, overflow="ellipsis", max_width=18)
        table.add_column("recent", no_wrap=True)
        stretches = {each.ttl: each.stretch for each in self._stretch.hops} if self._stretch else {}
        for row in self._history.hops:
            table.add_row(*_cells(row, stretches.get(row.ttl)))
        return table

    def _footer(self) -> Iterator[str]:
        history, last = self._history, self._last
        yield ""
        if last is not None:
            rtt = milliseconds(ms(last.rtt_ns), 0) if last.reached else "not reached"
            share = f"{history.reached_rounds} of {history.rounds} traces reached the target"
            changes = f", path length changed {history.length_changes}x" if history.length_changes else ""
            stretch = self._stretch.stretch if self._stretch else None
            physics = f", {stretch:.2f}x the fibre floor" if stretch else ""
            yield f"last {rtt} ms{physics}   {share}{changes}   clock {last.clock}"
        yield "Loss at a hop is a router that does not care to answer; it is loss of the path only if it lasts to the end."
        yield from self._notes[-3:]
        yield KEYS


def _cells(row: HopHistory, stretch: float | None) -> tuple[str, ...]:
    hop = row.hop
    others = f" +{len(row.addresses) - 1}" if len(row.addresses) > 1 else ""
    label = (hop.name or hop.address or "*") + others
    loss = row.loss_percent
    times = (row.last_ns, row.best_ns, int(row.mean_ns) if row.received else None, row.worst_ns)
    spread = row.spread_ns
    return (
        str(row.ttl),
        label,
        "-" if loss is None else f"{loss:.0f}%",
        *(milliseconds(ms(value), 0) for value in times),
        milliseconds(ms(int(spread)) if spread is not None else None, 0),
        f"{stretch:.1f}x" if stretch else "",
        f"AS{hop.asn}" if hop.asn else "",
        hop.place.name if hop.place else "",
        sparkline(row.recent),
    )


@contextmanager
def _keys() -> Generator["_Pressed"]:
    """Single key presses from the terminal; its settings come back however this ends."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _Pressed()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class _Pressed:
    """Waits for a key."""

    def __call__(self, wait_s: float) -> str | None:
        """The key pressed within `wait_s` seconds, or None."""
        ready, _, _ = select.select([sys.stdin], [], [], wait_s)
        return sys.stdin.read(1) if ready else None
