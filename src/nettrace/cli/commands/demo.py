"""`nettrace demo`: hub, dashboard and nodes in an internet of our own, with incidents that say so."""

import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from nettrace.cli.commands.up import write_token
from nettrace.cli.footprint import Footprint
from nettrace.cli.output import fold, page_width
from nettrace.cli.scene import LabScene, LoopbackScene, Scene, token_file
from nettrace.errors import Conflict

if TYPE_CHECKING:
    import socket

    from nettrace.hub.link import HubWriter
    from nettrace.hub.place import Data
    from nettrace.hub.programs import Bind
    from nettrace.runtime.supervise import Supervisor

_STATUS_S, _INCIDENT_S, _LASTS_S = 5.0, 75.0, 240.0
_ONCE_S = 120.0


class Limit(NamedTuple):
    """When the demo ends by itself: after so long, or as soon as every vantage has reported."""

    seconds: float | None
    once: bool


@click.command()
@click.argument("world", default="world")
@click.option(
    "--bind", default="127.0.0.1:8787", show_default=True, metavar="HOST:PORT", help="Where to listen."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the demo's data here. Default: thrown away.",
)
@click.option(
    "--interval", type=float, default=5.0, show_default=True, help="Seconds between round-trip rounds."
)
@click.option("--seconds", type=float, help="End by itself; exit 1 unless every vantage reported.")
@click.option(
    "--once", is_flag=True, help="End as soon as every vantage has reported; exit 1 after two minutes."
)
@click.option("--unprivileged", is_flag=True, help="Do without root's rights even as root.")
@click.option("--plain", is_flag=True, help="Without the lab: one node, servers on loopback.")
def command(
    world: str,
    bind: str,
    data: Path | None,
    interval: float,
    seconds: float | None,
    once: bool,
    unprivileged: bool,
    plain: bool,
) -> None:
    """Show the main job: nodes measure all day, the hub keeps and serves it. Ctrl-C ends all of it.

    The nodes stand at the vantages of the lab, an internet of real packets on this machine; cables break by script,
    and each time it is said. Where the system allows no network namespaces, one node measures servers on loopback.
    """
    from nettrace.lab.permission import lab_obstacle

    obstacle = None if plain else lab_obstacle()
    if obstacle is not None:
        click.echo(f"No lab: {obstacle}. One node measures servers on loopback instead.")
    with ExitStack() as stack:
        place = stack.enter_context(_folder(data))
        scene: Scene = LoopbackScene() if plain or obstacle else LabScene(world, unprivileged=unprivileged)
        stack.enter_context(scene)
        limit = Limit(seconds=_ONCE_S if once else seconds, once=once)
        reporting, wanted = _run(scene, place, _free(bind), interval, limit)
    click.echo("Everything is torn down.")
    if (seconds is not None or once) and reporting < wanted:
        raise click.exceptions.Exit(1)


@contextmanager
def _folder(given: Path | None) -> "Generator[Data]":
    from nettrace.hub.place import Data

    folder = given or Path(tempfile.mkdtemp(prefix="nettrace-demo-"))
    data = Data(folder)
    data.make()
    try:
        yield data
    finally:
        if given is None:
            shutil.rmtree(folder, ignore_errors=True)


def _free(bind: str) -> "tuple[Bind, socket.socket]":
    """The place to listen, or another port when somebody has taken it."""
    from nettrace.hub.programs import Bind

    where = Bind(bind)
    if not where.loopback:
        raise click.UsageError("the demo listens on loopback only")
    try:
        return where, where.listen()
    except Conflict:
        click.echo(f"{where} is taken; the system chooses another port.")
        where = Bind(f"{where.host}:0")
        return where, where.listen()


def _run(
    scene: Scene, data: "Data", at: "tuple[Bind, socket.socket]", interval: float, limit: Limit
) -> tuple[int, int]:
    """Run it until the end; how many regions reported, of how many."""
    from nettrace.hub.enrolment import make_token
    from nettrace.hub.link import blocking_link
    from nettrace.hub.programs import api_program, refuse_taken, writer_program
    from nettrace.runtime.logs import Log
    from nettrace.runtime.supervise import Supervisor

    began = time.monotonic()
    refuse_taken(data)
    scene.chart(data)
    bind, listener = at
    with ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in (listener, *scene.doors(bind.port))]
        apis = [api_program(number, data, bind, listeners) for number in (1, 2)]
        supervisor = stack.enter_context(
            Supervisor([writer_program(data), *apis, *scene.programs()], Log("demo"))
        )
        supervisor.start()
        if supervisor.ending:
            return 0, len(scene.regions)
        link = blocking_link(data.socket)
        _furnish(link, scene, interval)
        known = {vantage.code for vantage in link.known_nodes() if vantage.state == "active"}
        for region in scene.regions:
            if region not in known or not (data.folder / "nodes" / region / "identity.json").exists():
                write_token(token_file(data, region), make_token(link, region, time.time_ns()))
            node = scene.node(region, bind.url, data)
            supervisor.add(dataclasses.replace(node, log=data.folder / f"node-{region}.log"))
        link.close()
        click.echo(
            f"\n    {bind.url}\n\nanswers after {time.monotonic() - began:.1f} s. Ctrl-C ends all of it."
        )
        return _watch(scene, data, supervisor, limit)


def _watch(scene: Scene, data: "Data", supervisor: "Supervisor", limit: Limit) -> tuple[int, int]:
    from nettrace.cli.pulse import Pulse

    began = time.monotonic()
    footprint, incident_at, complete = Footprint(os.getpid()), began + _INCIDENT_S, False
    pulse, reporting, wanted = Pulse(data), 0, len(scene.regions)
    try:
        while not supervisor.ending and (limit.seconds is None or time.monotonic() - began < limit.seconds):
            supervisor.watch(min(_STATUS_S, 1.0 if limit.once else limit.seconds or _STATUS_S))
            if supervisor.ending:
                break
            at_s = time.monotonic() - began
            reporting, words = pulse.take(scene.regions)
            click.echo(fold(f"{at_s:6.0f} s  {words}; {footprint.take()}", page_width()))
            if reporting == wanted and not complete:
                complete = True
                click.echo(f"{at_s:6.0f} s  all {wanted} vantages report")
                if limit.once:
                    break
            if time.monotonic() >= incident_at:
                words_ = scene.next_incident()
                incident_at = time.monotonic() + _LASTS_S
                if words_ is not None:
                    click.echo(fold(f"{at_s:6.0f} s  scripted incident: {words_}", page_width()))
    finally:
        pulse.close()
    return reporting, wanted


def _furnish(link: "HubWriter", scene: Scene, interval: float) -> None:
    from nettrace.hub.assignment import SETTING, Orders, cadence

    now = time.time_ns()
    link.put_targets(list(scene.targets()), now)
    often = cadence(interval)
    often = msgspec.structs.replace(often, exchange_s=6 * interval, trace_s=4 * interval, probes=3)
    orders = Orders(cadence=often, open_networks=tuple(scene.open_networks))
    link.put_setting(SETTING, msgspec.json.encode(orders), now)
