"""Network and place of every hop, looked up once at the hub before a trace is stored: nodes carry no databases.

What a route went through has to be said as it was known on that day, so it is stored with the trace.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from nettrace.analysis.geo.annotate import Lookups, annotate
from nettrace.errors import NetTraceError
from nettrace.hub.floors import vantage_place
from nettrace.model.path import Trace
from nettrace.model.vantage import Vantage
from nettrace.outside.databases import KINDS, installed, open_lookups
from nettrace.wire.frames import Record, Report

_REMEMBERED = 65_536
"""Addresses whose answers are kept: the routers of the world's backbones, many times over."""

Stamp = tuple[tuple[str, int], ...]


class HopAtlas:
    """What this hub knows about addresses, from the first of `folders` that holds a database.

    Without any, traces keep what the node said, and routes have no AS path.

    Args:
        say: told of a database that cannot be read; traces are stored all the same.
    """

    def __init__(self, folders: Sequence[Path], say: Callable[[str], None]) -> None:
        self._folders = folders
        self._say = say
        self._lookups: Lookups | None = None
        self._seen: Stamp | None = None
        self.renew()

    def renew(self) -> None:
        """Open the databases again if one came, went or changed since."""
        seen = self._stamp()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._lookups = self._opened()
        except NetTraceError as error:
            self._lookups = None
            self._say(f"hops go without network and place: {error}")

    def named(self, vantage: Vantage, report: Report) -> Report:
        """The report with network and place of its traces' hops, as far as they are known and light allows."""
        lookups = self._lookups
        if lookups is None or not any(_traced(entry) for entry in report.entries):
            return report
        origin = vantage_place(vantage)
        entries = tuple(
            msgspec.structs.replace(entry, measurement=annotate(entry.measurement, lookups, origin))
            if isinstance(entry, Record) and isinstance(entry.measurement, Trace)
            else entry
            for entry in report.entries
        )
        return msgspec.structs.replace(report, entries=entries)

    def _stamp(self) -> Stamp:
        paths = [folder / f"{kind}.json" for folder in self._folders for kind in KINDS]
        return tuple((str(path), path.stat().st_mtime_ns) for path in paths if path.is_file())

    def _opened(self) -> Lookups | None:
        folder = next((folder for folder in self._folders if installed(folder)), None)
        if folder is None:
            return None
        found = open_lookups(folder)
        return msgspec.structs.replace(
            found,
            network=lru_cache(_REMEMBERED)(found.network),
            exchange=lru_cache(_REMEMBERED)(found.exchange),
            database=lru_cache(_REMEMBERED)(found.database),
        )


def _traced(entry: object) -> bool:
    return isinstance(entry, Record) and isinstance(entry.measurement, Trace)
