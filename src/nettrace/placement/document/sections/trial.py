"""What to run: jobs that measure before renting for long, rules that watch after it."""

from collections.abc import Iterator
from typing import Any

from nettrace.placement.document.ground import Ground
from nettrace.placement.document.jobs import file_name, jobs, script, targets_file
from nettrace.placement.document.promise import promises
from nettrace.placement.document.sections.market import calendar_of
from nettrace.placement.document.seen import host_of_url
from nettrace.placement.document.shape import Block, File, Head, Items, Kind, Section, Words, table

_MADS = 8
_SHARE = 0.02
_LEAST_MS = 0.1


def trial(ground: Ground) -> Section:
    """Jobs for each candidate site, what must come out, and the same as targets for own nodes."""
    todo = jobs(ground.asked, ground.brief)
    if not todo:
        return Section(
            "trial",
            "Test plan",
            (Words("The request names no hosts to measure (document.venue host, url, ws)."),),
        )
    sites = [
        *ground.plan.sites,
        *(site.name for site in ground.asked.site if site.name not in ground.plan.sites),
    ]
    blocks: list[Block] = [
        Words(
            "Rent each machine by the hour, run its script there, bring its file home, and let NetTrace judge. Repeat at the hours you trade: "
            "twelve minutes do not speak for a day. Own nodes do it all day instead."
        ),
        table([("title", "venue"), ("site", "from"), ("most_ms", "must be at most", Kind.MS)], [{"title": ground.title(each.venue), "site": each.site, "most_ms": each.high_ms} for each in promises(ground.plan)]),
    ]  # fmt: skip
    for name in sites:
        blocks.append(File(f"probe-{file_name(name)}.sh", "sh", script(name, todo)))
    files = " ".join(f"--results {name}={file_name(name)}.ndjson" for name in ground.plan.sites)
    judge = (
        f"nettrace plan REQUEST.toml {files} -o json > plan.json\nnettrace plan verify plan.json {files}\n"
    )
    blocks += [
        File("judge.sh", "sh", judge),
        Head("The same for own nodes"),
        File("targets.toml", "toml", targets_file(ground.asked, ground.brief)),
    ]
    return Section("trial", "Test plan", tuple(blocks))


def watching(ground: Ground) -> Section:
    """Rules for `nettrace alerts`, one threshold for each pair."""
    text = rules(ground)
    words = (
        f"Each pair has its own threshold: its p95 and {_MADS} median absolute deviations above it (2 % of the median and "
        "0.1 ms at least) where it was measured; where not, the same from what the hub will have seen. One number for all distances, such as "
        "100 ms, would always fire on one pair and never on another. Replication lag, processor and disk are your own monitoring's."
    )
    return Section("watching", "Monitoring", (Words(words), File("alerts.toml", "toml", text)))


def rules(ground: Ground) -> str:
    """The text of an `alerts.toml`."""
    parts = ["# Save as alerts.toml in the hub's folder; `nettrace alerts rules --rules FILE` checks it."]
    sessions: dict[str, str] = {}
    for each in ground.plan.assignments:
        session = _session(ground, each.venue, sessions)
        for site, role in ((each.site, "serving"), (each.backup, "backup")):
            if site is not None:
                parts += _pair(ground, each.venue, (site, role), session)
    for code in dict.fromkeys(_vantage(ground, name) for name in ground.plan.sites):
        parts += [
            _rule(f"node {code} is silent", 'preset = "silent-node"', vantages=[code]),
            _rule(f"node {code} sees nothing", 'preset = "blind-node"', vantages=[code]),
        ]
    return "\n\n".join([*parts[:1], *sessions.values(), *parts[1:]]) + "\n"


def threshold_ms(ground: Ground, venue: str, site: str) -> float | None:
    """Where a pair is called slow: p95 + 8 deviations; None where it was not measured often enough."""
    seen = ground.seen(venue, site)
    if seen is None or seen.low_ms is None:
        return None
    return round(seen.p95_ms + _MADS * max(seen.mad_ms or 0.0, _SHARE * seen.p50_ms, _LEAST_MS), 2)


