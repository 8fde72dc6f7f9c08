"""Measuring tools: from this machine by the engine of the commands, from vantages through the hub."""

import asyncio
from typing import Annotated, Literal

import msgspec

from nettrace.errors import Invalid, NotAllowed
from nettrace.mcp.plain import Document
from nettrace.mcp.tool import Answer, Asked, Call, Host, Region, Tool
from nettrace.measure.probing import path
from nettrace.measure.probing.ping import Driving, ProbeTarget, ping
from nettrace.measure.streams.dns import lookup
from nettrace.measure.streams.resolve import resolve
from nettrace.measure.tracing.ping import PingOptions
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.account import Feature, Scope
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Method, Outcome, Reason
from nettrace.model.remote import Errand, Kind
from nettrace.outside.services import SERVICES, service
from nettrace.wire.documents import dns_document, ping_document, trace_document
from nettrace.wire.remote import remote_document

INTERVAL_NS = NS_PER_S // 5
TIMEOUT_NS = 2 * NS_PER_S
MOST_HOPS = 32
PATIENCE_S = 15.0
LOOK_S = 0.25
Probes = Annotated[int, msgspec.Meta(ge=1, le=20)]


class Scan(Asked, frozen=True, kw_only=True):
    """What to measure from here."""

    host: Host
    probes: Probes = 5
    method: Literal["icmp", "tcp", "udp"] | None = None
    trace: bool = False
    dry_run: bool = False


async def scan(call: Call) -> Answer:
    """A host measured from this machine, now."""
    wanted: Scan = call.asked
    await permitted(call, wanted.host)
    if wanted.dry_run:
        return Answer(
            said="Nothing was sent.",
            fields={"preview": {"probes": wanted.probes, "packets": _packets(wanted), "usd": 0.0}},
        )
    round_trips = await pinged(wanted.host, wanted.probes, wanted.method)
    rows = [_brief(round_trips)]
    if wanted.trace:
        rows.append(_brief(await traced(wanted.host)))
    return Answer(said=" ".join(_words(row) for row in rows), rows=rows)


def _packets(wanted: Scan) -> int:
    return wanted.probes * (3 if wanted.method == "tcp" else 1) + MOST_HOPS * wanted.trace


async def permitted(call: Call, host: str) -> None:
    """Nothing, when the caller may have this host measured from here.

    Raises:
        NotAllowed: somebody with a key asks for what is not watched; nobody's machine is measured for a stranger.
    """
    if call.local:
        return
    known = {each["host"] for each in await call.there.targets(call.caller, None)}
    if host not in known:
        raise NotAllowed("only targets of this hub are measured from here", "find_target lists them")


async def pinged(host: str, probes: int, method: str | None) -> Document:
    """A round of round trips as `nettrace.ping/1`."""
    found = await _resolved(host)
    if isinstance(found, dict):
        return found
    options = PingOptions(
        method=Method(method or "icmp"), count=probes, interval_ns=INTERVAL_NS, timeout_ns=TIMEOUT_NS
    )

    def measure() -> Document:
        return ping_document(next(iter(ping([found], options, automatic=method is None, driving=Driving()))))

    return await asyncio.to_thread(measure)


async def traced(host: str) -> Document:
    """A trace as `nettrace.trace/1`."""
    found = await _resolved(host)
    if isinstance(found, dict):
        return found
    options = TraceOptions(max_ttl=MOST_HOPS, timeout_ns=NS_PER_S)

    def measure() -> Document:
        return trace_document(next(iter(path.trace([found], options, driving=Driving()))))

    return await asyncio.to_thread(measure)


async def asked_of_dns(name: str) -> Document:
    """The system's resolver asked for the name's address, as `nettrace.dns/1`."""
    return dns_document(await lookup(name))


async def _resolved(host: str) -> ProbeTarget | Document:
    """The address that stands for a name, or the document of a measurement that failed before it began."""
    resolution = await resolve(host)
    if resolution.addresses:
        return ProbeTarget(resolution.host, resolution.addresses[0])
    return {"target": host, "outcome": Outcome.FAILED, "reason": Reason.DNS, "detail": resolution.detail}


def _brief(document: Document) -> Document:
    """A measurement in the fields of a row."""
    hops = document.get("hops")
    return {
        **document,
        "what": str(document.get("schema", "nettrace.ping/1")).removeprefix("nettrace.").partition("/")[0],
        "hops": None if hops is None else [{name: hop[name] for name in ("ttl", "address", "rtt_ms")} for hop in hops],
    }  # fmt: skip


def _words(row: Document) -> str:
    if row["outcome"] != "measured":
        return f"{row['what']}: {row['outcome']} ({row['reason']})."
    if row["what"] == "trace":
        return f"trace: {len(row['hops'])} hops, {'reached' if row['reached'] else 'not reached'}."
    return f"{row['what']}: median {row.get('p50_ms')} ms of {row.get('received')}/{row.get('sent')} by {row['method']}."


class ScanRemote(Asked, frozen=True, kw_only=True):
    """What vantages are to measure, or whose results are wanted."""

    target: Host | None = None
    regions: Annotated[tuple[Region, ...], msgspec.Meta(max_length=50)] = ()
    method: Literal["icmp", "tcp", "udp", "http", "ws", "dns", "trace"] | None = None
    probes: Probes = 5
    dry_run: bool = True
    id: Annotated[str, msgspec.Meta(max_length=60, description="Results of an earlier one.")] | None = None


