"""A placement from the request's text to its document: what the command, the API, the page and MCP all ask."""

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from nettrace.analysis.geo.floor import floor_between
from nettrace.analysis.geo.sphere import between_km
from nettrace.errors import Infeasible, Invalid
from nettrace.hub.claims import audit, audit_document
from nettrace.hub.estimating import Table, with_estimates
from nettrace.hub.facts import claims as known_claims
from nettrace.hub.facts import facts
from nettrace.hub.trading_hours import by_session, quiet_words, trading_session
from nettrace.model.instant import ms, rfc3339
from nettrace.model.path import Place
from nettrace.model.target import RoundMethod
from nettrace.outside.places import find
from nettrace.placement.chance import chance
from nettrace.placement.document.brief import Brief, brief_of, check, split
from nettrace.placement.document.compose import parts
from nettrace.placement.document.ground import Ground
from nettrace.placement.document.seen import Measured, Seen, host_of_url, set_aside, with_measured
from nettrace.placement.front import front
from nettrace.placement.pairs import with_pairs
from nettrace.placement.physics import check_physics
from nettrace.placement.plan import Plan, Solver, Status, assignments_of, make_plan, plain, plan_document
from nettrace.placement.problem import Reader, Requirement
from nettrace.placement.registry.facts import Registry
from nettrace.placement.registry.naming import completed
from nettrace.placement.request import Request, parse_request, read_request
from nettrace.placement.search import MOST_SITES
from nettrace.placement.sensitivity import flips
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Summary, Window

Document = dict[str, Any]
Measure = Callable[[Request, Brief], Measured]
"""What was measured of a request's pairs."""

NEAR_KM = 100.0
"""A claim's origin this near to a site is that site."""
_PINGS = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP)
_FEW_PAIRS, _DRAWS = 300, 300


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted beside the plan itself, and how long each answer may take.

    Attributes:
        chance: draws; None is not wanted.
        generous: everything, where the request is so small that it takes no time.
    """

    pareto: bool = False
    sensitivity: bool = False
    chance: int | None = None
    seed: int = 1
    solver: Solver = Solver.AUTO
    seconds: float = 120.0
    generous: bool = False

    def of(self, request: Request) -> "Wanted":
        """What is done for this request."""
        large = len(request.site) > MOST_SITES or len(request.site) * len(request.venue) > _FEW_PAIRS
        if large or not self.generous:
            return self
        return msgspec.structs.replace(self, pareto=True, sensitivity=True, chance=self.chance or _DRAWS)


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the request.

    Attributes:
        estimates: pairs without a latency that are estimated: `registry`, `all` or `never`.
        tables: a user's tables of round trips, on top of what ships.
        world: name of the lab's world that was measured.
    """

    facts: Registry
    measure: Measure
    estimates: str = "registry"
    tables: tuple[Table, ...] = ()
    world: str | None = None


def ground_of(asked: str | Mapping[str, Any], sources: Sources, wanted: Wanted) -> Ground:
    """A request read, completed from the registry, measured, estimated and solved; TOML text or the same as JSON tables.

    Raises:
        Invalid: with what is wrong in it.
        MissingExtra: it needs a solver or estimates, and the extra `plan` is not installed.
        SolverStopped: time ran out.
    """
    written, brief = _read(asked, sources.facts)
    written = with_pairs(written)
    check(brief, written)
    audited = audits(brief, written, sources.facts)
    measured = sources.measure(written, brief)
    request = with_measured(written, measured)
    request = _whole(with_estimates(request, sources.facts, sources.tables, sources.estimates))
    check_physics(request, floor_ms)
    aside: tuple[str, ...] = ()
    if brief.unmeasured == "set aside":
        request, aside = set_aside(request)
        if not request.venue:
            raise Invalid(
                "no venue has a latency to any site",
                "Measure some: the hosts are in document.venue; --results, --data or --lab",
            )
    plan = make_plan(request, wanted.solver, wanted.seconds, time.monotonic)
    extras = _extras(request, plan.sites, wanted.of(request)) if plan.status is Status.OPTIMAL else {}
    return Ground(
        request=request, asked=written, aside=aside, plan=plan, brief=brief, measured=measured,
        registry=sources.facts, today=datetime.fromtimestamp(time.time(), UTC).date(), extras=extras, audits=audited,
        world=sources.world, quiet=_quiet(plan, sources.facts),
    )  # fmt: skip


