"""What may have got worse within the last rounds, as the overview and its own page show it: a suspicion, and called one."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.analysis.signals.suspect import LONGEST
from nettrace.hub.latest import Snapshot
from nettrace.hub.suspicion import Pair, Suspected, SuspectedLeg, cadence_s, suspected, suspected_leg
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_MS, Instant
from nettrace.store.port import StoreReader
from nettrace.web.badge import age
from nettrace.web.causes import CauseRow, pair_href, standing_rows
from nettrace.web.door import Visit, door
from nettrace.web.hub import Hub
from nettrace.web.kept import kept

HREF = "/events/suspected"
PROVEN_BY = 5
"""Rounds after which a change of level is proven (docs/decisions/0165)."""


def suspected_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The page of what is suspected now."""
    return [door(hub, HREF, suspected_page, feature=Feature.SIGNALS)]


async def suspected_page(visit: Visit) -> Response[Any]:
    """What is suspected now, why, how often such a suspicion is wrong, and what will confirm it."""

    def look(reader: StoreReader) -> tuple[list[CauseRow], Suspected | None]:
        rows = [row for row in standing_rows(reader, visit) if row.state == "open"]
        return rows, suspicion(reader, visit, rows)

    rows, found = await visit.hub.readers.run(look)
    told = {
        "page": "events", "found": found, "leg": await suspected_leg_of(visit, found), "rows": rows, "pair_href": pair_href, "proven_by": PROVEN_BY,
        "longest": LONGEST, "words": words(found) if found else "", "seldom": seldom(found) if found else "", "confirm": age(PROVEN_BY * cadence_s(visit.snapshot)), "refresh_ms": refresh_ms(visit.snapshot),
    }  # fmt: skip
    return visit.page("suspected.html", told)


def suspicion(reader: StoreReader, visit: Visit, wrong: Sequence[CauseRow]) -> Suspected | None:
    """What is suspected now of what this visitor may see; None once the detectors have said the same."""
    hosts = tuple(target.host for target in visit.snapshot.visible(visit.account))
    key = ("suspected", visit.account, _look(visit), len(hosts))
    found = kept(visit.hub, key, lambda: (suspected(reader, visit.snapshot, hosts, visit.now),))[0]
    return None if found is None or told_already(found, wrong) else found


async def suspected_leg_of(
    visit: Visit, found: Suspected | None, patience_s: float | None = None
) -> SuspectedLeg | None:
    """The leg behind a suspicion, asked anew with each look.

    Where that takes longer than the page waits, what an earlier look found of the same suspicion; None before the first.
    """
    if found is None:
        return None
    earlier = kept(visit.hub, "suspected legs", dict[Instant, SuspectedLeg])

    def note(asked: asyncio.Task[SuspectedLeg]) -> None:
        if not asked.cancelled() and not asked.exception():
            earlier.clear()
            earlier[found.there_by] = asked.result()

    def ask() -> asyncio.Task[SuspectedLeg]:
        question = partial(suspected_leg, found=found, now=visit.now)
        asked = asyncio.create_task(visit.hub.readers.run(question))
        asked.add_done_callback(note)
        return asked

    asked = kept(visit.hub, ("suspected leg", found.there_by, _look(visit)), ask)
    done, _ = await asyncio.wait({asked}, timeout=patience_s)
    if patience_s is not None and (not done or asked.exception()):
        return earlier.get(found.there_by)  # what went wrong with it the suspicion's own page says
    return asked.result()


def _look(visit: Visit) -> int:
    """Which look this visit belongs to: all pairs' last rounds are read twice while a page waits, not at every visit."""
    return 2 * visit.now // (refresh_ms(visit.snapshot) * NS_PER_MS)


def refresh_ms(snapshot: Snapshot) -> int:
    """How often a page that shows suspicions is looked at again: four times a round, so that two rounds are not three."""
    return round(max(0.5, min(15.0, cadence_s(snapshot) / 4)) * 1000)


def told_already(found: Suspected, wrong: Sequence[CauseRow]) -> bool:
    """Whether most of the pairs are among those that are proven to be worse now."""
    known = {pair for row in wrong for pair in row.story.worse or row.cause.pairs}
    return 2 * sum(pair in known for pair, _ in found.pairs) >= len(found.pairs)


def words(found: Suspected) -> str:
    """The suspicion in one line, as its causes are told: pairs, targets and vantages."""
    pairs: list[Pair] = [pair for pair, _ in found.pairs]
    targets, vantages = {target for _, target in pairs}, {vantage for vantage, _ in pairs}

    def many(number: int, name: str) -> str:
        return f"{number} {name}{'' if number == 1 else 's'}"

    return f"{many(len(pairs), 'pair')}: {many(len(targets), 'target')} from {many(len(vantages), 'vantage')}"


def seldom(found: Suspected) -> str:
    """How often chance alone would make such a suspicion.

    >>> from nettrace.hub.suspicion import Suspected
    >>> known = dict(since=0, there_by=0, pairs=(), shared="", rounds=2, far=1, counted=6, of=12, share=0.005, chance=1e-9)
    >>> seldom(Suspected(**known, every_s=3e9)), seldom(Suspected(**known, every_s=40 * 86400))
    ('less than once a year', 'once in 40 d')
    """
    return "less than once a year" if found.every_s > 365 * 86_400 else f"once in {age(found.every_s)}"


__all__ = [
    "HREF",
    "refresh_ms",
    "seldom",
    "suspected_doors",
    "suspected_leg_of",
    "suspected_page",
    "suspicion",
    "told_already",
    "words",
]
