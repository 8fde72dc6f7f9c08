"""Operating tools: the machines, draining them after a confirmed plan, named diagnostics of this machine. Never a shell."""

import asyncio
import platform
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from nettrace import __version__
from nettrace.errors import Invalid, NotFound
from nettrace.hub.open import writer
from nettrace.mcp import measuring
from nettrace.mcp.plain import Document
from nettrace.mcp.rows import maybe
from nettrace.mcp.stored import Stored
from nettrace.mcp.tool import Answer, Asked, Call, Host, Tool
from nettrace.measure.probing.capability import probe_capabilities
from nettrace.model.account import Scope
from nettrace.model.vantage import Vantage, VantageState
from nettrace.node.hostclock import synchronised


async def machines(call: Call) -> Answer:
    """Every node that ever enrolled."""
    nodes = await known_nodes(call)
    counts = ", ".join(f"{sum(each.state is state for each in nodes)} {state}" for state in VantageState)
    rows: list[Document] = [
        {
            "node": each.node, "region": each.code, "state": each.state, "version": each.version,
            "enrolled_at": maybe(each.enrolled_at), "last_seen": maybe(each.last_seen), "city": each.city,
        }
        for each in nodes
    ]  # fmt: skip
    return Answer(said=f"{len(nodes)} machines: {counts}.", rows=rows)


async def known_nodes(call: Call) -> list[Vantage]:
    """Every node that ever enrolled, by region and age; other people's probes are none."""
    hub = folder_hub(call)
    rows = await hub.ask(lambda reader, _: reader.nodes())
    ours = [row.vantage for row in rows if not row.vantage.third_party]
    return sorted(ours, key=lambda each: (each.code, each.enrolled_at))


def folder_hub(call: Call) -> Stored:
    """The hub, whose folder is on this machine.

    Raises:
        Invalid: it is elsewhere.
    """
    if not isinstance(call.hub, Stored):
        raise Invalid(
            "machines are operated on the hub's own machine", "Start this server with --data DIR there"
        )
    return call.hub


class Drain(Asked, frozen=True, kw_only=True):
    """Which machine."""

    machine: Annotated[str, msgspec.Meta(min_length=1, max_length=100, description="Node or region.")]
    undo: bool = False
    confirm: Annotated[str, msgspec.Meta(max_length=200)] | None = None


async def drain(call: Call) -> Answer:
    """The plan with a token, or, by that token, the plan carried out."""
    wanted: Drain = call.asked
    hub = folder_hub(call)
    meant = [each for each in await known_nodes(call) if wanted.machine in {each.node, each.code}]
    meant = [each for each in meant if each.state is not VantageState.REVOKED]
    if not meant:
        raise NotFound(f"there is no machine '{wanted.machine}' that could be drained", "machines lists them")
    state = VantageState.ACTIVE if wanted.undo else VantageState.DRAINED
    plan: Document = {
        "nodes": [[each.node, each.code, each.state.value] for each in meant], "state": state.value,
    }  # fmt: skip
    told = call.confirm(wanted.confirm, plan)
    rows: list[Document] = [
        {"node": each.node, "region": each.code, "from": each.state, "to": state} for each in meant
    ]
    if told is not None:
        return Answer(
            said=f"Nothing was changed. {len(rows)} machines would become {state}: repeat the call with this `confirm` "
            "within 5 minutes to do it.",
            rows=rows, fields={**told, "applied": False},
        )  # fmt: skip

    def apply() -> None:
        with writer(hub.data) as store:
            for each in meant:
                store.set_state(each.node, state, call.now)

    await asyncio.to_thread(apply)
    return Answer(said=f"Done: {len(rows)} machines are {state}.", rows=rows, fields={"applied": True})


class Diag(Asked, frozen=True, kw_only=True):
    """Which diagnostic, of what."""

    name: Literal["doctor", "ping", "trace", "dns", "clock", "spool"]
    host: Annotated[Host, msgspec.Meta(description="For ping, trace, dns.")] | None = None


async def diag(call: Call) -> Answer:
    """One of the named diagnostics of this machine."""
    wanted: Diag = call.asked
    about_host = wanted.name in {"ping", "trace", "dns"}
    if about_host != (wanted.host is not None):
        raise Invalid(f"{wanted.name} takes {'a' if about_host else 'no'} host")
    match wanted.name:
        case "doctor":
            return await asyncio.to_thread(_doctor)
        case "clock":
            return _clock()
        case "spool":
            return await asyncio.to_thread(_spool, folder_hub(call).data.node)
        case _:
            host = wanted.host or ""
            await measuring.permitted(call, host)
            measure = {"ping": _ping, "trace": measuring.traced, "dns": measuring.asked_of_dns}[wanted.name]
            found = await measure(host)
            return _found(f"{wanted.name}: {found['outcome']} {found.get('reason') or ''}".strip(), [found])


async def _ping(host: str) -> Document:
    return await measuring.pinged(host, 5, None)


def _doctor() -> Answer:
    reports = probe_capabilities().rungs
    rows: list[Any] = [
        {
            "check": each.rung, "version": each.version, "available": each.available, "serves": each.serves,
            "why": each.why, "remedy": each.remedy,
        }
        for each in reports
    ]  # fmt: skip
    works = sum(each.available for each in reports)
    return _found(
        f"NetTrace {__version__} on Python {platform.python_version()}: {works} of {len(rows)} ways work.",
        rows,
    )


def _clock() -> Answer:
    good = synchronised()
    words = {
        True: "synchronised",
        False: "not synchronised",
        None: "of unknown state: the kernel does not tell",
    }
    row: Document = {"synchronised": good, "now": maybe(time.time_ns())}
    return _found(f"The kernel's clock is {words[good]}.", [row])


def _spool(folder: Path) -> Answer:
    """The files of the local node's spool; a running node holds it alone, so they are only measured."""
    rows: list[Any] = []
    for path in sorted(folder.glob("spool.sqlite*")):
        found = path.stat()
        rows.append({"file": path.name, "bytes": found.st_size, "changed_at": maybe(found.st_mtime_ns)})
    return _found(
        f"{sum(row['bytes'] for row in rows)} bytes of spool." if rows else "No node was ever run here.", rows
    )


def _found(said: str, rows: list[Any]) -> Answer:
    return Answer(said=said, fields={"rows": rows, "more": 0})


TOOLS = (
    Tool(
        name="machines", says="Every enrolled node with its state.", run=machines, scope=Scope.FLEET, needs="folder",
        row=("node", "region", "state", "version", "enrolled_at", "last_seen", "city"),
    ),
    Tool(
        name="drain", says="Let a node hand over and measure nothing new; undo: activate. Plan and "
        "token first, then confirm.",
        run=drain, asks=Drain, scope=Scope.FLEET, needs="folder", destructive=True,
        fields={"applied": "boolean", "confirm": "", "expires_at": ""}, row=("node", "region", "from", "to"),
    ),
    Tool(
        name="diag", alias="exec", says="Named diagnostic of this machine; no shell. Alias: exec.", run=diag, asks=Diag,
        scope=Scope.FLEET, needs="", fields={"rows": "array", "more": "integer"},
    ),
)  # fmt: skip
