"""`nettrace trace --watch`: one path on a live full screen, with what every hop has done so far."""

import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

from nettrace.analysis.geo.route import RouteStretch, route_stretch
from nettrace.cli.family import resolved_targets
from nettrace.cli.naming import Annotator
from nettrace.cli.output import milliseconds
from nettrace.cli.view import against_light
from nettrace.cli.watch import PathHistory
from nettrace.cli.watch_table import FRESH, Line, table
from nettrace.errors import Invalid, NetTraceError
from nettrace.measure.probing.path import trace
from nettrace.measure.probing.ping import Driving, ProbeTarget
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.instant import ms
from nettrace.model.path import Place, Trace

LOOK_AGAIN_S = 60.0
"""A name is resolved again this often: a CDN that moves you is a fact."""

NOTES_SHOWN = 4
END_KEYS = ("q", "Q", "\x03", "\x04", "\x1b")
KEYS = "q end   p pause   r start over"
ON_LOSS = "Loss at one hop is a router that seldom answers; loss to the end is real."


def watch_path(
    hosts: Sequence[str],
    family: int | None,
    options: TraceOptions,
    driving: Driving,
    interval_s: float,
    origin: Place | None,
    destination: Place | None,
) -> None:
    """Trace one host again and again until `q` or Ctrl-C; the last state stays on the terminal after `q`.

    Raises:
        Invalid: not one host, no terminal, or a name without an address.
    """
    if len(hosts) != 1:
        raise Invalid("--watch shows one path", "Name one HOST")
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise Invalid("--watch needs a terminal", "Without one, repeat `nettrace trace` and read its lines")
    annotator = Annotator(names=True, origin=origin, destination=destination)
    console = Console(highlight=False)
    with _keys() as keys:
        watched = _Watched(
            hosts[0], family, options, msgspec.structs.replace(driving, stop=keys.pressed), annotator
        )
        with Live(console=console, screen=True, auto_refresh=False) as live:
            ended = False
            while not ended:
                started = time.monotonic()
                _draw(live, watched)
                if not watched.paused:
                    watched.step(origin, destination)
                    _draw(live, watched)
                keys.wait(max(0.05, interval_s - (time.monotonic() - started)))
                for key in keys.taken():
                    ended = ended or key in END_KEYS
                    watched.press(key)
        if watched.has_something:
            console.print(watched.screen(console.width, 10_000, keys=False))


def _draw(live: Live, watched: "_Watched") -> None:
    """Draw for the terminal as it is now: COLUMNS and LINES in the environment may be somebody else's."""
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    if columns and lines:
        live.console.size = ConsoleDimensions(columns, lines)
    live.update(watched.screen(live.console.width, live.console.height), refresh=True)


class _Watched:
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
        self._notes: deque[str] = deque(maxlen=NOTES_SHOWN)
        self._route: RouteStretch | None = None
        self._last: Trace | None = None

    @property
    def has_something(self) -> bool:
        """True once a trace has come to its end."""
        return self._last is not None

    def press(self, key: str) -> None:
        """What a key means here."""
        if key == "p":
            self.paused = not self.paused
        elif key == "r":
            self._history = PathHistory()
            self._notes.clear()

    def step(self, origin: Place | None, destination: Place | None) -> None:
        """One more trace; one that a key cut short counts for nothing."""
        self._resolve()
        if self._target is None:
            return
        for result in trace([self._target], self._options, driving=self._driving):
            if self._driving.stop and self._driving.stop() and not result.reached:
                return
            known = self._annotator.annotated(result)
            news = self._history.add(known)
            if news:
                self._note(news)
            self._last = known
            self._route = route_stretch(known, origin, destination)
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
            self._note(f"the name does not resolve any more: {problem['detail']}")
            return
        found = known.targets[0]
        if self._target is None:
            self._target = found
        elif self._target.address not in known.addresses[self._host]:
            self._note(f"moved from {self._target.address} to {found.address}")
            self._history = PathHistory()
            self._target = found

    def _note(self, words: str) -> None:
        self._notes.append(f"{_clock()} {words}")

    def screen(self, width: int, height: int, *, keys: bool = True) -> Text:
        """Everything that is shown now, no line longer and no more lines than there is room for."""
        footer = [*self._footer(width), *([KEYS] if keys else [])]
        rows = table(self._history, self._stretches(), width, max(3, height - len(footer) - 3))
        lines = [self._headline(), *(_styled(row) for row in rows), Text()]
        lines += [Text(line[:width], style="dim" if line in (KEYS, ON_LOSS) else "") for line in footer]
        return Text("\n", no_wrap=True, overflow="ellipsis").join(lines[:height])

    def _stretches(self) -> dict[int, float | None]:
        return {each.ttl: each.stretch for each in self._route.hops} if self._route else {}

    def _headline(self) -> Text:
        where = f" ({self._target.address})" if self._target and self._target.address != self._host else ""
        state = "paused" if self.paused else _clock()
        return Text(
            f"{self._host}{where}  {self._options.method} flow {self._options.flow_number}   {state}", "bold"
        )

    def _footer(self, width: int) -> Iterator[str]:
        history, last = self._history, self._last
        if last is None:
            yield "looking for the path ..."
            return
        end = f"last {milliseconds(ms(last.rtt_ns), 0)} ms" if last.reached else f"not reached ({last.stop})"
        floor = self._route.floor if self._route else None
        stretch = self._route.stretch if self._route else None
        physics = against_light(ms(last.rtt_ns), ms(floor.vacuum_ns) if floor else None, stretch)
        reached = f"{history.reached_rounds} of {history.rounds} traces reached the target"
        yield from _packed([end, physics if last.reached else "", reached, f"clock {last.clock}"], width)
        yield from self._notes
        if any(row.since for row in history.hops if history.is_fresh(row)):
            yield f"{FRESH} is new on the path; its figures begin with it"
        yield ON_LOSS


def _packed(facts: Sequence[str], width: int) -> Iterator[str]:
    """Facts side by side, in as many lines as they need."""
    line = ""
    for fact in filter(None, facts):
        if line and len(line) + 3 + len(fact) > width:
            yield line
            line = fact
        else:
            line = f"{line}   {fact}" if line else fact
    yield line


def _styled(line: Line) -> Text:
    return Text(line.text, style="yellow" if line.fresh else "")


def _clock() -> str:
    return time.strftime("%H:%M:%SZ", time.gmtime())


@contextmanager
def _keys() -> Generator["_Keys"]:
    """Single key presses from the terminal; its settings come back however this ends."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _Keys(sys.stdin.fileno())
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class _Keys:
    """Keys that were pressed and not taken yet."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        self._waiting: deque[str] = deque()

    def pressed(self) -> bool:
        """True when a key waits to be taken: then whatever takes long should come to its end."""
        self.wait(0)
        return bool(self._waiting)

    def wait(self, seconds: float) -> None:
        """Wait for a key, but no longer than this, and not at all when one waits already."""
        ready, _, _ = select.select([self._fileno], [], [], 0 if self._waiting else seconds)
        if ready:
            # Nothing to read where something was announced: the terminal is gone, and so is the watcher.
            self._waiting.extend(os.read(self._fileno, 64).decode("utf-8", "replace") or "q")

    def taken(self) -> list[str]:
        """The keys that wait, in order; they wait no longer."""
        keys = list(self._waiting)
        self._waiting.clear()
        return keys
