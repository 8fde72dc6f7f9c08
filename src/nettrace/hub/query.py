"""Every read of the hub, typed: what doors ask. Nothing here knows HTTP, and nothing writes."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum
from itertools import combinations

import msgspec

from nettrace.errors import Invalid, NotFound
from nettrace.hub.custom import own_name
from nettrace.hub.latest import Snapshot, stale
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Outcome
from nettrace.model.target import Endpoint, Role, RoundMethod, Series, Target
from nettrace.model.vantage import third_party
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import (
    ROUND_FIELDS,
    STEP_S,
    Columns,
    Latest,
    RawColumns,
    Resolution,
    RouteState,
    StoredTrace,
    Summary,
    Window,
)

PINGS = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP)
PREFERENCE = (*PINGS, RoundMethod.WS, RoundMethod.HTTP, RoundMethod.DNS)
"""Which method speaks for an endpoint when none is named: a round trip before an exchange."""
AUTO_POINTS = 500


class Group(StrEnum):
    """What answers. Places in a ranking are given within one group only."""

    ORIGIN = "origin"
    API = "api"
    EDGE = "edge"
    WEB = "web"
    RESOLVER = "resolver"


_GROUPS = {
    Role.ENGINE: Group.ORIGIN, Role.API: Group.API, Role.DATA: Group.API, Role.WEB: Group.WEB, Role.RESOLVER: Group.RESOLVER,
    Role.NODE: Group.API,
}  # fmt: skip


def group_of(endpoint: Endpoint) -> Group:
    """What answers at an endpoint: behind a content network it is always that network's edge."""
    return Group.EDGE if endpoint.fronted_by else _GROUPS[endpoint.role]


def target_of(snapshot: Snapshot, host: str, account: str) -> Target:
    """The target of that name.

    Raises:
        NotFound: nobody's, or somebody else's; the nearest names are the hint.
    """
    named = snapshot.targets.get
    found = named(host) or named(host.lower()) or named(own_name(host.lower(), account))
    if found is not None and found.account in {None, account}:
        return found
    names = [target.host for target in snapshot.visible(account)]
    close = get_close_matches(host.lower(), names, n=3)
    hint = f"Did you mean {' or '.join(repr(name) for name in close)}?" if close else "See /api/v1/targets"
    raise NotFound(f"no target '{host[:100]}'", hint)


def known_regions(snapshot: Snapshot) -> list[str]:
    """Vantages that are enrolled or have measured."""
    measured = snapshot.of_all(
        "regions", lambda: {series.vantage for rows in snapshot.newest.values() for series in rows}
    )
    return sorted(measured | set(snapshot.vantages))


