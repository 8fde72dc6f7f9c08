"""Where each chart's numbers come from: the one place that knows its API call, CSV, permalink and embed.

The doors know each other only by these addresses, so the tests of every page follow them: what a chart links to answers.
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.store.rows import Resolution, Window

_LEAST_NS, _MOST_NS = 10 * 60 * NS_PER_S, 366 * 86_400 * NS_PER_S
"""The shortest and the longest stretch a chart is zoomed to."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What stands under a chart beside its table.

    Attributes:
        api: the call whose answer has the chart's numbers.
        csv: the same as CSV, or None where the API gives no table.
        permalink: the same chart of the same stretch for ever.
        embed: the chart alone, for frames.
        more: further calls with their names, where one cannot hold all of the chart.
        first: whose call `api` is, where there are more.
    """

    api: str
    csv: str | None
    permalink: str
    embed: str
    more: tuple[tuple[str, str], ...] = ()
    first: str = ""


class Zoom(msgspec.Struct, frozen=True, kw_only=True):
    """The same page over other stretches: addresses, so that keyboards and pages without a script zoom too."""

    closer: str
    wider: str
    earlier: str
    later: str | None
    start: str
    end: str


def history(
    host: str, vantage: str, series: tuple[str, str], window: Window, resolution: Resolution
) -> Tools:
    """Of a smoke chart; `series` is endpoint and method.

    >>> history("a.example", "nyc", ("rest", "tcp"), Window(0, 60 * NS_PER_S), Resolution.MINUTE).permalink
    '/t/a.example/from/nyc?endpoint=rest&method=tcp&start=1970-01-01T00:00:00Z&end=1970-01-01T00:01:00Z'
    """
    endpoint, method = series
    asked = {"endpoint": endpoint, "method": method, "start": _time(window.start), "end": _time(window.end)}
    call = {"region": vantage, **asked, "resolution": resolution.value}
    page = f"/t/{_name(host)}/from/{_name(vantage)}"
    return Tools(
        api=_at(f"/api/v1/latency/{_name(host)}/history", call),
        csv=_at(f"/api/v1/latency/{_name(host)}/history", {**call, "format": "csv"}),
        permalink=_at(page, asked), embed=_at(page, {**asked, "embed": "1"}),
    )  # fmt: skip


def stages(host: str, vantage: str, series: tuple[str, str], window: Window) -> Tools:
    """Of a stage waterfall: the rounds it is drawn from; `series` is endpoint and method."""
    endpoint, method = series
    asked = {"endpoint": endpoint, "method": method, "start": _time(window.start), "end": _time(window.end)}
    page = f"/t/{_name(host)}/from/{_name(vantage)}"
    return _tools(
        ("/api/v1/rounds", {"host": host, "region": vantage, **asked}),
        _at(page, asked) + f"#stages-{method}",
        _at(page, {**asked, "embed": "stages"}),
    )


def paths(host: str, at: Instant, against: Instant | None, group: str) -> Tools:
    """Of a path graph."""
    asked = {"at": _time(at), **({"against": _time(against)} if against is not None else {})}
    asked |= {"group": group} if group else {}
    page = f"/t/{_name(host)}/path"
    return _tools((f"/api/v1/routes/{_name(host)}", {}), _at(page, asked), _at(page, {**asked, "embed": "1"})
    )  # fmt: skip


def ranking(category: str, region: str, window: Window) -> Tools:
    """Of a leaderboard."""
    span = {"start": _time(window.start), "end": _time(window.end)}
    asked = {"category": category, "from": region, **span}
    return _tools(
        ("/api/v1/rankings", {"category": category, "region": region, **span}),
        _at("/leaderboard", asked),
        _at("/leaderboard", {**asked, "embed": "1"}),
    )


def comparison(hosts: Sequence[str], region: str, window: Window) -> Tools:
    """Of a comparison."""
    span = {"hosts": ",".join(hosts), "start": _time(window.start), "end": _time(window.end)}
    return _tools(
        ("/api/v1/compare", {**span, "region": region}),
        _at("/compare", {**span, "from": region}),
        _at("/compare", {**span, "from": region, "embed": "1"}),
    )


def matrix(asked: dict[str, str], regions: Sequence[str], window: Window) -> Tools:
    """Of the matrix: the API has each of its columns as a ranking. `asked` is what the page's address says."""
    span = {"start": _time(window.start), "end": _time(window.end)}
    category = {"category": asked["cat"]} if asked.get("cat") else {}
    calls = [(region, _at("/api/v1/rankings", {**category, "region": region, **span})) for region in regions]
    return _columns("/matrix", {**asked, **span}, calls)