def _quiet(plan: Plan, known: Registry) -> dict[str, str]:
    """For each chosen site when nothing it serves trades, in words."""
    now = time.time_ns()
    words = {
        name: quiet_words([each.venue for each in plan.assignments if each.site == name], known, now)
        for name in plan.sites
    }
    return {name: each for name, each in words.items() if each}


def _whole(request: Request) -> Request:
    """The request with its pairs as venues and nothing else: one that is set aside must not come back."""
    bare = {pair.name for pair in request.pair}
    legs = tuple(venue for venue in request.venue if venue.name not in bare)
    rows = tuple(row for row in request.latency if row.venue not in bare)
    whole = with_pairs(msgspec.structs.replace(request, venue=legs, latency=rows))
    return msgspec.structs.replace(whole, pair=())


def bare_document(ground: Ground) -> Document:
    """`nettrace.plan/1` without the document."""
    return plan_document(ground.plan) | dict(ground.extras)


def full_document(ground: Ground) -> Document:
    """`nettrace.plan/1` as `nettrace plan -o json` has it."""
    return bare_document(ground) | parts(ground)


def _read(asked: str | Mapping[str, Any], facts: Registry) -> tuple[Request, Brief]:
    def complete(request: Request) -> Request:
        return completed(request, facts, find)

    if isinstance(asked, str):
        own, brief = split(asked)
        return parse_request(own, complete), brief
    tables = {name: each for name, each in asked.items() if name != "document"}
    brief = brief_of(asked.get("document", {}))
    return read_request(tables, complete), brief


def floor_ms(*ends: float) -> float:
    """The least round trip of anything between two places (latitude, longitude each), in ms.

    >>> round(floor_ms(40.7, -74.2, 1.3, 103.8))
    102
    """
    return floor_between(_place(*ends[:2]), _place(*ends[2:])).vacuum_ns / 1e6


def _place(latitude: float, longitude: float) -> Place:
    return Place(name="", latitude=latitude, longitude=longitude, radius_km=0, evidence="given")


def _extras(request: Request, sites: tuple[str, ...], wanted: Wanted) -> Document:
    made = Document()
    if wanted.pareto:
        made["pareto"] = plain(front(request, wanted.solver, wanted.seconds))
    if wanted.sensitivity:
        made["sensitivity"] = plain(flips(request, sites, wanted.solver, wanted.seconds))
    if wanted.chance:
        draw = random.Random(wanted.seed).random
        made["chance"] = plain(chance(request, sites, wanted.chance, draw, wanted.solver, wanted.seconds))
    return made


def nothing_measured(_request: Request, _brief: Brief) -> Measured:
    """No measurement of any pair."""
    return Measured()


def history(
    reader: StoreReader,
    window: Window,
    request: Request,
    brief: Brief,
    visible: Callable[[str], bool] = lambda _: True,
) -> dict[tuple[str, str], Seen]:
    """What a hub's own nodes have measured of the request's pairs, of the hosts that whoever asks may see."""
    made: dict[tuple[str, str], Seen] = {}
    for venue in request.venue:
        note = brief.of_venue(venue.name)
        host = host_of_url(note.url) if note.by == "request" else note.host
        if not host or not visible(host):
            continue
        methods = (RoundMethod.HTTP,) if note.by == "request" else _PINGS
        for site in request.site:
            vantage = brief.of_site(site.name).vantage or site.name
            found = reader.summary(Choice(targets=(host,), vantages=(vantage,)), window)
            known = [
                each
                for each in found
                if each.series.method in methods and each.quantiles_ns["p50"] is not None
            ]
            if known:
                best = min(known, key=lambda each: each.quantiles_ns["p50"] or 0)
                seen = _seen((venue.name, site.name), (host, note.by), best, window)
                made[venue.name, site.name] = (
                    seen if note.hours == "all" else _at_hours(reader, seen, best, vantage)
                )
    return made


def _at_hours(reader: StoreReader, seen: Seen, best: Summary, vantage: str) -> Seen:
    """The same while the venue trades, where the registry knows its sessions and something was measured in them."""
    session = trading_session(seen.venue, facts())
    if session is None:
        return seen
    choice = Choice(
        targets=(seen.host,), vantages=(vantage,), endpoints=(best.series.endpoint,), methods=(best.series.method,)
    )  # fmt: skip
    inside, outside = by_session(reader, choice, best.window, session)
    if inside is None:
        return seen
    return msgspec.structs.replace(
        seen, n=inside.n, lost=inside.lost, p50_ms=ms(inside.p50_ns) or 0.0, p95_ms=ms(inside.p95_ns) or 0.0,
        low_ms=ms(inside.low_ns), high_ms=ms(inside.high_ns), hours=facts().venues[seen.venue].calendar,
        closed_p50_ms=ms(outside.p50_ns) if outside else None, closed_p95_ms=ms(outside.p95_ns) if outside else None,
    )  # fmt: skip


