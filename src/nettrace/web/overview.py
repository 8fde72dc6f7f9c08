"""The first page: is anything wrong, what moved, who is measuring."""

from collections.abc import Sequence
from statistics import median_low
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.hub.latest import Snapshot
from nettrace.hub.query import group_of, known_regions, readings, shown, speaking
from nettrace.hub.suspicion import Suspected
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.target import Lifecycle, Target
from nettrace.store.port import StoreReader
from nettrace.web.causes import CauseRow, leg_words, legs_in_words, standing_rows
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.measurements import box
from nettrace.web.suspected import HREF, refresh_ms, seldom, suspected_leg_of, suspicion, words
from nettrace.web.targets import Row, row_of

_WORST = 8
_HOUR_NS = 3600 * NS_PER_S
_LINES, _LEGS = 12, 3
_PATIENCE_S = 0.25
"""How long the page waits for the leg behind a suspicion; its next look finds it."""
_WATCHED = (Lifecycle.ACTIVE, Lifecycle.UNVERIFIED)


class VantageLine(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage in the strip.

    Attributes:
        state: `measured` (heard of lately), `failed` (silent) or `not_measured` (never heard).
    """

    code: str
    city: str
    state: str
    words: str
    last_seen: Instant | None
    measuring: int


class CategoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """How a category's targets are, in numbers that add up to `total`.

    Attributes:
        medians: of each kind of endpoint that measured, its name, the median of its targets and how many they are. An
            edge's round trip is never averaged with an engine's.
    """

    name: str
    total: int
    measured: int
    failed: int
    unknown: int
    medians: tuple[tuple[str, int, int], ...]


class Trouble(msgspec.Struct, frozen=True):
    """A series that does not answer."""

    target: Target
    row: Row


def overview_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The overview."""
    return [door(hub, "/", overview_page, public=True)]


async def overview_page(visit: Visit) -> Response[Any]:
    """The state of everything in one line, then the reasons."""
    targets = [target for target in visit.snapshot.visible(visit.account) if target.lifecycle in _WATCHED]
    vantages = vantage_lines(visit.snapshot, visit.now)
    troubles = [] if visit.caller is None else find_troubles(visit.snapshot, targets, visit.now)
    categories = category_lines(visit.snapshot, targets, visit.now)
    rows, suspect = (
        await visit.hub.readers.run(lambda reader: _standing(reader, visit)) if visit.caller else ([], None)
    )
    wrong = [row for row in rows if row.state == "open"]
    past = [row for row in rows if row.state != "open" and _lately(row, visit.now)]
    leg = await suspected_leg_of(visit, suspect, _PATIENCE_S)
    told = {
        "page": "overview", "headline": headline(categories, vantages, len(troubles), wrong, 0 if suspect is None else len(suspect.pairs)), "vantages": vantages, "troubles": troubles[:_WORST],
        "more": max(0, len(troubles) - _WORST), "categories": categories, "stranger": visit.caller is None,
        "suspect": suspect, "refresh_ms": refresh_ms(visit.snapshot), "suspect_words": words(suspect) if suspect else "", "suspect_leg": leg_words(leg.blame, leg.where) if leg else "", "seldom": seldom(suspect) if suspect else "", "suspect_href": HREF, "wrong": wrong[:_LINES], "legs": legs_in_words(visit, wrong[:_LEGS]), "more_wrong": max(0, len(wrong) - _LINES), "rows": past[:_LINES], "more_rows": max(0, len(past) - _LINES), **box(visit),
    }  # fmt: skip
    return visit.page("overview.html", told)


def _standing(reader: StoreReader, visit: Visit) -> tuple[list[CauseRow], Suspected | None]:
    """What is proven, and what is suspected beside it."""
    rows = standing_rows(reader, visit)
    return rows, suspicion(reader, visit, [row for row in rows if row.state == "open"])


def vantage_lines(snapshot: Snapshot, now: Instant) -> list[VantageLine]:
    """Every vantage, by code."""
    lines: list[VantageLine] = []
    for code in known_regions(snapshot):
        known = snapshot.vantages.get(code)
        seen = known.last_seen if known else None
        silent = snapshot.down(code)
        state = "not_measured" if seen is None else "failed" if silent else "measured"
        words = {"not_measured": "never heard", "failed": "silent", "measured": "reporting"}[state]
        measuring = sum(series.vantage == code for rows in snapshot.newest.values() for series in rows)
        city = (known.city or "") if known else ""
        lines.append(
            VantageLine(code=code, city=city, state=state, words=words, last_seen=seen, measuring=measuring)
        )
    return lines


def category_lines(snapshot: Snapshot, targets: Sequence[Target], now: Instant) -> list[CategoryLine]:
    """Every category, by name; each target counts once, by the reading that stands for it."""
    lines: list[CategoryLine] = []
    for name in sorted({target.category for target in targets}):
        mine = [target for target in targets if target.category == name]
        rows = [_best(snapshot, target, now) for target in mine]
        rtts: dict[str, list[int]] = {}
        for target, row in zip(mine, rows, strict=True):
            if row and row.state == "measured" and row.rtt_ns is not None:
                rtts.setdefault(group_of(target.endpoints[0]).value, []).append(row.rtt_ns)
        measured = sum(len(values) for values in rtts.values())
        failed = sum(row is not None and row.state == "failed" for row in rows)
        lines.append(
            CategoryLine(
                name=name, total=len(rows), measured=measured, failed=failed, unknown=len(rows) - measured - failed,
                medians=tuple((group, median_low(values), len(values)) for group, values in sorted(rtts.items())),
            )
        )  # fmt: skip
    return lines


def find_troubles(snapshot: Snapshot, targets: Sequence[Target], now: Instant) -> list[Trouble]:
    """Every series whose newest round failed, the targets most places miss first."""
    found: list[tuple[int, str, Trouble]] = []
    for target in targets:
        rows = [row_of(each, now) for each in readings(snapshot, target)]
        failed = [row for row in rows if row.state == "failed"]
        found += [(-len(failed), target.name.lower(), Trouble(target, row)) for row in failed]
    return [
        trouble for _, _, trouble in sorted(found, key=lambda each: (each[0], each[1], each[2].row.vantage))
    ]


def _lately(row: CauseRow, now: Instant) -> bool:
    return max(row.cause.detected_at, row.story.over_at or 0) > now - _HOUR_NS


def headline(
    categories: Sequence[CategoryLine],
    vantages: Sequence[VantageLine],
    troubles: int,
    wrong: Sequence[CauseRow] = (),
    suspected: int = 0,
) -> tuple[str, str]:
    """One sentence on everything, and its state: what is worse now comes before who answers at all.

    It never calls silence of our own good news.

    >>> headline([], [], 0)
    ('Nothing is measured yet.', 'not_measured')
    """
    answering, total = sum(line.measured for line in categories), sum(line.total for line in categories)
    failed, silent = sum(line.failed for line in categories), sum(line.state == "failed" for line in vantages)
    if not answering and not failed:
        return (
            ("Nothing is measured yet.", "not_measured")
            if not silent
            else ("Every vantage is silent.", "bad")
        )
    told = f"{_degraded(wrong)}{_suspicious(suspected)}{answering} of {total} targets answer"
    if failed:
        told += f"; {failed} do{'es' if failed == 1 else ''} not"
    elif troubles:
        told += f"; {troubles} way{'s' if troubles != 1 else ''} to them fail{'s' if troubles == 1 else ''}"
    if silent:
        told += f"; {silent} of {len(vantages)} vantages {'is' if silent == 1 else 'are'} silent"
    grave = failed or any(row.story.severity == "critical" for row in wrong)
    return told + ".", "bad" if grave else "slow" if silent or troubles or wrong or suspected else "good"


def _degraded(wrong: Sequence[CauseRow]) -> str:
    """How much is worse now, to stand before the rest of a sentence."""
    if not wrong:
        return ""
    pairs = len({pair for row in wrong for pair in row.story.worse or row.cause.pairs})
    causes = "" if len(wrong) == 1 else f" by {len(wrong)} causes"
    return f"{pairs} pair{' is' if pairs == 1 else 's are'} degraded now{causes}; "


def _suspicious(pairs: int) -> str:
    """How much may be worse, to stand before the rest of a sentence."""
    return f"{pairs} pair{' is' if pairs == 1 else 's are'} suspected to be worse; " if pairs else ""


def _best(snapshot: Snapshot, target: Target, now: Instant) -> Row | None:
    best = shown(speaking(snapshot, target), now)
    return row_of(best, now) if best else None
