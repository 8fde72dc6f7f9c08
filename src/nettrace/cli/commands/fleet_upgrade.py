"""`nettrace fleet upgrade`: every machine runs what it should, a few at a time, each well before the next."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

import nettrace
from nettrace.cli.fleet_doing import confirmed, hub_here, minted, node_of
from nettrace.cli.fleet_facts import file_option, fleet_of, machines_of, providers_of
from nettrace.cli.folder import data_option
from nettrace.errors import Conflict

if TYPE_CHECKING:
    from nettrace.outside.providers.upgrade import Outcome
    from nettrace.placement.fleet_upgrade import Due, Upgrade

PATIENCE_S = 300.0


class _Clock:
    """This machine's, which is the hub's."""

    def now(self) -> int:
        return time.time_ns()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


@click.command("upgrade")
@file_option
@click.option(
    "--to", metavar="VERSION", help="What a replaced node has to report. Default: this program's version."
)
@click.option(
    "--at-once", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="K",
    help="How many machines are replaced together.",
)  # fmt: skip
@click.option(
    "--patience", type=click.FloatRange(1), default=PATIENCE_S, show_default=True, metavar="SECONDS",
    help="How long a node may take to hand over, and how long to be well again.",
)  # fmt: skip
@click.option(
    "--confirm", metavar="TOKEN", help="The token this command shows without it; without it you are asked."
)
@data_option
def upgrade_command(
    file: Path, to: str | None, at_once: int, patience: float, confirm: str | None, data: Path | None
) -> None:
    """Replace what runs older than it should: drain, replace, wait until it is well; else put back and stop.

    Well is: it reports the new version, may measure what it could before, measures, and light does not contradict it.
    Twice changes nothing; after an interruption it goes on where it stopped. Run it on the hub's machine.
    """
    from nettrace.hub.fleet_nodes import FleetNodes
    from nettrace.hub.open import folder_of
    from nettrace.outside.providers.port import Order
    from nettrace.outside.providers.upgrade import Rolling
    from nettrace.placement.fleet import wanted
    from nettrace.placement.fleet_upgrade import upgrade

    hub_here(data)
    fleet = fleet_of(file)
    providers = providers_of(fleet, data)
    version = to or nettrace.__version__
    nodes = FleetNodes(folder_of(data))
    try:
        plan = upgrade(wanted(fleet), machines_of(fleet, providers), nodes.all(), version, nodes.begun())
        _show(plan, version, at_once, click.echo)
        if not plan.due:
            return
        confirmed(
            confirm, plan.confirm, "Replace them?", "Without --confirm the command shows what is due now"
        )
        told, token = node_of(fleet), minted(data)

        def order(due: "Due") -> Order:
            return Order(due.wanted, told(due.wanted, due.machine.place), token(due.wanted.code))

        rolling = Rolling(
            providers, nodes, order, to=version, patience_s=patience, clock=_Clock(), say=click.echo
        )
        _tell(rolling.upgrade(plan, at_once))
    finally:
        nodes.close()


def _show(plan: "Upgrade", version: str, at_once: int, say: Callable[[str], None]) -> None:
    for name in plan.current:
        say(f"  keep     {name:<24} {version}")
    for each in plan.due:
        say(f"  replace  {each.wanted.name:<24} {each.wanted.provider}:{each.machine.place:<6} {each.why}")
    for note in plan.notes:
        say(f"  note     {note}")
    say(f"{len(plan.due)} to replace by version {version}, {at_once} at a time.")


def _tell(outcome: "Outcome") -> None:
    if outcome.failed:
        raise Conflict(
            f"stopped: {len(outcome.done)} replaced, {len(outcome.failed)} failed "
            f"({', '.join(name for name, _ in outcome.failed)}), {len(outcome.left)} left alone",
            "Mend what is said above, then upgrade again: what is done is not done twice",
        )
    click.echo(f"{len(outcome.done)} replaced, all well.")
