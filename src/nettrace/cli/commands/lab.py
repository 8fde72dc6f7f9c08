"""`nettrace lab`: an internet in a box, from one declarative file."""

import json
import os
import subprocess
import sys

import click

from nettrace.errors import LabError
from nettrace.lab import state

NAME = click.option("--name", default="lab", show_default=True, help="Which lab, when several are up.")
WORLD = click.argument("world", default="world")


@click.group()
def command() -> None:
    """An internet in a box: real packets, known truth, no root needed where the system permits it.

    A world is a TOML file of cities, networks, cables and targets; `world` and `small` are built in.
    """


@command.command()
@WORLD
@NAME
@click.option(
    "--device", type=click.Choice(["auto", "tun", "veth"]), default="auto", help="How namespaces are wired."
)
@click.option("--unprivileged", is_flag=True, help="Use a user namespace even as root.")
@click.option("--detach", is_flag=True, help="Return once it is up; `nettrace lab down` ends it.")
@click.option("--until-eof", is_flag=True, hidden=True)
def up(world: str, name: str, device: str, unprivileged: bool, detach: bool, until_eof: bool) -> None:
    """Bring a world up and keep it until Ctrl-C, SIGTERM or `nettrace lab down`."""
    from nettrace.lab.laboratory import Laboratory
    from nettrace.lab.worldfile import load, read

    load(world)
    if detach:
        _detach(world, name, device, unprivileged=unprivileged)
        return
    laboratory = Laboratory(read(world), state.folder(name), device=device, unprivileged=unprivileged)
    laboratory.run(_say_up, until_eof=until_eof)


@command.command()
@WORLD
@click.option("--once", is_flag=True, help="One round, then end.")
@click.option("--seconds", type=float, help="End after the round in which this much time has passed.")
@click.option("--unprivileged", is_flag=True, help="Use a user namespace even as root.")
@click.option("--strict", is_flag=True, help="Exit 1 when a finding contradicts the truth.")
def demo(world: str, once: bool, seconds: float | None, unprivileged: bool, strict: bool) -> None:
    """Measure the lab's venues from all its vantages, each result beside the truth; then cut a cable."""
    from nettrace.cli.commands.lab_demo import run

    bad = run(world, once=once, seconds=seconds, unprivileged=unprivileged)
    if strict and bad:
        raise LabError(f"{bad} findings contradict the truth")


@command.command()
@NAME
def down(name: str) -> None:
    """End a lab and everything in it."""
    home = state.folder(name)
    state.ask(home, {"op": "down"})
    state.wait_gone(home)


@command.command(name="exec", context_settings={"ignore_unknown_options": True})
@NAME
@click.argument("vantage")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str, vantage: str, words: tuple[str, ...]) -> None:
    """Run a command at a vantage: `nettrace lab exec nrt -- nettrace ping api.binance.com`."""
    from nettrace.lab.inside import replace

    sys.stdout.flush()
    replace(state.folder(name), vantage, [_program(words[0]), *words[1:]])


@command.command()
@NAME
@click.option("--world", help="Ask a world that is not up.")
@click.option("--pair", nargs=2, metavar="VANTAGE TARGET", help="Only this pair.")
@click.option("-6", "six", is_flag=True, help="IPv6.")
def truth(name: str, world: str | None, pair: tuple[str, str] | None, six: bool) -> None:
    """What measurements must find, as JSON: hops, delays, branches, who keeps silent."""
    from nettrace.lab.session import RunningLab
    from nettrace.lab.truth import Oracle
    from nettrace.lab.worldfile import load

    oracle = Oracle(load(world)) if world else RunningLab(state.folder(name)).oracle()
    found = oracle.pair(*pair, 6 if six else 4) if pair else oracle.document()
    click.echo(json.dumps(found, indent=None if pair is None else 2))


