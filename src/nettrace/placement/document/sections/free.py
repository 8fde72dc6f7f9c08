"""What costs nothing, first: connections kept open, WebSockets, a nearer endpoint, the engine's own zone."""

from typing import Any

from nettrace.placement.document.cell import milli
from nettrace.placement.document.ground import Ground
from nettrace.placement.document.seen import Stages
from nettrace.placement.document.shape import Block, Head, Kind, Section, Words, table
from nettrace.placement.sheet import money

_LEAST_MS = 1.0
"""A nearer endpoint counts from here on: less is noise between two names of one service."""


def options(ground: Ground) -> list[dict[str, Any]]:
    """Each thing that costs nothing, with what it saves of one request at today's site, the greatest saving first."""
    site = ground.brief.now
    if site is None:
        return []
    made: list[dict[str, Any]] = []
    for venue in ground.asked.venue:
        note = ground.brief.of_venue(venue.name)
        stages = ground.measured.stages.get((venue.name, site))
        if stages is not None:
            made += _connections(venue.name, note.today, stages)
        made += _nearer(ground, venue.name, site)
        made += _zone(ground, venue.name, site)
    for row in made:
        row["title"] = ground.title(row["venue"])
        row["usd_month"] = row["saves_ms"] * ground.venue(row["venue"]).usd_per_ms_month
    return sorted(made, key=lambda row: -row["saves_ms"])


def _connections(venue: str, today: str, stages: Stages) -> list[dict[str, Any]]:
    ways = {"cold": stages.cold_ms, "kept-alive": stages.warm_ms, "websocket": stages.ws_ms}
    before = ways[today]
    words = {"kept-alive": "keep the connection open", "websocket": "use the WebSocket"}
    return [
        {
            "venue": venue,
            "what": words[way],
            "before_ms": before,
            "after_ms": after,
            "saves_ms": round(before - after, 3),
        }
        for way, after in ways.items()
        if before is not None and after is not None and way in words and way != today and before > after
    ]


def _nearer(ground: Ground, venue: str, site: str) -> list[dict[str, Any]]:
    note = ground.brief.of_venue(venue)
    own = ground.measured.hosts.get((venue, site, note.host or ""))
    found = [ground.measured.hosts.get((venue, site, host)) for host in note.nearer]
    best = min((each for each in found if each is not None), key=lambda each: each.p50_ms, default=None)
    if own is None or best is None or own.p50_ms - best.p50_ms < _LEAST_MS:
        return []
    saves = round(own.p50_ms - best.p50_ms, 3)
    return [{"venue": venue, "what": f"use {best.host} instead of {own.host}", "before_ms": own.p50_ms, "after_ms": best.p50_ms, "saves_ms": saves}]  # fmt: skip


def _zone(ground: Ground, venue: str, site: str) -> list[dict[str, Any]]:
    """The provider's nearest other zone in the same country that costs no more, where both were measured and surely differ."""
    now, own = ground.site(site), ground.seen(venue, site)
    if own is None or own.low_ms is None or now.provider is None or now.country is None:
        return []
    found = [
        (seen, other)
        for other in ground.asked.site
        if (other.provider, other.country) == (now.provider, now.country)
        and other.name != site
        and ground.price(other.name) <= ground.price(site)
        and not ground.refuses(venue, other.name)
        and (seen := ground.seen(venue, other.name)) is not None
        and seen.by == own.by
        and seen.high_ms is not None
        and seen.high_ms < own.low_ms
    ]
    if not found:
        return []
    best, zone = min(found, key=lambda each: each[0].p50_ms)
    what = f"rent at {zone.name} instead of {site} (same provider, no dearer)"
    if zone.move_hours or zone.move_usd:
        what += f"; moving takes {zone.move_hours:g} hours and {money(zone.move_usd)} once"
    saves = round(own.p50_ms - best.p50_ms, 3)
    return [
        {"venue": venue, "what": what, "before_ms": own.p50_ms, "after_ms": best.p50_ms, "saves_ms": saves}
    ]


def free(ground: Ground) -> Section:
    """What to do before renting anything."""
    rows = options(ground)
    blocks: list[Block] = []
    if rows:
        best = rows[0]
        blocks.append(
            Words(
                f"{best['title']}: {best['what']}: {milli(best['before_ms'])} ms become {milli(best['after_ms'])} ms, "
                "for nothing. A new HTTPS connection waits for a name, a TCP and a TLS handshake before it may ask.",
                strong=True,
            )
        )
        columns = [("title", "venue"), ("what", "what to do"), ("before_ms", "now", Kind.MS), ("after_ms", "then", Kind.MS), ("saves_ms", "saves a request", Kind.MS), ("usd_month", "worth a month", Kind.USD)]  # fmt: skip
        blocks.append(table(columns, rows))
    else:
        blocks.append(Words(_why_nothing(ground)))
    staged = [
        {
            "title": ground.title(stage.venue),
            **{name: getattr(stage, name) for name in stage.__struct_fields__},
        }
        for (_, site), stage in ground.measured.stages.items()
        if site == ground.brief.now and stage.cold_ms is not None
    ]
    if staged:
        names = (("dns_ms", "name"), ("connect_ms", "connect"), ("tls_ms", "TLS"), ("ttfb_ms", "first byte"), ("cold_ms", "new connection"), ("warm_ms", "open connection"), ("ws_ms", "WebSocket ping"))  # fmt: skip
        columns = [
            ("title", "venue"),
            *((key, title, Kind.MS) for key, title in names),
            ("n", "n", Kind.COUNT),
        ]
        blocks += [
            Head(f"Where a request's time goes at {ground.brief.now} (medians)"),
            table(columns, staged),
        ]
    zones = [
        {
            "title": ground.title(venue.name),
            "zone": stand.zone,
            "place": stand.place,
            "source": stand.source,
            "confidence": stand.confidence,
        }
        for venue in ground.asked.venue
        if (stand := ground.engine(venue.name)) is not None and stand.zone
    ]
    if zones:
        blocks += [
            Head("The engine's own zone"),
            Words(
                "At equal price, rent in the zone the engine stands in. What another zone saves is counted above where the request has a site "
                "in each and both were measured; elsewhere it is unknown."
            ),
            table(
                [
                    ("title", "venue"),
                    ("place", "region"),
                    ("zone", "zone"),
                    ("confidence", "confidence"),
                    ("source", "source"),
                ],
                zones,
            ),
        ]
    return Section("free", "First what is free", tuple(blocks))


def _why_nothing(ground: Ground) -> str:
    if ground.brief.now is None:
        return "Unknown: the request does not say where everything runs today (document.now)."
    return (
        f"Unknown: no stages of requests were measured at {ground.brief.now}. Run the test plan's jobs there: keeping connections "
        "open usually saves two of three round trips, and this section will say how many milliseconds."
    )
