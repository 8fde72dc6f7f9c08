"""`nettrace demo`: hub, dashboard and nodes in an internet of our own, with incidents that say so."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from nettrace.cli.commands.up import LOCAL, write_token
from nettrace.cli.footprint import Footprint
from nettrace.errors import Conflict, LabError

if TYPE_CHECKING:
    import socket

    from nettrace.hub.link import HubWriter
    from nettrace.hub.place import Data
    from nettrace.hub.programs import Bind
    from nettrace.lab.session import RunningLab
    from nettrace.lab.world import Event, Site, Vantage, World
    from nettrace.lab.world import Target as LabTarget
    from nettrace.model.target import Target
    from nettrace.runtime.supervise import Program, Supervisor

TARGETS = 24
"""Of the world's targets so many are watched: each from every vantage, every few seconds."""
_STATUS_S, _INCIDENT_S, _LASTS_S = 5.0, 75.0, 60.0
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


class Scene:
    """Where the demo's nodes stand and what they measure."""

    title = ""
    regions: Sequence[str] = ()
    open_networks: Sequence[str] = ()

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything down."""

    def doors(self, port: int) -> "Sequence[socket.socket]":
        """Sockets by which the nodes reach the hub, besides the hub's own."""
        return ()

    def targets(self) -> "Sequence[Target]":
        """What is watched."""
        raise NotImplementedError

    def node(self, region: str, url: str, data: "Data") -> "Program":
        """The node of a region."""
        raise NotImplementedError

    def programs(self) -> "Sequence[Program]":
        """What else has to run."""
        return ()

    def next_incident(self) -> str | None:
        """Let the next thing happen; what it is, in words, or None when nothing ever happens here."""
        return None


class LabScene(Scene):
    """A node inside every vantage of a running lab."""

    def __init__(self, world: str, *, unprivileged: bool) -> None:
        began = time.monotonic()
        click.echo(f"Bringing up the world '{world}' ...")
        self._lab = _bring_up(world, unprivileged=unprivileged)
        oracle = self._lab.oracle()
        self._world: World = oracle.world
        self._sites: dict[str, Site] = {site.code: site for site in self._world.site}
        self._vantages: dict[str, Vantage] = {each.code: each for each in self._world.vantage}
        self.regions = tuple(self._vantages)
        self.open_networks = (self._world.ipv4, self._world.ipv6)
        self._script = self._incidents()
        status = self._lab.status()
        root = "no root needed" if status.unprivileged else "as root"
        click.echo(
            f"{len(self.regions)} vantages, {status.targets} targets, real packets over {status.device}, {root}; "
            f"up in {time.monotonic() - began:.1f} s."
        )

    def __exit__(self, *_: object) -> None:
        self._lab.stop()

    def doors(self, port: int) -> "Sequence[socket.socket]":
        """A socket on the loopback of every vantage."""
        from nettrace.lab.doorway import listeners

        return listeners(self._lab, self.regions, port)

    def targets(self) -> "Sequence[Target]":
        """The first of the world's targets."""
        from nettrace.cli.commands.lab_demo import TARGETS as FIRST
        from nettrace.model.target import Endpoint, Role, RoundMethod, Target

        known = {target.name: target for target in self._world.target if not target.dark}
        names = list(dict.fromkeys([*(name for name in FIRST if name in known), *known]))[:TARGETS]
        methods = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.HTTP, RoundMethod.TRACE)
        made: list[Target] = []
        for name in names:
            role = Role.ENGINE if name.startswith("engine.") else Role.API
            place = self._engine_of(known[name])
            endpoint = Endpoint(
                name="lab", host=name, role=role, url=f"https://{name}/", methods=methods,
                fronted_by="the lab's edges" if known[name].edges else None,
            )  # fmt: skip
            made.append(
                Target(
                    host=name,
                    name=known[name].label or name,
                    category=known[name].category or "Lab",
                    endpoints=(endpoint,),
                    note="A host of the lab: real packets, invented internet",
                    tags=("demo", f"engine:{place}") if place else ("demo",),
                )
            )
        return made

    def _engine_of(self, target: "LabTarget") -> str | None:
        """Where a lab target's engine stands, as the catalogue's tag has it."""
        site = self._sites.get((target.origin.site if target.origin else target.site) or "")
        return f"{site.latitude},{site.longitude}" if site else None

    def node(self, region: str, url: str, data: "Data") -> "Program":
        """The node inside a vantage, which says where that stands."""
        from nettrace.hub.programs import node_program

        site = self._sites[self._vantages[region].site]
        folder = data.folder / "nodes" / region
        made = node_program(url, region, folder, _token_file(data, region), self._lab.prefix(region))
        place = ["--city", site.city, "--country", site.country, "--at", f"{site.latitude},{site.longitude}"]
        return dataclasses.replace(made, command=[*made.command, *place])

    def next_incident(self) -> str | None:
        """The next step of the script."""
        return next(self._script)

    def _incidents(self) -> Iterator[str]:
        """A cable grows slow, is mended, is cut, is mended; for ever."""
        from nettrace.lab.demo import Demo
        from nettrace.lab.world import Event

        cable, pairs = Demo(self._lab, [target.host for target in self.targets()]).telling_cable()
        slow = Event(kind="congest", subject=cable, delay_ms=25.0, jitter_ms=2.0, loss=0.03)
        words = f"the cable {cable}, which {len(pairs)} pairs cross,"
        while True:
            yield self._happen(slow, f"{words} grows slow: 25 ms more each way, 3 % loss")
            yield self._happen(Event(kind="clear", subject=cable), f"{words} is as before")
            yield self._happen(Event(kind="cut", subject=cable), f"{words} is cut: traffic takes other ways")
            yield self._happen(Event(kind="restore", subject=cable), f"{words} is mended")

    def _happen(self, event: "Event", words: str) -> str:
        self._lab.happen(event)
        return words