async def scan_remote(call: Call) -> Answer:
    """A target measured from vantages, now; the preview comes first."""
    wanted: ScanRemote = call.asked
    lenders = {each.partition(":")[0] for each in wanted.regions} & set(SERVICES)
    if lenders:
        return await asyncio.to_thread(_lent, call, wanted, sorted(lenders)[0])
    if wanted.id is not None:
        return _measured(await call.there.measurement(call.caller, wanted.id))
    asked: Document = {
        "target": wanted.target or "", "regions": list(wanted.regions), "method": wanted.method, "probes": wanted.probes,
    }  # fmt: skip
    made = await call.there.measure(call.caller, asked, dry_run=wanted.dry_run)
    if wanted.dry_run:
        return Answer(
            said=f"Nothing was sent. It would take {made['calls']} call and {made['probes']} probes; "
            "call again with dry_run=false.",
            fields={
                "preview": {name: made.get(name) for name in ("calls", "probes", "packets", "usd", "regions")}
            },
        )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(made["answered"]) < len(made["regions"]):
                await asyncio.sleep(LOOK_S)
                made = await call.there.measurement(call.caller, made["id"])
    except TimeoutError:
        pass
    return _measured(made)


_LENT_KINDS: dict[str | None, Kind] = {
    None: "ping", "icmp": "ping", "tcp": "ping", "trace": "trace", "http": "http",
}  # fmt: skip


def _lent(call: Call, wanted: ScanRemote, via: str) -> Answer:
    """The same from other people's vantages, on the allowance of this machine's user; nobody else may spend it.

    Raises:
        NotAllowed: the caller is not this machine's user.
        Invalid: regions of a hub and of a service together, or a method the services have not.
    """
    if not call.local:
        raise NotAllowed("other people's vantages are for this machine's user", "Name regions of this hub")
    kind = _LENT_KINDS.get(wanted.method)
    places = tuple(each.partition(":")[2] for each in wanted.regions if each.startswith(f"{via}:"))
    if kind is None or not wanted.target or not all(places) or len(places) != len(wanted.regions):
        raise Invalid(
            f"{via} measures icmp, tcp, trace or http of a target from {via}:PLACE, and only from there"
        )
    errand = Errand(
        kind=kind, target=wanted.target, places=places, packets=min(wanted.probes, 16),
        method=Method.TCP if wanted.method == "tcp" else Method.ICMP,
        url=f"https://{wanted.target}/" if kind == "http" else None,
    )  # fmt: skip
    there = service(via)
    cost = there.cost(errand)
    if wanted.dry_run:
        price = {
            "calls": 0,
            "probes": errand.most_results,
            "usd": 0.0,
            cost.unit: cost.amount,
            "left": cost.left,
        }
        return Answer(
            said=f"Nothing was sent. It would take {cost.amount} {cost.unit} of {via}, of which {cost.left} are left; "
            "call again with dry_run=false.",
            fields={"preview": price},
        )
    found = there.run(errand)
    rows = [_lent_row(remote_document(result, found.number)) for result in found.results]
    said = (
        f"{len(rows)} probes of {via}, not this hub's vantages: places are as {via} says, clocks are user's."
    )
    return Answer(
        said=" ".join([said, *found.notes]), rows=rows, fields={"id": found.number, "state": "done"}
    )


def _lent_row(made: Document) -> Document:
    rtt_ms = next((made[name] for name in ("p50_ms", "rtt_ms", "connect_ms") if name in made), None)
    return {
        "region": made["vantage"], "method": made.get("method", "http"), "outcome": made["outcome"],
        "reason": made["reason"], "at": made["at"], "rtt_ms": rtt_ms, "min_ms": made.get("min_ms"),
        "max_ms": made.get("max_ms"), "sent": made.get("sent"), "received": made.get("received"),
    }  # fmt: skip


def _measured(made: Document) -> Answer:
    missing = sorted(set(made["regions"]) - set(made["answered"]))
    said = f"{len(made['answered'])} of {len(made['regions'])} vantages answered."
    if missing:
        said += f" Not yet: {', '.join(missing[:10])}; ask again with id."
    return Answer(said=said, rows=made["results"], fields={"id": made["id"], "state": made["state"]})


_ROUND = ("region", "method", "outcome", "reason", "at", "rtt_ms", "min_ms", "max_ms", "sent", "received")
TOOLS = (
    Tool(
        name="scan", says="Measure a host from this machine now; trace: its path too.", run=scan, asks=Scan,
        scope=Scope.MEASURE, feature=Feature.MEASURE, needs="", fields={"preview": ""},
        row=("what", "target", "address", "method", "outcome", "reason", "sent", "received", "min_ms", "p50_ms", "p95_ms", "reached", "hops"),
    ),
    Tool(
        name="scan_remote", says="Measure a target from regions or globalping:CITY. dry_run (default) tells the cost.",
        run=scan_remote, asks=ScanRemote, scope=Scope.MEASURE, feature=Feature.MEASURE,
        fields={"preview": "", "id": "", "state": ""}, row=_ROUND,
    ),
)  # fmt: skip
