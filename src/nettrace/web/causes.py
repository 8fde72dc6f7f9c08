"""What lies behind events and what became of it, as pages show it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from nettrace.hub.cause import Cause
from nettrace.hub.hindsight import Hindsight, leg_of
from nettrace.hub.latest import Snapshot
from nettrace.hub.mesh import SUFFIX
from nettrace.hub.story import Became, Story, stories
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.route import Blame
from nettrace.store.port import StoreReader
from nettrace.store.rows import Event, Window
from nettrace.web.badge import age
from nettrace.web.door import Visit
from nettrace.web.kept import kept
from nettrace.web.smoke import Mark

_ROUNDS_NEAR, _LEAST_NEAR_NS = 3, 20 * NS_PER_S
"""Events so many rounds apart may have one cause; never less than the second."""
_DAY_NS = 86_400 * NS_PER_S
"""What is still so after a day is how things are now: the hub's watch of legs says so too."""
_MOST = 5000
_RECORDS, _MOST_LEGS = 12, 32
_CLASSES = {"as_path": "AS path", "ip_path": "IP path"}
_ASKED: set[asyncio.Task[None]] = set()
"""Questions under way, which nobody waits for."""
_JUDGED_EACH_NS = 60 * NS_PER_S
"""Which leg explains what is still open is asked anew this often."""


class CauseRow(msgspec.Struct, frozen=True):
    """A cause as lists show it.

    Attributes:
        state: `open`, `over`, `better` or `noted`, as the page says it; `shade` is its class in the stylesheet.
        lasted: how long it lasted, or has lasted, in words; empty of what does not last.
        records: the events it is made of, the first few.
        more: how many records are not among them.
    """

    story: Story
    words: str
    href: str
    state: str
    shade: str
    lasted: str
    records: tuple[dict[str, Any], ...]
    more: int

    @property
    def cause(self) -> Cause:
        """What it is about."""
        return self.story.cause


def cause_rows(visit: Visit, events: Iterable[Event]) -> list[CauseRow]:
    """What lies behind the events this visitor may see, newest first; updates among them tell what is over."""
    seen = [event for event in events if may_see(visit, event)]
    return [row_of_story(story, visit.now) for story in stories(seen, nearness_ns(visit.snapshot))]


def row_of_story(story: Story, now: Instant) -> CauseRow:
    """One line."""
    state, shade = {
        Became.OPEN: ("open", story.severity), Became.OVER: ("over", "over"), Became.BETTER: ("better", "measured"),
        Became.PASSED: ("noted", "info"),
    }[story.became]  # fmt: skip
    end = now if story.became is Became.OPEN else story.over_at
    records = (*story.cause.events, *story.ends)
    return CauseRow(
        story, story.words, f"/events/{story.cause.id}", state, shade,
        age(max(0, end - story.cause.since) / NS_PER_S) if end else "",
        tuple(event_row(each) for each in records[:_RECORDS]), max(0, len(records) - _RECORDS),
    )  # fmt: skip


def standing_rows(reader: StoreReader, visit: Visit) -> list[CauseRow]:
    """What happened within a day: what is open first, then what is newest."""
    known: list[Event] = visit.snapshot.of_all(
        "events of a day",
        lambda: reader.events(Window(visit.now - _DAY_NS, visit.now + NS_PER_S), limit=_MOST),
    )
    return sorted(cause_rows(visit, known), key=lambda row: row.state != "open")


def open_before(reader: StoreReader, visit: Visit, window: Window) -> list[Event]:
    """The events from before a stretch whose cause is open now: a list of what happened must not leave out what still does."""
    return [
        each
        for row in standing_rows(reader, visit)
        if row.state == "open"
        for each in row.cause.events
        if each.at < window.start
    ]


def story_with(event: Event, events: Iterable[Event], near_ns: int) -> Story:
    """The story an event is part of; an update is part of what it moves, else it stands for itself."""
    known = {each.id: each for each in (*events, event)}
    body: dict[str, Any] = msgspec.json.decode(event.body)
    told = stories(known.values(), near_ns)
    opener = known.get(str(body.get("opened_by", "")))
    same = [
        each
        for each in known.values()
        if (str(each.series), each.kind, each.at) == (str(event.series), event.kind, event.at)
    ]
    for each in filter(None, (event, opener, *same)):
        found = next((story for story in told if story.holds(each)), None)
        if found is not None:
            return found
    alone = msgspec.structs.replace(event, body=msgspec.json.encode({**body, "updates": False}))
    return stories([alone], near_ns)[0]