def check_regions(snapshot: Snapshot, regions: Iterable[str]) -> None:
    """Nothing when all of them exist.

    Raises:
        Invalid: one does not; the nearest is the hint.
    """
    known = known_regions(snapshot)
    for region in regions:
        if region not in known and region not in snapshot.third_parties:
            close = get_close_matches(region, known, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are: {', '.join(known) or 'none yet'}"
            raise Invalid(f"no region '{region[:50]}'", hint)


def endpoint_of(target: Target, name: str | None) -> Endpoint:
    """The target's endpoint of that name, or its first.

    Raises:
        Invalid: it has none of that name.
    """
    for endpoint in target.endpoints:
        if name is None or endpoint.name == name:
            return endpoint
    raise Invalid(
        f"{target.host} has no endpoint '{name}'",
        f"It has: {', '.join(each.name for each in target.endpoints)}",
    )


def readings(snapshot: Snapshot, target: Target, regions: Sequence[str] = ()) -> list[Latest]:
    """The newest round of every series of a target but its traces, by series; a third party's where it is named."""
    rows = snapshot.newest.get(target.host, {})
    if any(map(third_party, regions)):
        rows = {**rows, **snapshot.lent.get(target.host, {})}
    return [
        rows[series]
        for series in sorted(rows)
        if series.method is not RoundMethod.TRACE and (not regions or series.vantage in regions)
    ]


def lent(snapshot: Snapshot, target: Target) -> list[Latest]:
    """The newest round of every series of other people's vantages but its traces, by series."""
    rows = snapshot.lent.get(target.host, {})
    return [rows[series] for series in sorted(rows) if series.method is not RoundMethod.TRACE]


def speaking(snapshot: Snapshot, target: Target, regions: Sequence[str] = ()) -> list[Latest]:
    """Of each vantage, the series that speaks for the target: its first endpoint, by the preferred method it has."""
    name = target.endpoints[0].name if target.endpoints else ""
    best: dict[str, Latest] = {}
    for row in readings(snapshot, target, regions):
        series = row.round.series
        if series.endpoint != name:
            continue
        other = best.get(series.vantage)
        if other is None or _preferred(series.method) < _preferred(other.round.series.method):
            best[series.vantage] = row
    return [best[vantage] for vantage in sorted(best)]


def shown(rows: Sequence[Latest], at: Instant) -> Latest | None:
    """The one row that stands for a target when no vantage is named: the nearest that measured and is fresh."""
    measured = [row for row in rows if row.round.rtt_ns is not None and not stale(row, at)]
    if measured:
        return min(measured, key=lambda row: (row.round.rtt_ns or 0, row.round.series))
    return max(rows, key=lambda row: (row.round.due, row.round.series), default=None)


def _preferred(method: RoundMethod) -> int:
    return PREFERENCE.index(method) if method in PREFERENCE else len(PREFERENCE)


def method_of(snapshot: Snapshot, target: Target, endpoint: Endpoint) -> RoundMethod:
    """The preferred method an endpoint was measured by, or is to be."""
    seen = {
        series.method for series in snapshot.newest.get(target.host, {}) if series.endpoint == endpoint.name
    }
    return min(seen - {RoundMethod.TRACE} or set(endpoint.methods) or {RoundMethod.TCP}, key=_preferred)


def resolution_for(window: Window, points: int = AUTO_POINTS) -> Resolution:
    """The finest resolution that cuts a window into no more than so many buckets.

    >>> resolution_for(Window(0, 86_400 * NS_PER_S)).value
    '15m'
    """
    length_s = (window.end - window.start) / NS_PER_S
    for resolution, step_s in STEP_S.items():
        if length_s / step_s <= points:
            return resolution
    return Resolution.DAY


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What history is asked for."""

    choice: Choice
    window: Window
    resolution: Resolution
    quantiles: tuple[float, ...]
    as_of: Instant | None
    limit: int


class Bucket(msgspec.Struct, frozen=True):
    """One entry of a column answer: where to find it."""

    start: Instant
    columns: Columns
    index: int


def buckets(
    reader: StoreReader, question: Question, after: tuple[Instant, Series] | None
) -> tuple[list[Bucket], bool]:
    """A page of buckets by (start, series), and whether more follow. Reads no more of the window than it needs."""
    step_ns = STEP_S[question.resolution] * NS_PER_S
    start = question.window.start if after is None else max(question.window.start, after[0])
    stretch = step_ns * (question.limit + 2)
    found: list[Bucket] = []
    while start < question.window.end and len(found) <= question.limit:
        end = min(question.window.end, (start // step_ns) * step_ns + stretch)
        part = reader.history(
            question.choice, Window(start, end), question.resolution, question.quantiles, question.as_of
        )
        fresh = [Bucket(at, columns, index) for columns in part for index, at in enumerate(columns.start)]
        if after is not None:
            fresh = [each for each in fresh if (each.start, each.columns.series) > after]
        found += sorted(fresh, key=lambda each: (each.start, each.columns.series))
        start, stretch = end, stretch * 2
    return found[: question.limit], len(found) > question.limit


def raw_page(
    reader: StoreReader,
    question: Question,
    after: tuple[Instant, Series] | None,
    *,
    fields: Sequence[str] = ROUND_FIELDS,
    newest_first: bool = False,
) -> tuple[RawColumns, bool]:
    """A page of raw rounds by (due, series), `fields` of them alone, and whether more follow."""
    found = reader.raw(
        question.choice, question.window, fields=fields, limit=question.limit + 1, newest_first=newest_first,
        after=after, as_of=question.as_of,
    )  # fmt: skip
    more = len(found.due) > question.limit
    return found.first(question.limit) if more else found, more


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A target's place within its group; see `rank`."""

    rank: int
    rank_last: int
    tied: bool
    group: Group
    target: Target
    endpoint: Endpoint
    summary: Summary


def rank(
    reader: StoreReader, targets: Sequence[Target], snapshot: Snapshot, region: str, window: Window
) -> tuple[list[Ranked], list[str]]:
    """Targets by median from one vantage, each group for itself, and those that cannot be ranked.

    A place is 1 + the number of targets that are surely faster: their 95 % interval ends below this one's start
    (without intervals, the medians stand for them). What may change places is tied.
    """
    ways = {target.host: _way(snapshot, target, region) for target in targets}
    choice = Choice(
        targets=tuple(ways),
        vantages=(region,),
        methods=tuple(sorted({way[1].value for way in ways.values()})),
    )
    found = {row.series: row for row in reader.summary(choice, window, (0.5, 0.95))} if ways else {}
    groups: dict[Group, list[tuple[Target, Endpoint, Summary]]] = {}
    unranked: list[str] = []
    for target in targets:
        endpoint, method = ways[target.host]
        summary = found.get(Series(region, target.host, endpoint.name, method))
        if summary is None or summary.quantiles_ns["p50"] is None:
            unranked.append(target.host)
        else:
            groups.setdefault(group_of(endpoint), []).append((target, endpoint, summary))
    ranked = [place for group in Group if group in groups for place in _places(group, groups[group])]
    return ranked, unranked


def _way(snapshot: Snapshot, target: Target, region: str) -> tuple[Endpoint, RoundMethod]:
    endpoint = target.endpoints[0]
    spoken = speaking(snapshot, target, (region,))
    return endpoint, spoken[0].round.series.method if spoken else method_of(snapshot, target, endpoint)


def _places(group: Group, rows: list[tuple[Target, Endpoint, Summary]]) -> list[Ranked]:
    bounds = {target.host: interval(summary) for target, _, summary in rows}
    placed: list[Ranked] = []
    for target, endpoint, summary in rows:
        low, high = bounds[target.host]
        faster = sum(other_high < low for _, other_high in bounds.values())
        maybe = sum(other_low <= high for other_low, _ in bounds.values())
        placed.append(
            Ranked(
                rank=1 + faster,
                rank_last=max(maybe, 1 + faster),
                tied=maybe > 1 + faster,
                group=group,
                target=target,
                endpoint=endpoint,
                summary=summary,
            )
        )  # fmt: skip
    return sorted(placed, key=lambda row: (row.rank, row.summary.quantiles_ns["p50"] or 0, row.target.host))


def interval(summary: Summary) -> tuple[int, int]:
    """The 95 % interval of a median that was measured; without enough samples, from the least to the most seen."""
    median = summary.quantiles_ns["p50"] or 0
    low = summary.low_p50_ns if summary.low_p50_ns is not None else summary.min_ns
    high = summary.high_p50_ns if summary.high_p50_ns is not None else summary.max_ns
    return (median if low is None else low, median if high is None else high)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How much slower one series' median is than another's, from the same vantage.

    Attributes:
        low_ns, high_ns: from the ends of the two 95 % intervals: by Bonferroni it holds the truth in at least 90 %.
    """

    host: str
    than: str
    region: str
    difference_ns: int | None
    low_ns: int | None
    high_ns: int | None
    clear: bool
    comparable: bool


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One target from one vantage over the window; `summary` is None when nothing was stored."""

    target: Target
    endpoint: Endpoint
    method: RoundMethod
    region: str
    summary: Summary | None


def compare(
    reader: StoreReader, snapshot: Snapshot, targets: Sequence[Target], regions: Sequence[str], window: Window
) -> tuple[list[Compared], list[Difference]]:
    """Targets beside each other from each vantage, and every pair's difference."""
    names = tuple(target.host for target in targets)
    found = {
        row.series: row for row in reader.summary(Choice(targets=names, vantages=tuple(regions)), window)
    }
    rows: list[Compared] = []
    differences: list[Difference] = []
    for region in regions:
        here: list[Compared] = []
        for target in targets:
            endpoint, method = _way(snapshot, target, region)
            summary = found.get(Series(region, target.host, endpoint.name, method))
            here.append(
                Compared(target=target, endpoint=endpoint, method=method, region=region, summary=summary)
            )
        rows += here
        differences += [_difference(b, a) for a, b in combinations(here, 2)]
    return rows, differences


def _difference(one: Compared, other: Compared) -> Difference:
    comparable = group_of(one.endpoint) is group_of(other.endpoint) and one.method is other.method
    median, base = _median(one.summary), _median(other.summary)
    if one.summary is None or other.summary is None or median is None or base is None:
        return Difference(
            host=one.target.host, than=other.target.host, region=one.region, difference_ns=None,
            low_ns=None, high_ns=None, clear=False, comparable=comparable,
        )  # fmt: skip
    (low, high), (other_low, other_high) = interval(one.summary), interval(other.summary)
    return Difference(
        host=one.target.host, than=other.target.host, region=one.region, difference_ns=median - base,
        low_ns=low - other_high, high_ns=high - other_low,
        clear=low > other_high or high < other_low, comparable=comparable,
    )  # fmt: skip


def _median(summary: Summary | None) -> int | None:
    return None if summary is None else summary.quantiles_ns["p50"]


def fastest(rows: Sequence[Compared], differences: Sequence[Difference]) -> str | None:
    """The target that is clearly faster than every other from every vantage, or None."""
    hosts = {row.target.host for row in rows}
    beaten: dict[str, set[tuple[str, str]]] = {host: set() for host in hosts}
    for pair in differences:
        if pair.clear and pair.comparable and pair.difference_ns is not None:
            winner, loser = (pair.than, pair.host) if pair.difference_ns > 0 else (pair.host, pair.than)
            beaten[winner].add((loser, pair.region))
    needed = (len(hosts) - 1) * len({row.region for row in rows})
    return next((host for host in sorted(hosts) if len(beaten[host]) == needed > 0), None)


class RouteNow(msgspec.Struct, frozen=True, kw_only=True):
    """The route of a series that holds at the window's end, and the newest trace that took this very route."""

    series: Series
    state: RouteState | None
    trace: StoredTrace | None
    newest: StoredTrace | None


def routes_now(reader: StoreReader, choice: Choice, window: Window) -> list[RouteNow]:
    """The present route of every traced series; route and hops always belong together.

    A trace that did not take place (not measured) shows no way: it is passed over.
    """
    traces: dict[Series, list[StoredTrace]] = {}
    for trace in reader.traces(choice, window, limit=500):
        if trace.trace.outcome is not Outcome.NOT_MEASURED:
            traces.setdefault(trace.series, []).append(trace)
    states: dict[Series, RouteState] = {}
    for state in reader.routes(choice, window):
        held = states.get(state.series)
        if held is None or state.since >= held.since:
            states[state.series] = state
    found: list[RouteNow] = []
    for series in sorted(set(traces) | set(states)):
        state, own = states.get(series), traces.get(series, [])
        fitting = [each for each in own if state is None or each.route == state.route]
        found.append(
            RouteNow(
                series=series,
                state=state,
                trace=fitting[0] if fitting else None,
                newest=own[0] if own else None,
            )
        )
    return found


def bucket_outcome(columns: Columns, index: int) -> Outcome:
    """What a bucket says as a whole."""
    if columns.measured[index]:
        return Outcome.MEASURED
    return Outcome.FAILED if columns.failed[index] else Outcome.NOT_MEASURED


def default_region(snapshot: Snapshot, targets: Iterable[Target]) -> str | None:
    """The vantage that measured most of these targets with its newest rounds; of equal ones the first by name."""
    counts: dict[str, int] = dict.fromkeys(known_regions(snapshot), 0)
    for target in targets:
        for row in speaking(snapshot, target):
            counts[row.round.series.vantage] += row.round.rtt_ns is not None and not stale(row, snapshot.at)
    return max(sorted(counts), key=lambda region: counts[region], default=None)
