"""`nettrace lab demo`: the engine at work in the lab, each result beside the truth."""

import os
import sys
import time
from collections.abc import Iterable
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from nettrace.lab.demo import Demo, Failure, Finding
from nettrace.lab.session import RunningLab
from nettrace.lab.world import Event

if TYPE_CHECKING:
    from rich.table import Table

TARGETS = (
    "engine.binance.lab",
    "engine.bybit.lab",
    "engine.okx.lab",
    "engine.coinbase.lab",
    "engine.kraken.lab",
    "engine.nyse.lab",
    "engine.nasdaq.lab",
    "engine.cme.lab",
    "engine.eurex.lab",
    "engine.hkex.lab",
    "engine.asx.lab",
    "api.alpaca.markets",
    "api.bithumb.com",
    "api.binance.com",
    "api.kraken.com",
    "west.lab",
    "quiet.lab",
    "slow.lab",
    "edge.lab",
)
"""What the demo measures; a world has some of them."""
_WATCHED = 5
_VENUE, _WIDE_CELL = 28, 13
EDGES = ("api.binance.com", "api.kraken.com", "edge.lab")


def run(world: str, *, once: bool, seconds: float | None, unprivileged: bool) -> int:
    """Run the demo; returns the number of findings that contradict the truth."""
    started = time.monotonic()
    screen = Screen()
    screen.say(f"Bringing up the world '{world}' ...")
    with RunningLab.start(world, name=f"demo-{os.getpid()}", unprivileged=unprivileged) as lab:
        status = lab.status()
        root = "no root needed" if status.unprivileged else "as root"
        screen.say(
            f"{len(status.vantages)} vantages, {status.targets} targets, real packets over {status.device}, {root}; "
            f"up in {time.monotonic() - started:.1f} s. Ctrl-C ends all of it."
        )
        demo = Demo(lab, TARGETS)
        bad = 0
        while True:
            bad += _round(demo, screen)
            spent = time.monotonic() - started
            if once or (seconds is not None and spent >= seconds):
                break
        figures = lab.figures()
        screen.say(
            "The lab itself: deliveries behind their deadline p50 {:.0f} us, p99 {:.0f} us.".format(
                *figures.late_us
            )
        )
    screen.say(f"Everything is torn down. {bad} finding{'s' if bad != 1 else ''} against the truth.")
    return bad


def _round(demo: Demo, screen: "Screen") -> int:
    screen.section("Round trip, ms (5 pings, least; in brackets: times the floor of light in fibre)")
    bad = screen.matrix(demo, demo.pings())
    screen.section("HTTPS through edges: the handshake is near, the first byte waits for the origin")
    bad += screen.lines(demo.exchanges([name for name in EDGES if name in demo.targets]))
    cable, pairs = demo.telling_cable()
    watched = list({vantage: (vantage, target) for vantage, target in reversed(pairs)}.values())[-_WATCHED:]
    screen.section(f"Paths before: {len(pairs)} of the pairs cross the cable {cable}")
    bad += screen.lines(demo.traces(watched))
    demo.happen(Event(kind="cut", subject=cable))
    screen.section(f"The cable {cable} is cut; the same pairs, the same flows")
    bad += screen.lines(demo.traces(watched))
    demo.happen(Event(kind="restore", subject=cable))
    screen.say(f"The cable {cable} is mended.")
    return bad


class Screen:
    """A terminal gets a table that fills in; a pipe gets one plain line a finding."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()

    def say(self, text: str) -> None:
        """One line."""
        click.echo(text)

    def section(self, title: str) -> None:
        """A heading."""
        click.echo("\n" + click.style(title, bold=True))

    def lines(self, findings: Iterable[Finding | Failure]) -> int:
        """One line a finding; returns how many contradict the truth."""
        bad = 0
        for found in findings:
            bad += is_bad(found)
            self.say(line(found))
        return bad

    def matrix(self, demo: Demo, findings: Iterable[Finding | Failure]) -> int:
        """Venues by vantages, filled in as results come; returns how many contradict the truth."""
        if not self.live:
            return self.lines(findings)
        from rich.live import Live

        cells: dict[tuple[str, str], Finding] = {}
        failures: list[Failure] = []
        bad = 0
        with Live(_table(demo, cells), refresh_per_second=8) as live:
            for found in findings:
                bad += is_bad(found)
                if isinstance(found, Failure):
                    failures.append(found)
                else:
                    cells[found.target, found.vantage] = found
                live.update(_table(demo, cells))
        for failure in failures:
            self.say(line(failure))
        return bad


def is_bad(found: Finding | Failure) -> bool:
    """True for what contradicts the truth or could not be measured."""
    return isinstance(found, Failure) or not found.right


def line(found: Finding | Failure) -> str:
    """A finding as text."""
    if isinstance(found, Failure):
        return f"{found.vantage:>4}  not measured: {found.words}"
    rtt = f"{found.rtt_ms:9.3f} ms" if found.rtt_ms is not None else f"{'-':>12}"
    words = [f"{found.vantage:>4}  {found.target:<24} {rtt}  truth {found.true_ms:9.3f}"]
    words.append(f"floor {found.floor_ms:8.3f}")
    words.append(f"x{found.stretch:.2f}" if found.stretch else "     ")
    if found.hops is not None:
        words.append(f"{found.hops} hops answered")
    if found.first_byte_ms is not None:
        words.append(f"first byte {found.first_byte_ms:.1f} ms, truth {found.true_first_byte_ms:.1f}")
    if found.kind == "trace":
        words.append("-".join(found.way))
    return "  ".join([*words, found.verdict])


def _table(demo: Demo, cells: dict[tuple[str, str], Finding]) -> "Table":
    from rich.table import Table

    wide = get_terminal_size().columns >= _VENUE + _WIDE_CELL * len(demo.vantages)
    table = Table(pad_edge=False, box=None)
    table.add_column("venue", no_wrap=True, max_width=_VENUE)
    for vantage in demo.vantages:
        table.add_column(vantage, justify="right", no_wrap=True)
    for target in demo.targets:
        host = demo.oracle.topology.targets[target].target
        row = [(host.label if host else None) or target]
        row += [_cell(cells.get((target, vantage)), wide=wide) for vantage in demo.vantages]
        table.add_row(*row)
    return table


def _cell(found: Finding | None, *, wide: bool) -> str:
    if found is None:
        return "[dim]·[/dim]"
    if found.rtt_ms is None:
        return "[red]-[/red]"
    text = f"{found.rtt_ms:.1f}" + (f" ({found.stretch:.1f})" if found.stretch and wide else "")
    return f"[green]{text}[/green]" if found.right else f"[red]{text}![/red]"