class LoopbackScene(Scene):
    """One node, and plain servers on loopback: where nothing better is allowed."""

    regions = (LOCAL,)
    open_networks = ("127.0.0.0/8",)

    def __init__(self) -> None:
        from nettrace.lab.plain import PlainServers

        self._servers = PlainServers()

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def targets(self) -> "Sequence[Target]":
        """The servers on loopback."""
        from nettrace.model.target import Endpoint, Role, RoundMethod, Target

        made: list[Target] = []
        for name, address, port in self._servers.places:
            endpoint = Endpoint(
                name="plain", host=address, role=Role.API, port=port, url=f"http://{address}:{port}/",
                methods=(RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.HTTP),
            )  # fmt: skip
            made.append(
                Target(
                    host=f"{name}.localhost",
                    name=name,
                    category="Loopback",
                    endpoints=(endpoint,),
                    tags=("demo",),
                )
            )
        return made

    def programs(self) -> "Sequence[Program]":
        """The process behind the servers."""
        return (self._servers.program(),)

    def node(self, region: str, url: str, data: "Data") -> "Program":
        """The only one."""
        from nettrace.hub.programs import node_program

        return node_program(url, region, data.folder / "nodes" / region, _token_file(data, region))


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
                write_token(_token_file(data, region), make_token(link, region, time.time_ns()))
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
            click.echo(f"{at_s:6.0f} s  {words}; {footprint.take()}")
            if reporting == wanted and not complete:
                complete = True
                click.echo(f"{at_s:6.0f} s  all {wanted} vantages report")
                if limit.once:
                    break
            if time.monotonic() >= incident_at:
                words_ = scene.next_incident()
                incident_at = time.monotonic() + _LASTS_S
                if words_ is not None:
                    click.echo(f"{at_s:6.0f} s  scripted incident: {words_}")
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


def _token_file(data: "Data", region: str) -> Path:
    return data.folder / f"{region}.token"


def _bring_up(world: str, *, unprivileged: bool) -> "RunningLab":
    """A lab in a process group of its own: Ctrl-C ends the nodes first and the ground under them last."""
    from nettrace.lab import state
    from nettrace.lab.session import RunningLab

    name = f"demo-{os.getpid()}"
    command = [sys.executable, "-m", "nettrace", "lab", "up", world, "--name", name, "--until-eof"]
    command += ["--unprivileged"] if unprivileged else []
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    )
    line = process.stdout.readline() if process.stdout else b""
    if not line:
        _, words = process.communicate(timeout=30)
        raise LabError(words.decode().strip().removeprefix("nettrace: ") or "the lab did not come up")
    return RunningLab(state.folder(name), process)
