"""Fleet tools: how many nodes measure, what the fleet file would still make and cost, what is written of a machine.

No tool here creates a machine: that takes credentials, which an assistant's server does not hold; `deploy` shows the
plan and `nettrace fleet apply` carries it out.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from nettrace import __version__
from nettrace.errors import Conflict, NotFound
from nettrace.hub.open import writer
from nettrace.mcp.operating import folder_hub, known_nodes
from nettrace.mcp.plain import Document
from nettrace.mcp.rows import maybe
from nettrace.mcp.tool import Answer, Asked, Call, Region, Tool
from nettrace.model.account import Scope
from nettrace.model.instant import NS_PER_S
from nettrace.model.vantage import Vantage, VantageState
from nettrace.placement.fleet import Machine, Plan, plan, wanted
from nettrace.placement.fleet_file import Fleet, Prices, read_fleet, read_prices
from nettrace.store.rows import Window

FILE = "fleet.toml"
_DAYS = 30
_AUDIT = 2000


class Scale(Asked, frozen=True, kw_only=True):
    """How many nodes are to measure."""

    count: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    confirm: Annotated[str, msgspec.Meta(max_length=200)] | None = None


async def scale(call: Call) -> Answer:
    """Drain or activate known nodes until so many measure: the plan with a token, then, by it, done."""
    asked: Scale = call.asked
    hub = folder_hub(call)
    nodes = [each for each in await known_nodes(call) if each.state is not VantageState.REVOKED]
    if asked.count > len(nodes):
        raise Conflict(
            f"{asked.count} nodes are wanted and the hub knows {len(nodes)}",
            "deploy shows what fleet.toml would add; nettrace fleet apply makes machines",
        )
    changes = scaled(nodes, asked.count)
    token = call.confirm(asked.confirm, {"changes": [[each.node, state.value] for each, state in changes]})
    rows: list[Document] = [
        {"node": each.node, "region": each.code, "from": each.state, "to": state} for each, state in changes
    ]
    if token is not None:
        words = f"Nothing was changed. {len(rows)} nodes would change so that {asked.count} measure: repeat with `confirm`."
        return Answer(said=words, rows=rows, fields={**token, "applied": False})

    def apply() -> None:
        with writer(hub.data) as store:
            for each, state in changes:
                store.set_state(each.node, state, call.now)

    await asyncio.to_thread(apply)
    return Answer(said=f"Done: {asked.count} nodes measure.", rows=rows, fields={"applied": True})


def scaled(nodes: Sequence[Vantage], count: int) -> list[tuple[Vantage, VantageState]]:
    """Which nodes change, and to what: those heard of last are the first to be woken and the last to be drained."""
    order = sorted(nodes, key=lambda each: (-(each.last_seen or 0), each.code))
    active = [each for each in order if each.state is VantageState.ACTIVE]
    if len(active) >= count:
        return [(each, VantageState.DRAINED) for each in active[count:]]
    resting = [each for each in order if each.state is VantageState.DRAINED]
    return [(each, VantageState.ACTIVE) for each in resting[: count - len(active)]]


async def deploy(call: Call) -> Answer:
    """What `nettrace fleet apply` would do by the hub's fleet.toml, what the fleet then costs, and who runs another version."""
    hub = folder_hub(call)
    nodes = await known_nodes(call)
    made = await asyncio.to_thread(_planned, hub.data.folder / FILE, nodes)
    rows: list[Document] = [
        {
            "step": step.kind, "machine": step.wanted.name, "provider": step.wanted.provider,
            "places": step.wanted.places, "usd_month": step.usd,
        }
        for step in made.steps
    ]  # fmt: skip
    unknown = f" and {made.unknown} machines of unknown price" if made.unknown else ""
    notes = "".join(f" {note}." for note in made.notes[:3])
    other = [
        each.code
        for each in nodes
        if each.state is not VantageState.REVOKED and each.version not in {"", __version__}
    ]
    if other:
        notes += f" {len(other)} nodes run another version than {__version__}: a person runs nettrace fleet upgrade."
    return Answer(
        said=f"{len(rows)} steps; the fleet costs {made.usd:.2f} USD a month{unknown}. Nothing was made: a person runs "
        f"nettrace fleet apply --file {hub.data.folder / FILE}.{notes}",
        rows=rows, fields={"usd_month": made.usd},
    )  # fmt: skip


