"""The page of signals: what detectors said, how sure they were, how often they were right, and what they did not say."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from nettrace.analysis.signals.catalogue import CATALOGUE
from nettrace.errors import NotFound
from nettrace.hub.query import known_regions
from nettrace.hub.signal_watch import NAMES, observed
from nettrace.model.account import Feature
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Tier
from nettrace.model.target import RoundMethod, Series
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Columns, Event, Resolution, Window
from nettrace.web import chart
from nettrace.web.causes import event_row, may_see
from nettrace.web.door import WINDOWS, Visit, door
from nettrace.web.hub import Hub
from nettrace.web.kept import kept
from nettrace.web.smoke import Mark, smoke
from nettrace.web.tabular import table

MEANINGS = {
    "shift": "of statements like it, so many were confirmed by people who looked",
    "divergence": "of statements like it, so many were confirmed by people who looked",
    "anomaly": "one minus its p-value among the series' own samples",
    "trend": "one minus its p-value",
    "loss": "probability of an episode, if one sample in a thousand begins one",
    "route_change": "one minus the chance that so many traces agree by luck",
}
"""What the confidence of each kind is."""

_DAY_NS = 86_400 * NS_PER_S
_AROUND_NS = 90 * 60 * NS_PER_S
_BEFORE_NS, _AFTER_NS = 3 * _DAY_NS, 3 * 3600 * NS_PER_S
"""What a replay reads: long enough to learn the level, and until it is decided."""

_SAMPLES_A_WEEK = 7 * 24 * 15
"""Rates are stated for samples every four minutes."""

_CARDS, _READ, _ROUNDS = 12, 5000, 100_000
_COUNTED_EACH_NS = 60 * NS_PER_S
"""How many rounds were read is counted anew this often: it takes a summary of everything."""


class Believed(msgspec.Struct):
    """Of an update by `hub.belief_watch`: the share of false ones among all believed, and how long after it was told."""

    share: float
    q_value: float
    after_s: float = 0.0


class Said(msgspec.Struct):
    """What is read of a signal's document."""

    detector: str = ""
    tier: str = Tier.TENTATIVE.value
    updates: bool = False
    direction: str | None = None
    from_ms: float | None = None
    to_ms: float | None = None
    from_loss: float | None = None
    to_loss: float | None = None
    of: str | None = None
    believed: Believed | None = None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A signal as the page shows it.

    Attributes:
        tier: how far it has been proven by now.
        stated: how often its detector speaks a week while nothing happens, at most; None of kinds without a detector.
        believed: it stands among all series; None where it does not, or of kinds that are not judged so.
    """

    event: Event
    words: str
    levels: str
    tier: str
    stated: float | None
    meaning: str
    believed: Believed | None = None
    svg: str = ""
    columns: Columns | None = None
    tools: chart.Tools | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector said in a stretch, and what became of it.

    Attributes:
        stated: false signals a week of samples every four minutes, at most.
        expected: the same for what was measured in the stretch.
        said: signals, each counted once.
        confirmed, taken_back: of those that were decided.
    """

    name: str
    meaning: str
    stated: float
    expected: float
    said: int
    confirmed: int
    taken_back: int


def signal_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """The page, and what a replay needs."""
    return [
        door(hub, "/signals", signals_page, feature=Feature.SIGNALS),
        door(hub, "/events/{id:str}/replay.csv", replay_rows, feature=Feature.SIGNALS),
    ]


def said_by(event: Event) -> Said:
    """The document of an event, as far as this page reads it."""
    try:
        return msgspec.json.decode(event.body, type=Said, strict=False)
    except msgspec.DecodeError:
        return Said()


def stated(event: Event) -> float | None:
    """How often a week the detector of an event speaks while nothing happens, at most."""
    named = CATALOGUE.get(said_by(event).detector.partition("/")[0]) or CATALOGUE.get(event.kind)
    return None if named is None else named.stated


def levels(said: Said) -> str:
    """From what to what, in words; empty when a signal is not about levels.

    >>> levels(Said(from_ms=31.2, to_ms=44.04)), levels(Said(from_loss=0.0, to_loss=0.4))
    ('31.2 ms → 44 ms', '0 % → 40 % lost')
    """
    if said.from_ms is not None and said.to_ms is not None:
        return f"{said.from_ms:.3g} ms → {said.to_ms:.3g} ms"
    if said.from_loss is not None and said.to_loss is not None:
        return f"{100 * said.from_loss:.3g} % → {100 * said.to_loss:.3g} % lost"
    return ""


def tiers(events: Sequence[Event]) -> dict[tuple[str, str, int], str]:
    """By series, kind and time, how far each signal has been proven by its newest update."""
    found: dict[tuple[str, str, int], str] = {}
    for event in sorted(events, key=lambda each: (each.detected_at, each.id)):
        found[_key(event)] = said_by(event).tier
    return found


def beliefs(events: Iterable[Event]) -> dict[str, Believed]:
    """By id the signals that are believed among all series."""
    said = map(said_by, events)
    return {each.of: each.believed for each in said if each.of is not None and each.believed is not None}


def _key(event: Event) -> tuple[str, str, int]:
    return str(event.series), event.kind, event.at


