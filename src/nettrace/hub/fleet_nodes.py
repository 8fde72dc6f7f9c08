"""The hub's side of an upgrade of its nodes: how each is, who may measure, and what was begun and not finished."""

import time
from collections.abc import Callable

import msgspec

from nettrace.errors import StoreError
from nettrace.hub.latest import SILENT_NS, Newest, stale
from nettrace.hub.open import open_reader, writer
from nettrace.hub.place import Data
from nettrace.hub.trust import standings
from nettrace.model.instant import Instant
from nettrace.model.measurement import Outcome
from nettrace.model.vantage import VantageState
from nettrace.placement.fleet_upgrade import Seen
from nettrace.store.port import StoreReader

SETTING = "fleet_upgrade"
"""Where it stands what an upgrade has begun: by code, the node as it was."""


class FleetNodes:
    """For one process; close it. Time is the hub's own machine's."""

    def __init__(self, data: Data, now: Callable[[], Instant] = time.time_ns) -> None:
        self._data, self._now = data, now
        self._reader: StoreReader = open_reader(data)
        self._newest = Newest(now())

    def close(self) -> None:
        """Let go of the store."""
        self._reader.close()

    def all(self) -> dict[str, Seen]:
        """By code, the newest node of each vantage that is not revoked."""
        now = self._now()
        self._newest.refresh(self._reader, now)
        snapshot = self._newest.snapshot
        flagged = {each.vantage.code for each in standings(snapshot) if each.trust.flagged}
        measured: dict[str, int] = {}
        for rows in snapshot.newest.values():
            for series, row in rows.items():
                if row.round.outcome is Outcome.MEASURED and not stale(row, now):
                    measured[series.vantage] = max(measured.get(series.vantage, 0), row.seq)
        nodes = [row.vantage for row in self._reader.nodes()]
        return {
            each.code: Seen(
                node=each.node, version=each.version, active=each.state is VantageState.ACTIVE,
                silent=each.last_seen is None or now - each.last_seen > SILENT_NS, heard_at=each.last_seen,
                resting=each.resting, backlog=each.backlog, measured=measured.get(each.code, 0),
                flagged=each.code in flagged, methods=frozenset(each.methods),
            )
            for each in sorted(nodes, key=lambda one: one.enrolled_at)
            if each.state is not VantageState.REVOKED and not each.third_party
        }  # fmt: skip

    def seen(self, code: str) -> Seen | None:
        """One of them."""
        return self.all().get(code)

    def rest(self, node: str) -> None:
        """Drain it."""
        self._set(node, VantageState.DRAINED)

    def work(self, node: str) -> None:
        """Let it measure again."""
        self._set(node, VantageState.ACTIVE)

    def begun(self) -> dict[str, Seen]:
        """What an upgrade began with and did not finish.

        Raises:
            StoreError: what stands there was not written by this version.
        """
        text = self._reader.settings().get(SETTING)
        try:
            return msgspec.json.decode(text, type=dict[str, Seen]) if text else {}
        except msgspec.DecodeError as error:
            raise StoreError(
                f"what an interrupted upgrade left cannot be read: {error}",
                "Finish it with the NetTrace that began it",
            ) from error

    def begin(self, code: str, before: Seen) -> None:
        """Remember it; what is remembered already stays, as the older truth."""
        begun = self.begun()
        if code not in begun:
            self._keep({**begun, code: before})

    def end(self, code: str) -> None:
        """Forget it."""
        self._keep({each: seen for each, seen in self.begun().items() if each != code})

    def _set(self, node: str, state: VantageState) -> None:
        with writer(self._data) as store:
            store.set_state(node, state, self._now())

    def _keep(self, begun: dict[str, Seen]) -> None:
        with writer(self._data) as store:
            store.put_setting(SETTING, msgspec.json.encode(begun), self._now())