def _planned(path: Path, nodes: Sequence[Vantage]) -> Plan:
    """The plan over the nodes the hub knows: a machine that never enrolled counts as not there."""
    try:
        fleet = read_fleet(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(
            "the hub's folder has no readable fleet.toml", "Put one there: docs/guides/fleet.md"
        ) from error
    known = {each.code: each for each in nodes if each.state is not VantageState.REVOKED}
    standing = [
        Machine(
            provider=each.provider,
            id=known[each.code].node,
            name=each.name,
            place=each.places[0],
            state="started",
        )
        for each in wanted(fleet)
        if each.code in known
    ]
    return plan(
        wanted(fleet), standing, _prices(path, fleet), datetime.fromtimestamp(time.time(), UTC).date()
    )


def _prices(path: Path, fleet: Fleet) -> Prices | None:
    """The sheet beside the file; one at an address is not fetched from here."""
    if not fleet.prices or "://" in fleet.prices:
        return None
    try:
        return read_prices((path.parent / fleet.prices).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


class Logs(Asked, frozen=True, kw_only=True):
    """Of which machine."""

    machine: Region
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20


async def logs(call: Call) -> Answer:
    """What the hub has written down of a machine, newest first: states, gaps with their reasons, what was done to it."""
    asked: Logs = call.asked
    hub = folder_hub(call)
    meant = [each for each in await known_nodes(call) if asked.machine in {each.node, each.code}]
    if not meant:
        raise NotFound(f"there is no machine '{asked.machine}'", "machines lists them")
    names = {name for each in meant for name in (each.node, each.code)}
    codes = sorted({each.code for each in meant})
    window = Window(call.now - _DAYS * 86_400 * NS_PER_S, call.now + NS_PER_S)
    gaps, audit = await hub.ask(lambda reader, _: (reader.gaps(window, codes), reader.audit(limit=_AUDIT)))
    lines = [
        (each.enrolled_at, "enrolled", f"node {each.node} as {each.code}, now {each.state}") for each in meant
    ]
    lines += [
        (
            gap.until,
            "gap",
            f"{gap.reason}{gap.target and f' ({gap.target})'} since {maybe(gap.since)}, {gap.lost} records lost",
        )
        for _, gap in gaps
    ]
    lines += [
        (each.at, each.action, f"{each.actor}: {each.outcome} {each.detail}".strip())
        for each in audit
        if each.subject in names or any(f'"{name}"' in each.detail for name in names)
    ]
    lines += [
        (each.last_seen or each.enrolled_at, "problem", words) for each in meant for words in each.problems
    ]
    lines.sort(key=lambda line: -line[0])
    shown: list[Document] = [
        {"at": maybe(at), "what": what, "words": words[:300]} for at, what, words in lines[: asked.limit]
    ]
    return Answer(
        said=f"{len(lines)} lines of {', '.join(codes)} in {_DAYS} days. Its own stderr stays on its machine: nettrace fleet logs.",
        rows=shown, more=len(lines) - len(shown),
    )  # fmt: skip


TOOLS = (
    Tool(
        name="scale", says="Drain or activate nodes until `count` measure; as drain.", run=scale, asks=Scale,
        scope=Scope.FLEET, needs="folder", destructive=True,
        fields={"applied": "boolean", "confirm": ""}, row=("node", "region", "from", "to"),
    ),
    Tool(
        name="deploy", says="Plan and monthly cost of fleet.toml; makes nothing.", run=deploy, scope=Scope.FLEET,
        needs="folder", fields={"usd_month": "number"},
        row=("step", "machine", "provider", "places", "usd_month"),
    ),
    Tool(
        name="logs", says="What happened to a node.", run=logs, asks=Logs, scope=Scope.FLEET,
        needs="folder", row=("at", "what", "words"),
    ),
)  # fmt: skip