@command.command()
@NAME
@click.argument(
    "kind", type=click.Choice(["cut", "restore", "reroute", "congest", "clear", "kill", "revive"])
)
@click.argument("subject")
@click.option("--delay-ms", type=float, default=0.0, help="congest: delay added each way.")
@click.option("--jitter-ms", type=float, default=0.0, help="congest: mean of the jitter added each way.")
@click.option("--loss", type=float, default=0.0, help="congest: share of packets lost each way.")
@click.option(
    "--preference-ms", type=float, default=50.0, help="reroute: cost added to entering the network."
)
def event(
    name: str, kind: str, subject: str, delay_ms: float, jitter_ms: float, loss: float, preference_ms: float
) -> None:
    """Let something happen: cut|restore|congest|clear CABLE, reroute ASN, kill|revive SITE."""
    fields = {"delay_ms": delay_ms, "jitter_ms": jitter_ms, "loss": loss, "preference_ms": preference_ms}
    wanted = {"kind": kind, "subject": subject, **fields}
    answer = state.ask(state.folder(name), {"op": "event", "event": wanted})
    click.echo(json.dumps(json.loads(answer)["conditions"]))


@command.command()
@WORLD
def check(world: str) -> None:
    """Read a world, say what is in it and whether every vantage reaches every target."""
    from nettrace.lab.truth import Oracle
    from nettrace.lab.worldfile import load

    oracle = Oracle(load(world))
    topology = oracle.topology
    click.echo(
        f"{oracle.world.name}: {len(topology.sites)} sites, {len(topology.networks)} networks, "
        f"{len(topology.owners)} interfaces, {len(topology.vantages)} vantages, {len(topology.targets)} targets"
    )
    pairs = [oracle.pair(vantage, target) for vantage in topology.vantages for target in topology.targets]
    cut_off = [pair for pair in pairs if not pair["hops"] or pair["rtt_ms"] < pair["fibre_floor_ms"]]
    lengths = sorted(len(pair["hops"]) for pair in pairs)
    click.echo(f"{len(pairs)} pairs, {lengths[0]} to {lengths[-1]} hops, median {lengths[len(lengths) // 2]}")
    if cut_off:
        raise LabError(f"{cut_off[0]['vantage']} does not reach {cut_off[0]['target']}")


@command.command()
@NAME
def status(name: str) -> None:
    """What a running lab says of itself, with its router's figures, as JSON."""
    home = state.folder(name)
    document = json.loads(state.ask(home, {"op": "status"}))
    document["router"] = json.loads(state.ask(home, {"op": "figures"}))
    click.echo(json.dumps(document))


def _say_up(status: state.Status) -> None:
    root = "a user namespace of our own" if status.unprivileged else "root's rights"
    click.echo(
        f"lab '{status.name}' is up: world {status.world}, {len(status.vantages)} vantages, "
        f"{status.targets} targets, over {status.device} with {root}"
    )
    for note in status.notes:
        click.echo(f"nettrace lab: {note}", err=True)
    sys.stdout.flush()


def _detach(world: str, name: str, device: str, *, unprivileged: bool) -> None:
    words = [sys.executable, "-m", "nettrace", "lab", "up", world, "--name", name, "--device", device]
    words += ["--unprivileged"] if unprivileged else []
    reading, writing = os.pipe()
    process = subprocess.Popen(  # noqa: S603 - our own program with arguments click has checked
        words, stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, start_new_session=True
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        line = answer.readline()
    if not line:
        words_of_it = process.communicate()[1].decode().removeprefix("nettrace: ").strip()
        raise LabError(words_of_it or "the lab did not come up")
    click.echo(line, nl=False)


def _program(word: str) -> str:
    """`nettrace` means this very program, wherever it is installed."""
    beside = os.path.join(os.path.dirname(sys.executable), "nettrace")  # noqa: PTH118, PTH120 - text in, text out
    return beside if word == "nettrace" and os.access(beside, os.X_OK) else word
