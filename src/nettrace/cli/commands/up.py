"""`nettrace up`: a hub, and a node on this machine, until Ctrl-C."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from nettrace.cli.facts import claims_known, claims_option, refuse_unsound, registry_option, registry_with
from nettrace.cli.folder import data_option
from nettrace.cli.output import note
from nettrace.errors import AccessError, Invalid

if TYPE_CHECKING:
    from nettrace.hub.link import HubWriter
    from nettrace.hub.place import Data
    from nettrace.hub.programs import Bind
    from nettrace.model.target import Target
    from nettrace.runtime.supervise import Program

LOCAL = "local"
"""The region of the node on the hub's own machine, unless NETTRACE_PLACE names one."""


@click.command()
@click.option(
    "--bind", default="127.0.0.1:8787", show_default=True, metavar="HOST:PORT", help="Where to listen."
)
@data_option
@click.option("--no-node", is_flag=True, help="Only the hub: nodes elsewhere measure.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="API processes.")
@click.option(
    "--targets", "file", type=click.Path(path_type=Path, dir_okay=False), help="Watch these (TOML) as well."
)
@click.option("--only-targets", is_flag=True, help="With --targets: watch nothing else.")
@click.option(
    "--interval", type=float, metavar="SECONDS",
    help="Between round-trip rounds; exchanges and traces are 15 times rarer. 60 unless set before.",
)  # fmt: skip
@click.option(
    "--keep", multiple=True, metavar="WHAT=DAYS",
    help="How long raw, 15m or 1h is kept: raw=365. 730, 90 and 730 days unless set before.",
)  # fmt: skip
@registry_option
@claims_option
@click.option(
    "--public-host", multiple=True, metavar="NAME", help="A name this hub is reached by from outside."
)
def command(
    bind: str, data: Path | None, no_node: bool, workers: int, file: Path | None, only_targets: bool,
    interval: float | None, keep: tuple[str, ...], public_host: tuple[str, ...], registry: Path | None,
    claims: Path | None,
) -> None:  # fmt: skip
    """Run a hub and measure from here; its address is printed once it answers. Ctrl-C ends all of it.

    On this machine alone no key is needed as long as none was made. To listen beyond it, make a key first.
    """
    from nettrace.catalogue.load import read_file
    from nettrace.hub.assignment import cadence
    from nettrace.hub.facts import CLAIMS_SETTING, SETTING
    from nettrace.hub.place import Data, default_folder
    from nettrace.hub.programs import Bind, refuse_taken
    from nettrace.store.retention import Retention, changed

    if only_targets and file is None:
        raise click.UsageError("--only-targets needs --targets FILE")
    place, where = Data(data or default_folder()), Bind(bind)
    place.make()
    refuse_taken(place)
    if not where.loopback:
        _refuse_open_door(place, where)
    if interval is not None:
        cadence(interval)
    changed(Retention(), keep)  # refused before anything is started
    if registry is not None:
        registry_with(registry)  # likewise
        os.environ[SETTING] = str(registry.absolute())
    if claims is not None:
        refuse_unsound(claims_known(claims), registry_with(registry))
        os.environ[CLAIMS_SETTING] = str(claims.absolute())
    own = read_file(str(file)) if file else ()

    def furnish(link: "HubWriter") -> None:
        prepare(link, own, interval, only=only_targets)
        retain(link, keep)

    run(place, where, furnish, workers=workers, node=not no_node, public_hosts=public_host)


def run(
    data: "Data", bind: "Bind", furnish: "Callable[[HubWriter], None]", *, workers: int, node: bool,
    public_hosts: Sequence[str],
) -> None:  # fmt: skip
    """Keep hub and node running until a signal."""
    from nettrace.hub.link import blocking_link
    from nettrace.hub.programs import api_program, courier_program, writer_program
    from nettrace.runtime.logs import Log
    from nettrace.runtime.supervise import Supervisor

    listener = bind.listen()
    apis = [api_program(number, data, bind, [listener], public_hosts) for number in range(1, workers + 1)]
    with listener, Supervisor([writer_program(data), *apis], Log("hub")) as supervisor:
        supervisor.start()
        if supervisor.ending:
            return
        link = blocking_link(data.socket)
        try:
            furnish(link)
            if node:
                supervisor.add(_local_node(link, data, bind))
            supervisor.add(courier_program(data))
        finally:
            link.close()
        click.echo(bind.url)
        note(f"nettrace: the hub answers at {bind.url}, its data is in {data.folder}. Ctrl-C ends it.")
        supervisor.watch()
    note("nettrace: ended; everything acknowledged is on disk")


def prepare(link: "HubWriter", own: "Sequence[Target]", interval: float | None, *, only: bool) -> None:
    """Bring the user's targets and cadence into the store where they differ; the catalogue only into an empty one."""
    from nettrace.catalogue.load import built_in, merged
    from nettrace.hub.assignment import SETTING, Orders, cadence

    now = time.time_ns()
    known = {target.host: target for target in link.known_targets()}
    wanted = merged([() if known or only else built_in(), own])
    changed = [target for target in wanted if known.get(target.host) != target]
    if changed:
        link.put_targets(changed, now)
        note(f"nettrace: {len(changed)} targets are new or changed")
    if interval is not None:
        text = link.setting(SETTING)
        orders = msgspec.json.decode(text, type=Orders) if text else Orders()
        if orders.cadence != cadence(interval):
            orders = msgspec.structs.replace(orders, cadence=cadence(interval))
            link.put_setting(SETTING, msgspec.json.encode(orders), now)


def retain(link: "HubWriter", words: tuple[str, ...]) -> None:
    """Bring what is said of keeping into the store, beside what was said before."""
    from nettrace.store.retention import SETTING, changed, retention_of

    text = link.setting(SETTING)
    kept = changed(retention_of(text), words)
    if words and kept != retention_of(text):
        link.put_setting(SETTING, msgspec.json.encode(kept), time.time_ns())
        note(f"nettrace: keeps raw {kept.raw_days}, 15m {kept.quarter_days}, 1h {kept.hour_days} days")


def _local_node(link: "HubWriter", data: "Data", bind: "Bind") -> "Program":
    """The node on this machine; it gets a token of its own when this hub does not know it yet."""
    from nettrace.hub.enrolment import make_token, valid_region
    from nettrace.hub.programs import node_program

    identity = data.node / "identity.json"
    known = {vantage.node: vantage.code for vantage in link.known_nodes() if vantage.state != "revoked"}
    region, token = None, data.folder / "node.token"
    with suppress(OSError, msgspec.DecodeError):
        region = known.get(msgspec.json.decode(identity.read_bytes(), type=_Identity).node)
    if region is None:
        identity.unlink(missing_ok=True)  # of another hub, or of a life of this one that was restored away
        try:
            region = valid_region(os.environ.get("NETTRACE_PLACE", LOCAL))
        except Invalid:
            region = LOCAL
        write_token(token, make_token(link, region, time.time_ns()))
    return node_program(bind.url, region, data.node, token)


class _Identity(msgspec.Struct):
    node: str


def write_token(path: Path, token: str) -> None:
    """A token in a file that only its owner may read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")


def _refuse_open_door(data: "Data", bind: "Bind") -> None:
    from nettrace.hub.open import open_reader

    keys: Sequence[object] = ()
    if data.database.exists():
        reader = open_reader(data)
        keys = reader.keys()
        reader.close()
    if not keys:
        raise AccessError(
            f"{bind} can be reached from other machines, and this hub has no key yet: everybody could use it",
            f"Make one first: nettrace keys create --tier enterprise --data {data.folder}",
        )
