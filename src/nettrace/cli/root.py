"""The `nettrace` command: loads a subcommand only when it is called, and ends with the contract's exit codes."""

import gc
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from nettrace import __version__
from nettrace.cli.exits import FAILED, INTERRUPTED, USAGE
from nettrace.errors import NetTraceError

COMMANDS = {
    "ping": ("nettrace.cli.commands.ping", "Round-trip times as a distribution, each with its error bar."),
    "trace": ("nettrace.cli.commands.trace", "The path to a target, hop by hop; --watch keeps it on screen."),
    "sweep": ("nettrace.cli.commands.sweep", "Trace thousands of targets at a set packet rate."),
    "http": ("nettrace.cli.commands.http", "DNS, connect, TLS and first byte of a URL, each by itself."),
    "ws": ("nettrace.cli.commands.ws", "A WebSocket's stages and the round trips of its pings."),
    "dns": ("nettrace.cli.commands.dns", "Ask a resolver, timed by the kernel."),
    "stamp": (
        "nettrace.cli.commands.stamp",
        "Both ways of a path by themselves (STAMP), or answer others' tests.",
    ),
    "remote": (
        "nettrace.cli.commands.remote",
        "Measure from other people's vantages: no server of your own needed.",
    ),
    "routes": ("nettrace.cli.commands.routes", "How the routes of recorded traces changed."),
    "blame": ("nettrace.cli.commands.blame", "Which leg got worse, from traces of many vantages."),
    "claim": ("nettrace.cli.commands.claim", "Judge a latency claim against the speed of light."),
    "where": (
        "nettrace.cli.commands.where",
        "Where a host stands, edge and origin, by light from many places.",
    ),
    "registry": (
        "nettrace.cli.commands.registry",
        "Facts of venues and sites: where, since when, who says so.",
    ),
    "up": ("nettrace.cli.commands.up", "Run a hub and measure from here, all day."),
    "demo": ("nettrace.cli.commands.demo", "The main job in an internet of our own; Ctrl-C ends all of it."),
    "fleet": (
        "nettrace.cli.commands.fleet",
        "Nodes elsewhere: enrol, drain, revoke; machines from one file.",
    ),
    "keys": ("nettrace.cli.commands.keys", "API keys of this hub: create, list, change, rotate, revoke."),
    "targets": ("nettrace.cli.commands.targets", "What is watched: list, add, remove, check."),
    "validate": ("nettrace.cli.commands.validate", "What was expected against what was measured, and light."),
    "estimate": (
        "nettrace.cli.commands.estimate",
        "What a round trip probably is where nobody measured it.",
    ),
    "plan": ("nettrace.cli.commands.plan", "Choose sites for trading servers: the least cost, proven."),
    "signals": (
        "nettrace.cli.commands.signals",
        "Find shifts, spikes, trends and loss in recorded RTT series.",
    ),
    "market": (
        "nettrace.cli.commands.market",
        "Hold latency against markets, honestly; nothing trades.",
    ),
    "alerts": ("nettrace.cli.commands.alerts", "Rules, incidents, and where they are told."),
    "lab": ("nettrace.cli.commands.lab", "An internet in a box: real packets, known truth."),
    "node": ("nettrace.cli.commands.node", "Measure from here for a hub, and bring everything home."),
    "doctor": (
        "nettrace.cli.commands.doctor",
        "What this host permits, why not, and the one command that changes it.",
    ),
    "import": ("nettrace.cli.commands.import_", "Read other people's measurements into NetTrace's shape."),
    "query": ("nettrace.cli.commands.query", "Read-only SQL over everything a hub has stored."),
    "export": ("nettrace.cli.commands.export", "What a hub has stored, as CSV, NDJSON, Parquet or Arrow."),
    "mcp": (
        "nettrace.cli.commands.mcp",
        "Tools for an assistant: the Model Context Protocol on stdio or HTTP.",
    ),
    "store": ("nettrace.cli.commands.store", "A hub's data: check, back up, restore."),
    "databases": ("nettrace.cli.commands.databases", "AS and place databases: list, add, update."),
    "completion": ("nettrace.cli.commands.completion", "Shell completion for bash, zsh or fish."),
}
"""name -> (module with a click command called `command`, one line of help)."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-liners, and imports a command only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a first walk."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        _loaded()
        if isinstance(command, click.Group):
            _say_whole_sentences(command)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`, from the one-liners alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command meant; an unknown one gets the nearest name as a hint."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(error.message + hint, ctx) from error


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Without a command: a ten-second ranked snapshot of a dozen venues from here.",
)
@click.version_option(__version__, prog_name="nettrace")
@click.option("--from", "here", metavar="PLACE", envvar="NETTRACE_PLACE", help="Where this machine stands.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "ndjson", "json", "csv"]), help="Snapshot's form."
)
@click.option("--fail-if", metavar="CONDITION", help="Exit 3 when a venue of the snapshot meets it.")
@click.pass_context
def group(ctx: click.Context, here: str | None, output: str | None, fail_if: str | None) -> None:
    """How fast, how surely and by which way financial networks are reached, measured from here."""
    if ctx.invoked_subcommand is None:
        from nettrace.cli.commands.snapshot import command

        _loaded()
        ctx.invoke(command, here=here, output=output, fail_if=fail_if)
    elif output or fail_if:
        raise click.UsageError(f"Options of '{ctx.invoked_subcommand}' stand behind its name")


def main() -> NoReturn:
    """Run the command line and exit: NetTrace's own errors become one line on stderr and their exit code."""
    _open_streams()
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        code = group.main(prog_name="nettrace", standalone_mode=False)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = USAGE
    except NetTraceError as error:
        _complain(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except OSError as error:
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}")
        code = FAILED
    sys.exit(code if isinstance(code, int) else 0)


def _loaded() -> None:
    """Collect garbage again, which `nettrace.__main__` put off: modules live for ever, so no collection looks at them."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _say_whole_sentences(group: click.Group) -> None:
    """In the list of a group's commands first sentences wrap; click would cut them off in the middle."""
    for each in group.commands.values():
        each.short_help = each.get_short_help_str(sys.maxsize)


def _open_streams() -> None:
    """A program started with `>&-` or `2>&-` writes into nothing instead of stumbling over it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open to the end


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    """A request to end (`kill`, `timeout`, a service manager) is met as Ctrl-C is: what is known is handed out first."""
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)
    else:  # started in the background by a shell that ignores Ctrl-C for it
        raise KeyboardInterrupt


def _complain(words: str) -> None:
    from nettrace.cli.output import note

    with suppress(OSError):  # nobody reads stderr: the exit code says it too
        note(f"nettrace: {words}")
