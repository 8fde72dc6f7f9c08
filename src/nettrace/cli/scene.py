"""Where the demo's nodes stand and what they measure: an internet of our own, or plain servers on loopback."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.commands.up import LOCAL
from nettrace.errors import LabError

if TYPE_CHECKING:
    import socket

    from nettrace.hub.place import Data
    from nettrace.lab.session import RunningLab
    from nettrace.lab.world import Event, Site, Vantage, World
    from nettrace.lab.world import Target as LabTarget
    from nettrace.model.target import Target
    from nettrace.runtime.supervise import Program

TARGETS = 24
REFLECTOR_PORT = 8862
"""Where a lab's nodes answer each other: above the ports that need a right."""
"""Of the world's targets so many are watched: each from every vantage, every few seconds."""


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

    def chart(self, data: "Data") -> None:
        """Put down what is known about this scene's addresses, for the hub to name hops by."""

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
        made = node_program(url, region, folder, token_file(data, region), self._lab.prefix(region))
        place = ["--city", site.city, "--country", site.country, "--at", f"{site.latitude},{site.longitude}"]
        reach = [
            "--reflect",
            f"{self._lab.oracle().pair(self.regions[0], region)['address']}:{REFLECTOR_PORT}",
        ]
        return dataclasses.replace(made, command=[*made.command, *place, *reach])

    def chart(self, data: "Data") -> None:
        """The tables of this internet, as others publish them about the real one."""
        from nettrace.lab.state import PLACES, PREFIXES
        from nettrace.outside import databases

        for kind, name in (("asn", PREFIXES), ("city", PLACES)):
            databases.add(data.databases, kind, [self._lab.home / name], "the lab's world", "the lab's own")

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

        return node_program(url, region, data.folder / "nodes" / region, token_file(data, region))


def token_file(data: "Data", region: str) -> Path:
    """Where the enrolment token of a region's node waits."""
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
