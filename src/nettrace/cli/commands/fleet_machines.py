"""`nettrace fleet plan|apply|upgrade|ls|status|logs|destroy`: the machines nodes run on, from one fleet.toml."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.commands.fleet_upgrade import upgrade_command
from nettrace.cli.fleet_doing import confirmed, hub_here, minted, node_of
from nettrace.cli.fleet_facts import file_option, fleet_of, machines_of, prices_of, providers_of, regions_of
from nettrace.cli.folder import data_option
from nettrace.errors import Conflict, NetTraceError, NotFound

if TYPE_CHECKING:
    from nettrace.outside.providers.port import Provider
    from nettrace.placement.fleet import Machine, Plan
    from nettrace.placement.fleet_file import Fleet

names_argument = click.argument("names", nargs=-1, metavar="[MACHINE]...")


def _planned(
    fleet: "Fleet", file: Path, providers: "dict[str, Provider]", say: Callable[[str], None]
) -> "Plan":
    from nettrace.placement.fleet import plan, wanted

    prices = prices_of(fleet, file)
    if prices is not None:
        say(f"prices of {prices.fetched}: {prices.source}")
    regions = regions_of(providers, say)
    return plan(wanted(fleet), machines_of(fleet, providers), prices, _today(), regions)


def _today() -> date:
    return datetime.now(UTC).date()


def _show(plan: "Plan", say: Callable[[str], None]) -> None:
    for each in plan.kept:
        say(f"  keep     {each.name:<24} {each.provider}:{each.place:<6} {each.state}")
    for step in plan.steps:
        cost = "price unknown" if step.usd is None else f"${step.usd:.2f}/month"
        size = f" {step.wanted.size}" if step.wanted.size else ""
        places = ", else ".join(step.wanted.places)
        say(f"  {step.kind:<8} {step.wanted.name:<24} {step.wanted.provider}:{places}{size}  {cost}")
    for note in plan.notes:
        say(f"  note     {note}")
    least = f", and {plan.unknown} machines of unknown price" if plan.unknown else ""
    say(f"The fleet will cost ${plan.usd:.2f} a month{least}; {len(plan.steps)} steps.")


@click.command("plan")
@file_option
@data_option
def plan_command(file: Path, data: Path | None) -> None:
    """What apply would do and what the fleet then costs a month; creates nothing.

    Costs are for the first region of each list: a fallback may cost another price.
    """
    fleet = fleet_of(file)
    plan = _planned(fleet, file, providers_of(fleet, data), _to_stderr)
    _show(plan, click.echo)
    if plan.steps:
        click.echo(f"Do it: nettrace fleet apply --file {file} --confirm {plan.confirm}")


@click.command("apply")
@file_option
@click.option(
    "--confirm", metavar="TOKEN", help="The token of the plan that was shown; without it you are asked."
)
@data_option
def apply_command(file: Path, confirm: str | None, data: Path | None) -> None:
    """Make the fleet what the file says; run it on the hub's machine.

    Twice changes nothing, after an interruption it resumes, a region without room hands over to the next of its list.
    Nothing is ever destroyed by it.
    """
    from nettrace.outside.providers.apply import apply

    fleet = fleet_of(file)
    providers = providers_of(fleet, data)
    plan = _planned(fleet, file, providers, _to_stderr)
    _show(plan, click.echo)
    if not plan.steps:
        return
    hub_here(data)
    confirmed(confirm, plan.confirm, "Take these steps?", "nettrace fleet plan shows it")
    done = apply(plan, providers, node_of(fleet), minted(data), click.echo)
    if done.failed:
        raise Conflict(
            f"{len(done.failed)} of {len(plan.steps)} steps failed",
            "Apply again: what is done is not done twice",
        )


@click.command("ls")
@file_option
@data_option
def ls_command(file: Path, data: Path | None) -> None:
    """The fleet's machines as their providers know them, one a line; no other machine is looked at."""
    fleet = fleet_of(file)
    for each in sorted(machines_of(fleet, providers_of(fleet, data)), key=lambda one: one.name):
        click.echo(
            f"{each.name:<28} {each.provider}:{each.place:<12} {each.state:<10} {each.size}  {each.id}"
        )


@click.command("status")
@file_option
@data_option
def status_command(file: Path, data: Path | None) -> None:
    """Each wanted machine beside what its provider and the hub say of it; exit 3 when one is not well."""
    from nettrace.placement.fleet import wanted

    fleet = fleet_of(file)
    there = {(each.provider, each.name): each for each in machines_of(fleet, providers_of(fleet, data))}
    heard = _heard(data)
    ill = 0
    for each in wanted(fleet):
        machine = there.pop((each.provider, each.name), None)
        state = "missing" if machine is None else f"{machine.state} in {machine.place}"
        node = heard.get(each.code, "not enrolled")
        well = machine is not None and machine.state == "started" and node.startswith("active, heard")
        ill += not well
        click.echo(f"{'ok ' if well else 'BAD'} {each.name:<28} {state:<24} {node}")
    for machine in there.values():
        click.echo(f"??? {machine.name:<28} {machine.state} in {machine.place}, not wanted")
    if ill:
        raise SystemExit(3)


