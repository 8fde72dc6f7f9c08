"""Who is traded with: tables of brokers and data providers, clusters, and advice for each venue."""

from collections.abc import Collection, Iterable
from typing import Any

from nettrace.placement.document.ground import Ground, basis, triple
from nettrace.placement.document.shape import Block, Head, Kind, Section, Words, table
from nettrace.placement.registry.facts import UNKNOWN, Calendar, RegistryVenue, Standing, VenueKind, What
from nettrace.placement.sheet import money

_CHOICES = ("first", "second", "third")


def brokers(ground: Ground) -> Section:
    """Exchanges and brokers: where they stand, from today's site, and what serves them."""
    return Section(
        "brokers", "Brokers and exchanges", _venues(ground, (VenueKind.EXCHANGE, VenueKind.BROKER))
    )


def providers(ground: Ground) -> Section:
    """The same for data providers."""
    blocks = _venues(ground, (VenueKind.DATA,))
    return Section("data", "Data providers", blocks)


def _venues(ground: Ground, wanted: Collection[VenueKind]) -> tuple[Block, ...]:
    rows = [_row(ground, venue.name) for venue in ground.asked.venue if _kind(ground, venue.name) in wanted]
    if not rows:
        return (Words("None in the request."),)
    columns = [
        ("title", "venue"), ("assets", "assets"), ("engine", "engine stands at"), ("confidence", "confidence"),
        ("front", "fronted by"), ("now", f"from {ground.brief.now or 'today'}", Kind.MEDIAN), ("site", "served by"),
        ("then", "then", Kind.MEDIAN), ("evidence", "evidence"), ("blocked", "turns away"),
    ]  # fmt: skip
    return (
        table(columns, rows),
        Words(
            "Engines and fronts by the registry, each with its confidence; 'unknown' is an answer. Latencies are medians in ms."
        ),
    )


def _kind(ground: Ground, name: str) -> VenueKind:
    facts = ground.facts(name)
    return facts.kind if facts else VenueKind.EXCHANGE


def _row(ground: Ground, name: str) -> dict[str, Any]:
    facts, stand, served = ground.facts(name), ground.engine(name), ground.assignment(name)
    now = ground.row(name, ground.brief.now) if ground.brief.now else None
    fronts = _fronts(facts)
    turned = {code.upper() for code in ground.venue(name).forbid_countries}
    turned |= set(facts.blocked.countries) if facts and facts.blocked else set()
    return {
        "title": ground.title(name), "name": name, "assets": ", ".join(facts.assets) if facts else "",
        "engine": "unknown" if stand is None else " ".join(word for word in (stand.place, stand.zone or stand.building) if word),
        "confidence": stand.confidence.value if stand else "unknown", "front": ", ".join(fronts) or "unknown",
        "now": triple(now), "site": served.site if served else "unknown",
        "then": triple(ground.row(name, served.site)) if served else None, "evidence": served.evidence.value if served else "unknown", "blocked": ", ".join(sorted(turned)),
    }  # fmt: skip


def clusters(ground: Ground) -> Section:
    """Venues that have the same nearest site, whatever it costs: where there is something to be near to."""
    groups: dict[str, list[str]] = {}
    for venue in ground.request.venue:
        rows = ground.ranked(venue.name)
        if rows:
            groups.setdefault(rows[0].site, []).append(venue.name)
    blocks: list[Block] = []
    for site, names in sorted(groups.items(), key=lambda pair: -_weight(ground, pair[1])):
        rows = [
            {
                "title": ground.title(name),
                "p50": triple(row),
                "evidence": basis(row),
                "hours": hours(ground, name),
            }
            for name in names
            if (row := ground.row(name, site)) is not None
        ]
        chosen = "is in the plan" if site in ground.plan.sites else "is not in the plan"
        blocks += [
            Head(f"Near {site}"),
            Words(
                f"{len(names)} {'venue is' if len(names) == 1 else 'venues are'} nearest to {site}, which {chosen}. "
                f"A millisecond to them is worth {money(_weight(ground, names))} a month."
            ),
            table(
                [
                    ("title", "venue"),
                    ("p50", "from there", Kind.MEDIAN),
                    ("evidence", "evidence"),
                    ("hours", "open (local time)"),
                ],
                rows,
            ),
        ]
    return Section("clusters", "Clusters", tuple(blocks))


