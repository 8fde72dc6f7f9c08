"""How far each vantage is to be believed: what light says of its newest rounds, and what its clock is worth."""

from collections.abc import Iterator

import msgspec

from nettrace.analysis.trust import Sight, Trust, trust
from nettrace.hub.floors import vantage_place
from nettrace.hub.latest import Snapshot, stale
from nettrace.hub.mesh import ENDPOINT, SUFFIX
from nettrace.hub.query import PINGS
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage

OFF_NS = 50_000_000
"""A clock surely farther than this from the hub's is called off."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage as the fleet shows it.

    Attributes:
        clock: `synchronised`, `off`, `not synchronised` or `not measured`.
    """

    vantage: Vantage
    down: bool
    trust: Trust
    clock: str


def standings(snapshot: Snapshot) -> list[Standing]:
    """Every vantage, by code; made once for a snapshot."""
    return snapshot.of_all("standings", lambda: _standings(snapshot))


def _standings(snapshot: Snapshot) -> list[Standing]:
    places = {code: vantage_place(vantage) for code, vantage in snapshot.vantages.items()}
    judged = trust(places, _sights(snapshot))
    return [
        Standing(vantage=vantage, down=snapshot.down(code), trust=judged[code], clock=clock_words(vantage))
        for code, vantage in sorted(snapshot.vantages.items())
    ]


def clock_words(vantage: Vantage) -> str:
    """A clock's quality in a word or two.

    >>> from nettrace.model.vantage import Clock
    >>> clock_words(Vantage(code="x", node="n", clock=Clock(offset_ns=300_000_000, error_ns=1, synchronised=True)))
    'off'
    """
    clock = vantage.clock
    if clock is None:
        return "not measured"
    if abs(clock.offset_ns) - clock.error_ns > OFF_NS:
        return "off"
    if clock.synchronised is None:
        return "not told"
    return "synchronised" if clock.synchronised else "not synchronised"


def _sights(snapshot: Snapshot) -> Iterator[Sight]:
    """What the newest rounds saw of targets that answer in one place, as far as known, and of other nodes."""
    for host, rows in snapshot.newest.items():
        target = snapshot.targets.get(host)
        mesh = host.endswith(SUFFIX)
        one_place = (
            {each.name for each in target.endpoints if each.fronted_by is None} if target else set[str]()
        )
        for series, row in rows.items():
            made = row.round
            if made.min_ns is None or stale(row, snapshot.at):
                continue
            bar = made.error_ns or 0
            if mesh and series.endpoint == ENDPOINT and series.method is RoundMethod.STAMP:
                yield Sight(series.vantage, host.removesuffix(SUFFIX), made.min_ns, bar, peer=True)
            elif series.endpoint in one_place and series.method in PINGS:
                yield Sight(series.vantage, f"{host}/{series.endpoint}", made.min_ns, bar)
