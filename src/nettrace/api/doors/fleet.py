"""The fleet: who measures and how far to believe it; the mesh of its nodes, both directions of each pair."""

from nettrace.api import asked, shapes
from nettrace.api.asked import Region, Tabled
from nettrace.api.call import Call
from nettrace.api.doors.routes import route_row
from nettrace.api.given import Answer
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.schema.fleet import ClockShape, FleetRow, LegShape, LoadShape, PairPage, PairRow
from nettrace.api.schema.page import Page
from nettrace.hub.mesh import Leg, Pair, mesh_target, pairs, unmeasured
from nettrace.hub.query import routes_now
from nettrace.hub.trust import Standing, standings
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_S, ms, rfc3339
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Load
from nettrace.store.port import Choice
from nettrace.store.rows import Window

FRESH_S = 5
DAY_NS = 86_400 * NS_PER_S


class MeshQuery(Tabled, frozen=True, kw_only=True):
    """Pairs of these vantages alone."""

    region: Region = ()


class FleetQuery(Tabled, frozen=True, kw_only=True):
    """All of them."""


async def mesh(call: Call) -> Answer:
    """Every pair of vantages, both directions beside each other."""
    wanted = asked.regions_in(call.snapshot, call.query.region)
    found = [pair for pair in pairs(call.snapshot) if not wanted or {pair.one, pair.other} & set(wanted)]
    return Answer(content=Page[PairRow](data=[_pair(each) for each in found]), fresh_s=FRESH_S)


async def one_pair(call: Call) -> Answer:
    """One pair, with the routes both ways."""
    one, other = sorted((call.path["one"], call.path["other"]))
    asked.regions_in(call.snapshot, (one, other))
    known = {(each.one, each.other): each for each in pairs(call.snapshot)}
    pair = known.get((one, other)) or unmeasured(one, other)
    window = Window(call.now - DAY_NS, call.now + 1)
    choice = Choice(
        targets=(mesh_target(one), mesh_target(other)),
        vantages=(one, other),
        methods=(RoundMethod.TRACE.value,),
    )
    found = await call.service.readers.run(lambda reader: routes_now(reader, choice, window))
    return Answer(
        content=PairPage(pair=_pair(pair), routes=[route_row(each) for each in found]), fresh_s=FRESH_S
    )


async def fleet(call: Call) -> Answer:
    """Every vantage with its node, clock and trust."""
    rows = [_standing(each) for each in standings(call.snapshot)]
    return Answer(content=Page[FleetRow](data=rows), fresh_s=FRESH_S)


def _pair(pair: Pair) -> PairRow:
    return PairRow(
        one=pair.one, other=pair.other, at=shapes.maybe(pair.at), rtt_ms=ms(pair.rtt_ns), error_ms=ms(pair.error_ns),
        there=_leg(pair.there), back=_leg(pair.back), asymmetry_ms=ms(pair.asymmetry_ns),
        asymmetry_error_ms=ms(pair.asymmetry_error_ns),
        routes=f"/api/v1/mesh/{pair.one}/{pair.other}",
    )  # fmt: skip


def _leg(leg: Leg | None) -> LegShape | None:
    if leg is None:
        return None
    return LegShape(
        origin=leg.origin, target=leg.target, by=leg.by, at=rfc3339(leg.at), stale=leg.stale, delay_ms=ms(leg.delay_ns),
        min_ms=ms(leg.min_ns), max_ms=ms(leg.max_ns), error_ms=ms(leg.error_ns), sent=leg.sent, lost=leg.lost,
        reordered=leg.reordered, hops=leg.hops,
    )  # fmt: skip


def _standing(standing: Standing) -> FleetRow:
    known, judged = standing.vantage, standing.trust
    clock = known.clock
    return FleetRow(
        region=known.code, node=known.node, state=known.state.value, down=standing.down, version=known.version,
        last_seen=shapes.maybe(known.last_seen), methods=known.methods, problems=list(known.problems),
        reflector=known.reflector or None,
        clock=ClockShape(
            quality=standing.clock, offset_ms=ms(clock.offset_ns) if clock else None,
            error_ms=ms(clock.error_ns) if clock else None, synchronised=clock.synchronised if clock else None,
            drift_ppm=clock.drift_ppm if clock else None,
        ),
        trust=judged.score, judged=judged.judged, contradicted=judged.contradicted, flagged=judged.flagged,
        evidence=list(judged.evidence), lost_records=known.lost_records,
        load=_load(known.load), backlog=known.backlog,
        backlog_since=shapes.maybe(known.oldest_at) if known.backlog else None,
    )  # fmt: skip


def _load(load: Load | None) -> LoadShape | None:
    if load is None:
        return None
    return LoadShape(
        cpu_percent=load.cpu_percent, cores=load.cores, memory_percent=load.memory_percent, memory_bytes=load.memory_bytes,
        disk_percent=load.disk_percent, disk_bytes=load.disk_bytes, rss_bytes=load.rss_bytes,
        replication_lag_s=load.replication_lag_s,
    )  # fmt: skip


OPERATIONS = (
    Operation(
        id="listMesh", method="GET", path="/api/v1/mesh", tag="Fleet", handler=mesh, query=MeshQuery,
        answer=Page[PairRow], feature=Feature.ROUTES,
        summary="Every pair of nodes: both one-way delays, losses and order per direction",
        description=(
            "Nodes measure each other with STAMP (RFC 8762). A one-way delay stands there only where the bound of both "
            "clocks' errors is below half the round trip; the bound itself always does, once both clocks have one."
        ),
        example="/api/v1/mesh",
    ),
    Operation(
        id="getMeshPair", method="GET", path="/api/v1/mesh/{one}/{other}", tag="Fleet", handler=one_pair, query=NoQuery,
        answer=PairPage, feature=Feature.ROUTES, summary="One pair of nodes, with the routes both ways",
        example="/api/v1/mesh/nyc/sin",
    ),
    Operation(
        id="listFleet", method="GET", path="/api/v1/fleet", tag="Fleet", handler=fleet, query=FleetQuery,
        answer=Page[FleetRow], summary="Every vantage: node, clock, and how far to believe it",
        description="A vantage whose round trips contradict light, from where it says it stands, is flagged with the evidence.",
        example="/api/v1/fleet",
    ),
)  # fmt: skip