def _weight(ground: Ground, names: Iterable[str]) -> float:
    return sum(ground.venue(name).usd_per_ms_month for name in names)


def hours(ground: Ground, venue: str) -> str:
    """When a venue trades, in its own time zone."""
    calendar = calendar_of(ground, ground.facts(venue))
    if calendar is None:
        return "unknown"
    if calendar.always:
        return "always"
    main = [session for session in calendar.sessions if session.kind == "main"]
    return f"{', '.join(f'{each.opens}-{each.closes}' for each in main)} {calendar.zone}"


def calendar_of(ground: Ground, facts: RegistryVenue | None) -> Calendar | None:
    """The calendar of a venue, or None."""
    return ground.registry.calendars.get(facts.calendar) if facts else None


def advice(ground: Ground) -> Section:
    """For each venue: where it stands, the three nearest sites that may serve it, and what else is said of it."""
    blocks: list[Block] = []
    for venue in ground.asked.venue:
        blocks += [Head(ground.title(venue.name)), Words(" ".join(_told(ground, venue.name)))]
        rows = [
            {
                "choice": choice,
                "site": row.site,
                "p50": triple(row),
                "evidence": basis(row),
                "plan": _use(ground, venue.name, row.site),
            }
            for choice, row in zip(_CHOICES, ground.ranked(venue.name), strict=False)
        ]
        if rows:
            blocks.append(
                table(
                    [
                        ("choice", "choice"),
                        ("site", "site"),
                        ("p50", "latency", Kind.MEDIAN),
                        ("evidence", "evidence"),
                        ("plan", "in the plan"),
                    ],
                    rows,
                )
            )
        else:
            blocks.append(Words(_unknown(ground, venue.name)))
    return Section("advice", "Advice for each venue", tuple(blocks))


def _unknown(ground: Ground, venue: str) -> str:
    note = ground.brief.of_venue(venue)
    if note.host or note.url or note.ws:
        return "Unknown from every site: not measured. The test plan measures it."
    return "Unknown from every site: the request names no host of it (document.venue), so nothing can be measured."


def _fronts(facts: RegistryVenue | None) -> list[str]:
    """The content networks before a venue; `none` when no endpoint has one, nothing when that is not known."""
    found = {each.fronted_by for each in facts.endpoints} if facts else set[str]()
    known = sorted(found - {"none", UNKNOWN})
    return known or (["none"] if found == {"none"} else [])


def _use(ground: Ground, venue: str, site: str) -> str:
    served = ground.assignment(venue)
    if served is not None and served.site == site:
        return "serves it"
    if served is not None and served.backup == site:
        return "backup"
    return "rented for others" if site in ground.plan.sites else "not rented"


def _told(ground: Ground, name: str) -> list[str]:
    facts, stand = ground.facts(name), ground.engine(name)
    if facts is None:
        return ["The registry does not know it."]
    if stand is None or stand.place == "unknown":
        words = ["Where its engine stands is not known."]
    else:
        where = " ".join(word for word in (stand.place, stand.zone, stand.building) if word)
        words = [f"Its engine stands at {where} ({stand.confidence.value}, {stand.date}: {stand.source})."]
    words += [
        f"Others put it at {each.place}; that is contradicted{f' ({each.note})' if each.note else ''}."
        for each in facts.stands
        if each.what is What.ENGINE and each.standing is Standing.CONTRADICTED
    ]
    edges = [each for each in _fronts(facts) if each != "none"]
    if edges:
        words.append(
            f"{', '.join(edges)} stands before it: a ping or handshake measures that edge, not the venue."
        )
    refused = [site.name for site in ground.asked.site if ground.refuses(name, site.name)]
    if refused:
        words.append(f"It refuses orders from {', '.join(refused)}, however near these are.")
    words.append(f"Open: {hours(ground, name)}.")
    return words
