"""What the commands on a fleet's machines read before they do anything: file, providers, machines, prices, regions."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from nettrace.errors import NetTraceError

if TYPE_CHECKING:
    from nettrace.outside.providers.port import Provider
    from nettrace.placement.fleet import Machine
    from nettrace.placement.fleet_file import Fleet, Prices


file_option = click.option(
    "--file", "file", default="fleet.toml", show_default=True, metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False), help="What the fleet should be.",
)  # fmt: skip


def fleet_of(file: Path) -> "Fleet":
    """The fleet a file asks for.

    Raises:
        ConfigError: it cannot be read, or is not what it should be.
    """
    from nettrace.placement.fleet_file import read_fleet
    from nettrace.runtime.named_file import read_text

    return read_fleet(read_text(file, by="--file (docs/guides/fleet.md shows how to write one)"), str(file))


def providers_of(fleet: "Fleet", data: Path | None) -> "dict[str, Provider]":
    """Those the file names."""
    from nettrace.hub.open import folder_of
    from nettrace.outside.notify.secret import secret
    from nettrace.outside.providers.fly import FlyMachines
    from nettrace.outside.providers.local import LocalMachines
    from nettrace.outside.providers.port import Secret
    from nettrace.outside.providers.ssh import SshMachines

    named = {group.provider for group in fleet.machines}
    folder = folder_of(data).folder / "fleet"
    program = fleet.local.program
    local = LocalMachines(fleet.name, folder, program) if program else LocalMachines(fleet.name, folder)
    made: dict[str, Provider] = {"local": local}
    if fleet.fly is not None:
        made["fly"] = FlyMachines(fleet, fleet.fly, Secret(secret(fleet.fly.token, "[fly] token")))
    if "ssh" in named:
        made["ssh"] = SshMachines(fleet.name, fleet.ssh)
    return made


def machines_of(fleet: "Fleet", providers: "dict[str, Provider]") -> "list[Machine]":
    """All machines with the fleet's label, of all its providers."""
    hosts = [host for group in fleet.machines for host in group.hosts]
    return [machine for provider in providers.values() for machine in provider.machines(hosts)]


def prices_of(fleet: "Fleet", file: Path) -> "Prices | None":
    """The sheet beside the file, or from its address, as it is today."""
    from nettrace.outside.download import fetch
    from nettrace.placement.fleet_file import read_prices
    from nettrace.runtime.named_file import read_text

    if not fleet.prices:
        return None
    if "://" not in fleet.prices:
        sheet = file.parent / fleet.prices
        return read_prices(read_text(sheet, by=f"'prices' in {file}, or leave that out"))
    with TemporaryDirectory() as folder:
        sheet = Path(folder) / "prices.toml"
        fetch(fleet.prices, sheet)
        return read_prices(sheet.read_text(encoding="utf-8"))


def regions_of(providers: "dict[str, Provider]", say: Callable[[str], None]) -> frozenset[str] | None:
    """Fly's regions as they are now, or None; says when they were asked for."""
    from nettrace.outside.providers.fly import FlyMachines

    fly = providers.get("fly")
    if not isinstance(fly, FlyMachines):
        return None
    try:
        found = fly.regions()
    except NetTraceError as problem:
        say(f"Fly's regions are not known now: {problem}")
        return None
    say(f"Fly has {len(found)} regions as of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    return found