def judged_leg(reader: StoreReader, visit: Visit, story: Story) -> Hindsight:
    """Which leg explains a story: asked once when it is over, once a minute while it is open."""
    until = story.over_at or visit.now // _JUDGED_EACH_NS * _JUDGED_EACH_NS
    key = ("leg", story.cause.id, len(story.cause.events), until)
    return kept(visit.hub, key, lambda: leg_of(reader, story.cause, story.over_at or visit.now))


def legs_in_words(visit: Visit, rows: Sequence[CauseRow]) -> dict[str, str]:
    """By cause, which leg explains it, of those where that is known; for the others it is asked beside this page."""
    known: dict[str, str] = kept(visit.hub, "legs in words", dict[str, str])
    for row in rows:
        asked = ("leg asked", row.cause.id, visit.now // _JUDGED_EACH_NS)
        if len(row.cause.pairs) > 1 and kept(visit.hub, asked, lambda: visit.now) == visit.now:
            task = asyncio.create_task(visit.hub.readers.run(partial(_note_leg, visit, row, known)))
            _ASKED.add(task)
            task.add_done_callback(_answered)
    return known


def _answered(task: asyncio.Task[None]) -> None:
    """Forget a question; what went wrong with it the event's own page says, which asks the same."""
    _ASKED.discard(task)
    if not task.cancelled():
        task.exception()


def _note_leg(visit: Visit, row: CauseRow, known: dict[str, str], reader: StoreReader) -> None:
    found = judged_leg(reader, visit, row.story)
    while len(known) >= _MOST_LEGS:
        known.pop(next(iter(known)), None)
    words = leg_words(found.blame, found.where)
    if words:
        known[row.cause.id] = words


def leg_words(found: Blame, where: Mapping[str, str]) -> str:
    """The legs in a line, by the places of their ends where these are known; empty when there is none."""
    return " or ".join(f"{where.get(leg.a, leg.a)} → {where.get(leg.b, leg.b)}" for leg in found.legs[:3])


def marks(rows: Sequence[CauseRow]) -> list[Mark]:
    """Flags on a chart: one a cause."""
    return [Mark(row.cause.since, f"{row.words} ({row.state})", row.href) for row in rows]


def pair_href(vantage: str, target: str) -> str:
    """The page of a pair; on the mesh, where the target is a vantage, that of both.

    >>> pair_href("nyc", "api.example"), pair_href("nyc", "sin.mesh")
    ('/t/api.example/from/nyc', '/mesh/nyc/sin')
    """
    peer = target.removesuffix(SUFFIX)
    one, other = sorted((vantage, peer))
    return (
        f"/mesh/{quote(one)}/{quote(other)}"
        if peer != target
        else f"/t/{quote(target)}/from/{quote(vantage)}"
    )


def may_see(visit: Visit, event: Event) -> bool:
    """Custom targets' events are for their account only."""
    if event.target is None:
        return True
    target = visit.snapshot.targets.get(event.target)
    return target is None or target.account in {None, visit.account}


def event_row(event: Event) -> dict[str, Any]:
    """An event as lists show it."""
    body: dict[str, Any] = msgspec.json.decode(event.body)
    words = event.kind.replace("_", " ")
    if body.get("from_ms") is not None and body.get("to_ms") is not None:
        words += f": {body['from_ms']:.3g} ms to {body['to_ms']:.3g} ms"
    elif body.get("class"):
        words += f": {_CLASSES.get(str(body['class']), str(body['class']).replace('_', ' '))}"
    return {"event": event, "words": words, "body": body, "href": f"/events/{event.id}"}


def nearness_ns(snapshot: Snapshot) -> int:
    """How far apart events may be and still have one cause: three rounds of the usual interval."""
    intervals = sorted(latest.interval_s for rows in snapshot.newest.values() for latest in rows.values())
    usual = intervals[len(intervals) // 2] if intervals else 60.0
    return max(_LEAST_NEAR_NS, round(_ROUNDS_NEAR * usual * NS_PER_S))