def world(asked: dict[str, str], regions: Sequence[str]) -> Tools:
    """Of the map, which shows the newest there is."""
    category = {"category": asked["cat"]} if asked.get("cat") else {}
    calls = [(region, _at("/api/v1/targets", {**category, "region": region})) for region in regions]
    return _columns("/map", asked, calls)


def _columns(page: str, asked: dict[str, str], calls: Sequence[tuple[str, str]]) -> Tools:
    """Of a chart that needs a call for each vantage; its CSV is made by the page itself."""
    return Tools(
        api=calls[0][1] if calls else "/api/v1/targets", csv=_at(page, {**asked, "format": "csv"}),
        permalink=_at(page, asked), embed=_at(page, {**asked, "embed": "1"}), more=tuple(calls[1:]),
        first=calls[0][0] if len(calls) > 1 else "",
    )  # fmt: skip


def days(host: str, series: tuple[str, str], window: Window) -> Tools:
    """Of the bars of a status page; `series` is endpoint and method."""
    endpoint, method = series
    call = {"endpoint": endpoint, "method": method, "start": _time(window.start), "end": _time(window.end), "resolution": "1d"}  # fmt: skip
    page = f"/status/{_name(host)}"
    return _tools((f"/api/v1/latency/{_name(host)}/history", call), page, f"{page}?embed=days")


def zoom(page: str, kept: dict[str, str], window: Window, now: Instant) -> Zoom:
    """The page over the half and the double of a stretch, and over its neighbours; never beyond now.

    >>> zoom("/x", {}, Window(0, 7200 * NS_PER_S), 7200 * NS_PER_S).closer
    '/x?start=1970-01-01T00:30:00Z&end=1970-01-01T01:30:00Z'
    """
    span = window.end - window.start
    quarter = span // 4

    def to(start: Instant, end: Instant) -> str:
        late = max(0, end - now)
        asked = {"start": _time(max(0, start - late)), "end": _time(end - late)}
        return _at(page, {**kept, **asked})

    closer = (window.start + quarter, window.end - quarter)
    if span // 2 < _LEAST_NS:
        closer = (window.start, window.end)
    wider = (window.start - span // 2, window.end + span // 2)
    if 2 * span > _MOST_NS:
        wider = (window.start, window.end)
    return Zoom(
        closer=to(*closer), wider=to(*wider), earlier=to(window.start - span // 2, window.end - span // 2),
        later=to(window.start + span // 2, window.end + span // 2) if window.end < now else None,
        start=_time(window.start), end=_time(window.end),
    )  # fmt: skip


def _tools(call: tuple[str, dict[str, str]], permalink: str, embed: str) -> Tools:
    """Of a chart that one call answers, which has it as CSV too."""
    path, asked = call
    known = {name: value for name, value in asked.items() if value}
    return Tools(
        api=_at(path, known), csv=_at(path, {**known, "format": "csv"}), permalink=permalink, embed=embed
    )


def _at(path: str, asked: dict[str, str]) -> str:
    return f"{path}?{urlencode(asked, safe=':,')}" if asked else path


def _name(words: str) -> str:
    """A name as one part of a path."""
    return quote(words, safe="")


def _time(at: Instant) -> str:
    return rfc3339(at)[:19] + "Z"