def _heard(data: Path | None) -> dict[str, str]:
    """By code, what the hub knows of the newest node that is not revoked; quiet for three minutes is not well."""
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.model.instant import NS_PER_S, rfc3339
    from nettrace.model.vantage import VantageState

    reader = open_reader(folder_of(data))
    try:
        nodes = [row.vantage for row in reader.nodes() if not row.vantage.third_party]
        rows = [each for each in nodes if each.state is not VantageState.REVOKED]
    finally:
        reader.close()
    said: dict[str, str] = {}
    for each in sorted(rows, key=lambda one: one.enrolled_at):
        if each.last_seen is None:
            said[each.code] = f"{each.state}, never heard of"
        else:
            quiet = time.time_ns() - each.last_seen > 180 * NS_PER_S
            said[each.code] = (
                f"{each.state}, {'QUIET since' if quiet else 'heard of'} {rfc3339(each.last_seen)}"
            )
    return said


@click.command("logs")
@click.argument("name", metavar="MACHINE")
@click.option(
    "--lines", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most."
)
@file_option
@data_option
def logs_command(name: str, lines: int, file: Path, data: Path | None) -> None:
    """The newest lines of one machine: what its node printed; of a Fly machine its events."""
    fleet = fleet_of(file)
    providers = providers_of(fleet, data)
    for machine in _chosen(machines_of(fleet, providers), (name,)):
        for line in providers[machine.provider].logs(machine, lines):
            click.echo(line)


def _chosen(machines: "Iterable[Machine]", names: tuple[str, ...]) -> "list[Machine]":
    """Those of the names; a name may be written without the fleet's in front.

    Raises:
        NotFound: one of them is not there.
    """
    there = {each.name: each for each in machines}
    for name in names:
        if name not in there:
            raise NotFound(f"this fleet has no machine '{name}'", "nettrace fleet ls shows them")
    return [there[name] for name in dict.fromkeys(names)]


@click.command("destroy")
@names_argument
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="The whole fleet, not only what the file does not want any more.",
)
@click.option(
    "--confirm", metavar="TOKEN", help="The token this command shows without it: of exactly these machines."
)
@file_option
@data_option
def destroy_command(
    names: tuple[str, ...], everything: bool, confirm: str | None, file: Path, data: Path | None
) -> None:
    """Destroy machines of the fleet and revoke their nodes. Without --confirm it only says which.

    Without names: those the file does not want any more. Only machines with this fleet's label are ever touched.
    """
    from nettrace.placement.fleet import doomed, wanted

    fleet = fleet_of(file)
    providers = providers_of(fleet, data)
    existing = machines_of(fleet, providers)
    if names:
        existing = _chosen(existing, names)
    elif not everything:
        keep = {(each.provider, each.name) for each in wanted(fleet)}
        existing = [each for each in existing if (each.provider, each.name) not in keep]
    chosen, right = doomed(existing, ())
    for each in chosen:
        click.echo(f"  destroy  {each.name:<24} {each.provider}:{each.place} {each.state}  {each.id}")
    if not chosen:
        click.echo("Nothing to destroy.")
        return
    if confirm is None:
        click.echo(
            f"Nothing was done. To destroy these {len(chosen)}: the same command with --confirm {right}"
        )
        return
    confirmed(confirm, right, "", "Without --confirm the command shows what is there now")
    failed = [
        each.name for each in chosen if not _destroyed(each, providers[each.provider], fleet.name, data)
    ]
    if failed:
        raise Conflict(f"{len(failed)} are still there: {', '.join(failed)}", "Run it again")


def _destroyed(machine: "Machine", provider: "Provider", fleet: str, data: Path | None) -> bool:
    try:
        provider.destroy(machine)
    except NetTraceError as problem:
        click.echo(f"{machine.name}: {problem}")
        return False
    click.echo(f"{machine.name}: destroyed")
    code = machine.name.removeprefix(f"{fleet}-")
    try:
        _revoke(code, data)
    except NetTraceError as problem:
        click.echo(
            f"{machine.name}: its node is NOT revoked ({problem}); on the hub: nettrace fleet revoke {code}"
        )
    return True


def _revoke(code: str, data: Path | None) -> None:
    """A machine that is gone has no node: what was on its disk lets nobody in."""
    from nettrace.hub.open import folder_of, open_reader, writer
    from nettrace.model.vantage import VantageState

    place = folder_of(data)
    reader = open_reader(place)
    try:
        rows = [row.vantage for row in reader.nodes()]
    finally:
        reader.close()
    gone = [each.node for each in rows if each.code == code and each.state is not VantageState.REVOKED]
    if gone:
        with writer(place) as store:
            for node in gone:
                store.set_state(node, VantageState.REVOKED, time.time_ns())


@click.command("config")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@file_option
def config_command(folder: Path, file: Path) -> None:
    """Write FOLDER/fly.CODE.toml for each machine at Fly, for those who deploy with fly deploy."""
    from nettrace.placement.fleet import fly_configuration, wanted

    fleet = fleet_of(file)
    folder.mkdir(parents=True, exist_ok=True)
    for each in wanted(fleet):
        if each.provider == "fly":
            made = folder / f"fly.{each.code}.toml"
            made.write_text(fly_configuration(fleet, each), encoding="utf-8")
            click.echo(made)


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


COMMANDS = (
    plan_command, apply_command, upgrade_command, ls_command, status_command, logs_command, destroy_command, config_command,
)  # fmt: skip