def records(events: Sequence[Event], samples: float) -> list[Record]:
    """Each detector that runs: what it said, what became of it, and what chance alone would have it say.

    A detector that said nothing is listed too. `samples` is how many rounds of all series were read.
    """
    first = [event for event in events if not said_by(event).updates]
    proven = tiers(events)
    made: list[Record] = []
    for name in NAMES:
        entry = CATALOGUE[name]
        mine = [event for event in first if event.kind == entry.kind.value]
        became = Counter(proven[_key(event)] for event in mine)
        made.append(
            Record(
                name=name, meaning=entry.meaning, stated=entry.stated, expected=entry.stated * samples / _SAMPLES_A_WEEK,
                said=len(mine), confirmed=became[Tier.CONFIRMED.value] + became[Tier.ENDED.value],
                taken_back=became[Tier.TRANSIENT.value],
            )
        )  # fmt: skip
    return made


async def signals_page(visit: Visit) -> Response[Any]:
    """Signals as cards, newest first, with the record of each detector."""
    name, window = visit.window("24h")
    kind, host, region = (visit.query.get(each, "") for each in ("kind", "host", "from"))
    kinds = tuple(CATALOGUE[each].kind.value for each in NAMES)
    choice = Choice(targets=(host,) if host else (), vantages=(region,) if region else ())
    page = int(visit.query["page"]) if visit.query.get("page", "").isdecimal() else 0
    page = min(page, _READ // _CARDS)

    def look(reader: StoreReader) -> tuple[list[Event], list[Card], int, int]:
        found = [each for each in reader.events(window, kinds=kinds, choice=choice, limit=_READ) if may_see(visit, each)]  # fmt: skip
        told = [each for each in found if not said_by(each).updates and kind in {"", each.kind}]
        proven, believed = tiers(found), beliefs(found)
        shown = told[page * _CARDS : (page + 1) * _CARDS]
        asked = (
            "rounds",
            choice.targets,
            choice.vantages,
            window.end - window.start,
            window.end // _COUNTED_EACH_NS,
        )
        read = kept(visit.hub, asked, lambda: _rounds_read(reader, choice, window))
        return (
            found,
            [_card(reader, visit, each, (proven[_key(each)], believed.get(each.id))) for each in shown],
            len(told),
            read,
        )

    found, cards, total, read = await visit.hub.readers.run(look)
    told = {
        "page": "signals", "cards": cards, "records": records(found, read), "kind": kind, "host": host,
        "region": region, "regions": known_regions(visit.snapshot), "kinds": kinds, "window": name, "windows": list(WINDOWS),
        "zoom": visit.zoom(window), "total": total, "complete": len(found) < _READ, "number": page,
        "last": max(0, (total - 1) // _CARDS), "kept": {each: visit.query[each] for each in visit.query if each != "page"},
        "api": f"/api/v1/signals{f'?host={host}' if host in visit.snapshot.targets else ''}",
    }  # fmt: skip
    return visit.page("signals.html", told)


def _rounds_read(reader: StoreReader, choice: Choice, window: Window) -> int:
    """How many rounds the detectors were shown."""
    found = reader.summary(choice, window, (0.5,))
    return sum(each.rounds for each in found if each.series.method is not RoundMethod.TRACE)


def _card(reader: StoreReader, visit: Visit, event: Event, became: tuple[str, Believed | None]) -> Card:
    row = event_row(event)
    card = Card(
        event=event, words=row["words"], levels=levels(said_by(event)), tier=became[0], stated=stated(event),
        believed=became[1], meaning=MEANINGS.get(event.kind, "as its detector states it"),
    )  # fmt: skip
    if event.series is None:
        return card
    around = Window(event.at - _AROUND_NS, min(visit.now, event.detected_at + _AROUND_NS))
    columns = next(iter(reader.history(_series(event.series), around, Resolution.MINUTE)), None)
    return msgspec.structs.replace(card, **_drawn(columns, around, event)) if columns else card


def _drawn(columns: Columns, around: Window, event: Event) -> dict[str, Any]:
    mark = Mark(event.at, event_row(event)["words"], f"/events/{event.id}")
    series = (columns.series.endpoint, columns.series.method.value)
    tools = chart.history(columns.series.target, columns.series.vantage, series, around, columns.resolution)
    return {
        "svg": smoke(columns, around, f"{columns.series} around {event.kind}", marks=(mark,)),
        "columns": columns,
        "tools": tools,
    }


def _series(series: Series) -> Choice:
    return Choice(
        targets=(series.target,), vantages=(series.vantage,), endpoints=(series.endpoint,), methods=(series.method.value,)
    )  # fmt: skip


async def replay_rows(visit: Visit) -> Response[Any]:
    """The rounds a detector saw around an event, as `nettrace signals replay` reads them."""
    wanted = visit.path["id"]

    def look(reader: StoreReader) -> list[list[str]] | None:
        year = Window(visit.now - 366 * _DAY_NS, visit.now + NS_PER_S)
        event = next((each for each in reader.events(year, limit=_READ) if each.id == wanted), None)
        if event is None or event.series is None or not may_see(visit, event):
            return None
        asked = Window(event.at - _BEFORE_NS, min(visit.now, event.detected_at + _AFTER_NS))
        window = visit.hub.access.window(visit.caller, asked, visit.now) if visit.caller else asked
        rounds = reader.rounds(_series(event.series), window, limit=_ROUNDS)
        seen = [
            observed(each.outcome, each.rtt_ns, each.grade, each.due)
            for each in rounds
            if each.request is None
        ]
        return [
            [f"{each.at / NS_PER_S:.6f}", "" if each.rtt_ns is None else f"{each.rtt_ns / NS_PER_MS:.6f}"]
            for each in seen
            if each is not None and each.state is not SampleState.NOT_MEASURED
        ]  # fmt: skip

    rows = await visit.hub.readers.run(look)
    if rows is None:
        raise NotFound(f"no signal '{wanted[:60]}' of one series", "See /signals")
    return table([["t", "rtt_ms"], *rows])