def _seen(pair: tuple[str, str], what: tuple[str, str], best: Summary, window: Window) -> Seen:
    return Seen(
        venue=pair[0], site=pair[1], host=what[0], by=what[1], n=best.received, lost=best.sent - best.received,
        p50_ms=ms(best.quantiles_ns["p50"]) or 0.0, p95_ms=ms(best.quantiles_ns["p95"]) or 0.0, mad_ms=None,
        low_ms=ms(best.low_p50_ns), high_ms=ms(best.high_p50_ns), since=rfc3339(window.start), until=rfc3339(window.end),
    )  # fmt: skip


def audits(brief: Brief, request: Request, facts: Registry) -> tuple[Mapping[str, Any], ...]:
    """The claims of the quoted document, each judged by light and registry, with the request's site it speaks from.

    Raises:
        Invalid: the registry of claims has no document of that name.
    """
    if brief.quoted is None:
        return ()
    claims = [claim for claim in known_claims() if claim.document == brief.quoted.document]
    if not claims:
        known = sorted({claim.document for claim in known_claims()})
        raise Invalid(
            f"no claim of '{brief.quoted.document}' is on record", f"There are claims of: {'; '.join(known)}"
        )
    made = [audit_document(audit(claim, facts, find), None) for claim in claims]
    return tuple({**each, "site": _site_at(each["from"], request)} for each in made)


def _site_at(origin: str | None, request: Request) -> str | None:
    place = find(origin) if origin else None
    if place is None:
        return None
    near = (
        site.name
        for site in request.site
        if site.lat is not None
        and site.lon is not None
        and between_km(place, _place(site.lat, site.lon)) <= NEAR_KM
    )
    return next(near, None)


def spread(ground: Ground) -> list[tuple[float, float]]:
    """For each trade of the front what latency costs a month were every round trip at the low, and at the high end.

    A round trip without an interval counts at its median. All at one end is further than chance would have it: these are
    bounds of the intervals' sum, not its interval.
    """
    reader = Reader(ground.request)
    problem = reader.problem((Requirement("budget_usd_month"),))
    weight = {venue.name: venue.usd_per_ms_month for venue in ground.request.venue}
    number = {site.name: at for at, site in enumerate(ground.request.site)}
    made: list[tuple[float, float]] = []
    for trade in ground.extras.get("pareto", ()):
        rows = assignments_of(reader, problem, sum(1 << number[name] for name in trade["sites"]))
        low, high = (
            sum(weight[row.venue] * (row.p50_ms if end is None else end) for row, end in ends)
            for ends in ([(row, row.low_ms) for row in rows], [(row, row.high_ms) for row in rows])
        )
        made.append((round(low, 6), round(high, 6)))
    return made


def refuse(plan: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Return when a `nettrace.plan/1` is a plan.

    Raises:
        Infeasible: it is not; each requirement of the conflict is named by its place in the request.
    """
    if plan["status"] != Status.INFEASIBLE:
        return
    hint = (
        "This is a smallest set of requirements that cannot hold together: change one of them"
        if plan["conflict_smallest"]
        else "All of these are needed for the conflict, though a smaller one, of "
        f"{plan['conflict_at_least']} or more, is not excluded: change one of them"
    )
    pairs = zip(plan["conflict"], plan["reasons"], strict=True)
    conflict = tuple((_pointer(name, request), words) for name, words in pairs)
    raise Infeasible(plan["explanation"], hint, conflict=conflict)


def _pointer(name: str, request: Mapping[str, Any]) -> str:
    """Where a requirement stands in the request: `venue v max_ms` at `venue/0/max_ms`."""
    table, _, rest = name.partition(" ")
    if table not in {"venue", "site", "service"}:
        return f"limits/{name}"
    owner, _, key = rest.rpartition(" ")
    pairs = [each["name"] for each in request.get("pair", ())]
    if table == "venue" and owner in pairs:
        return f"pair/{pairs.index(owner)}" + ("" if key == "latency" else f"/{key}")
    at = next((at for at, each in enumerate(request[table]) if each["name"] == owner), 0)
    return f"{table}/{at}" if key in {"latency", "placed"} else f"{table}/{at}/{key}"
