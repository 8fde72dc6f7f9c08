"""`nettrace fleet`: tokens that let machines become nodes, what becomes of nodes, and the machines themselves."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.commands import fleet_machines
from nettrace.cli.folder import data_option
from nettrace.cli.output import note
from nettrace.errors import NotFound
from nettrace.model.instant import ms, rfc3339
from nettrace.model.vantage import VantageState

if TYPE_CHECKING:
    from nettrace.hub.place import Data
    from nettrace.hub.trust import Standing
    from nettrace.model.vantage import Vantage


@click.group()
def command() -> None:
    """Nodes elsewhere: let them in, drain them, revoke them; and the machines they run on, from one fleet.toml."""


@command.command()
@click.option("--region", required=True, metavar="CODE", help="Name of the place the node will measure from.")
@click.option(
    "--hours", type=click.FloatRange(min=0.01, max=24 * 365), default=24.0, show_default=True,
    help="How long the token can be used.",
)  # fmt: skip
@data_option
def token(region: str, hours: float, data: Path | None) -> None:
    """Print a token that enrols one machine as the node of a region. It is shown once.

    A region that has a node gets a new one by this: the old one is revoked when the new one enrols.
    """
    from nettrace.hub.enrolment import make_token
    from nettrace.hub.open import folder_of, writer

    place = folder_of(data)
    new = not place.database.exists()
    with writer(place) as store:
        click.echo(make_token(store, region, time.time_ns(), hours * 3600))
    if new:
        note(
            f"nettrace: there was no hub in {place.folder}; the token is of the one that 'nettrace up --data {place.folder}' starts"
        )


@command.command("list")
@data_option
def list_(data: Path | None) -> None:
    """The nodes there are, one a line, with what their clocks are worth and how far light lets them be believed."""
    from nettrace.hub.latest import Newest
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.hub.trust import standings

    now = time.time_ns()
    reader = open_reader(folder_of(data))
    try:
        newest = Newest(now)
        newest.refresh(reader, now)
        standing = {each.vantage.node: each for each in standings(newest.snapshot)}
        for row in sorted(reader.nodes(), key=lambda each: (each.vantage.code, each.vantage.enrolled_at)):
            seen = row.vantage.last_seen
            last = "never heard of" if seen is None else f"heard of {rfc3339(seen)}"
            known = standing.get(row.vantage.node)
            worth = "" if known is None or seen is None else _worth(known)
            if row.vantage.third_party:
                worth = f"  THIRD PARTY: {row.vantage.third_party}'s probe, not a node of yours"
            click.echo(f"{row.vantage.code:<12} {row.vantage.node}  {row.vantage.state:<8}  {last}{worth}")
            told = _machine(row.vantage, now)
            if told:
                click.echo(f"{'':<12} {told}")
            for words in row.vantage.problems:
                click.echo(f"{'':<12} {words}")
            for words in known.trust.evidence if known is not None and known.trust.flagged else ():
                click.echo(f"{'':<12} contradicted: {words}")
    finally:
        reader.close()


def _worth(standing: "Standing") -> str:
    """Clock and trust, behind the node's line."""
    clock, judged = standing.vantage.clock, standing.trust
    bar = (
        "" if clock is None else f" ({ms(clock.offset_ns):+.1f} +-{ms(clock.error_ns):.1f} ms from the hub's)"
    )
    drift = "" if clock is None or clock.drift_ppm is None else f", {clock.drift_ppm:+.1f} ppm"
    believed = "not judged" if judged.score is None else f"trust {judged.score:.2f}"
    return (
        f"  clock {standing.clock}{bar}{drift}  {'NOT TO BE TRUSTED, ' if judged.flagged else ''}{believed}"
    )


def _machine(vantage: "Vantage", now: int) -> str:
    """How its machine is, and what waited in its spool when it was last heard; nothing for one that never told.

    What a node says of itself is written down every ten seconds: by the clock on the wall everything would look ten older.

    >>> from nettrace.model.vantage import Load, Vantage
    >>> _machine(Vantage(code="nyc", node="n", load=Load(cpu_percent=7.0, memory_used_bytes=1, memory_bytes=4), backlog=3), 0)
    'cpu 7 %, memory 25 %; 3 entries wait'
    """
    load = vantage.load
    said: list[str] = []
    if load is not None:
        shares = (("cpu", load.cpu_percent), ("memory", load.memory_percent), ("disk", load.disk_percent))
        said.append(", ".join(f"{name} {share:.0f} %" for name, share in shares if share is not None))
        said += [f"{endpoint} lags {lag:.3g} s" for endpoint, lag in sorted(load.replication_lag_s.items())]
    if vantage.backlog:
        age = (
            ""
            if vantage.oldest_at is None
            else f", the oldest for {max(0, (vantage.last_seen or now) - vantage.oldest_at) / 1e9:.0f} s then"
        )
        said.append(f"{vantage.backlog} entries wait{age}")
    return "; ".join(each for each in said if each)


def _verb(name: str, state: VantageState, meaning: str) -> click.Command:
    @click.command(name, help=meaning)
    @click.argument("node", metavar="NODE|REGION")
    @data_option
    def verb(node: str, data: Path | None) -> None:
        from nettrace.hub.open import folder_of, writer

        place = folder_of(data)
        found = _meant(place, node)
        with writer(place) as store:
            for each in found:
                store.set_state(each, state, time.time_ns())
                click.echo(f"{each} {state}")

    return verb


def _meant(data: "Data", node: str) -> list[str]:
    from nettrace.hub.open import open_reader

    reader = open_reader(data)
    try:
        rows = [row.vantage for row in reader.nodes()]
    finally:
        reader.close()
    current = [each.node for each in rows if each.code == node and each.state is not VantageState.REVOKED]
    found = [each.node for each in rows if each.node == node] or current
    if not found:
        raise NotFound(f"there is no node '{node}'", "nettrace fleet list shows them")
    return found


for _name, _state, _meaning in (
    ("drain", VantageState.DRAINED, "Let a node hand over what it has and measure nothing new."),
    ("activate", VantageState.ACTIVE, "Let a drained node measure again."),
    ("revoke", VantageState.REVOKED, "Let nothing of a node in any more, from this moment on."),
):
    command.add_command(_verb(_name, _state, _meaning))

for _each in fleet_machines.COMMANDS:
    command.add_command(_each)