def _pair(ground: Ground, venue: str, where: tuple[str, str], session: str | None) -> Iterator[str]:
    (site, role), note = where, ground.brief.of_venue(venue)
    host = host_of_url(note.url) if note.by == "request" else note.host
    if host is None:
        return
    scope: dict[str, Any] = {"targets": [host], "vantages": [_vantage(ground, site)]}
    if session:
        scope["session"] = session
    most = threshold_ms(ground, venue, site)
    what = f'metric = "p50"\nabove = {most}' if most is not None else f'metric = "p50"\nmads = {_MADS}'
    methods = {"methods": ["http"]} if note.by == "request" else {"methods": ["icmp", "tcp"]}
    yield _rule(
        f"{venue} from {site} is slow ({role})", f'{what}\nwindow = "5m"\nfor = "2m"', **scope, **methods
    )
    if role == "serving":
        yield _rule(f"{venue} from {site} is down", 'preset = "down"\nseverity = "critical"', **scope)
        yield _rule(f"{venue} from {site} fails often", 'preset = "errors-critical"', **scope)
        yield _rule(
            f"{venue} from {site} goes another way",
            'preset = "route-change"',
            targets=[host],
            vantages=scope["vantages"],
        )


def _rule(name: str, what: str, **fields: Any) -> str:
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items()]
    return "\n".join(["[[rule]]", f"name = {_toml(name)}", what, *lines])


def _session(ground: Ground, venue: str, made: dict[str, str]) -> str | None:
    """The name of the session a venue's rules are judged in; None around the clock or where several make a day."""
    calendar = calendar_of(ground, ground.facts(venue))
    main = [each for each in calendar.sessions if each.kind == "main"] if calendar else []
    if calendar is None or len(main) != 1:
        return None
    name = file_name(calendar.name)
    closed = calendar.holidays.days if calendar.holidays else ()
    days = [f"{day}" for day in main[0].days.split()]
    made[name] = (
        f"[session.{name}]\nzone = {_toml(calendar.zone)}\nopen = {main[0].opens}:00\nclose = {main[0].closes}:00\n"
        f"days = {_toml(days)}\nclosed = [{', '.join(closed)}]"
    )
    return name


def _vantage(ground: Ground, site: str) -> str:
    return ground.brief.of_site(site).vantage or site


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"  # type: ignore[reportUnknownVariableType]
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def migration(ground: Ground) -> Section:
    """What to do before, while and after moving."""
    plan, now = ground.plan, ground.brief.now
    new = [name for name in plan.sites if name != now]
    before = [
        "Do what is free first; measure again, and plan again with what is left.",
        *(
            f"Rent {name} by the hour, run probe-{file_name(name)}.sh at your trading hours, keep the file."
            for name in new
        ),
        "Check with `nettrace plan verify` that every promise holds before renting for a month.",
        *(
            f"Ask {ground.title(venue.name)} which addresses may trade: it refuses {', '.join(venue.forbid_countries)}."
            for venue in ground.request.venue
            if venue.forbid_countries
        ),
        "Name the hub's host, allow the nodes' outgoing HTTPS to it, and nothing inwards but what your services need.",
    ]
    during = [
        *(
            f"Start the node of {name}: `nettrace fleet token --region {_vantage(ground, name)}` on the hub, then the unit from `nettrace plan --deploy`."
            for name in plan.sites
        ),
        *(
            f"Move to {name}: {', '.join(each.name for each in ground.services(name)) or 'its services'}."
            for name in new
        ),
        "Import targets.toml and alerts.toml at the hub; send a test notice with `nettrace alerts test`.",
        *(f"Maintenance of {name}, and moving to it: {words}." for name, words in ground.quiet.items()),
        "Move one venue's orders at a time, the smallest size first; keep the old way open until a week has passed.",
    ]
    after = [
        "Run `nettrace plan verify plan.json --data DIR` after a day and after a week: kept, broken or not measured, for each venue.",
        *(
            f"Switch {ground.title(each.venue)} to its backup {each.backup} once, on purpose."
            for each in plan.assignments
            if each.backup
        ),
        "Plan again with the new measurements; when the choice changes, the document says by which number.",
        *([f"End {now}: nothing of the plan stands there."] if now and now not in plan.sites else []),
    ]
    blocks: list[Block] = []
    for head, items in (("Before", before), ("While moving", during), ("After", after)):
        blocks += [Head(head), Items(tuple(items), checks=True)]
    return Section("migration", "Migration checklist", tuple(blocks))
