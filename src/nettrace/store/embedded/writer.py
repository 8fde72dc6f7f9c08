"""The one writer of an embedded store."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from nettrace.model.account import Key
from nettrace.model.alert import AlertStep, Order
from nettrace.model.instant import Instant
from nettrace.model.target import Target
from nettrace.model.vantage import Clock, Vantage, VantageState
from nettrace.store.embedded.control import Control
from nettrace.store.embedded.database import Connection, Lock, explained, open_writer, transaction
from nettrace.store.embedded.index import names_of
from nettrace.store.embedded.intake import Intake
from nettrace.store.embedded.integrity import faults
from nettrace.store.embedded.keeping import write_backup
from nettrace.store.embedded.memory import Memory
from nettrace.store.embedded.past import past
from nettrace.store.embedded.schema import DATABASE, LOCK
from nettrace.store.embedded.upkeep import Upkeep
from nettrace.store.port import Accepted, EnrolToken, Watcher
from nettrace.store.rows import Audit, Event, Export, Fault, LiveKind, MeasurementRequest
from nettrace.wire.frames import Report


class EmbeddedWriter:
    """A `StoreWriter` over a data folder; there is one, in one process, and the folder's lock sees to it.

    Args:
        folder: the data folder; it and the store in it are made when they are not there.

    Raises:
        StoreBusy: another process writes this folder.
        StoreError: what is there cannot be opened, or is newer than this program.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._path = folder / DATABASE
        self._lock = Lock(folder / LOCK)
        try:
            self._connection: Connection = open_writer(self._path)
            try:
                with explained(self._path):
                    self._memory = Memory(self._connection)
                self._past = past(self._connection, folder, names_of(self._connection))
                self._upkeep = Upkeep(self._connection, folder)
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    @contextmanager
    def _writing(self) -> Generator[Control]:
        try:
            with transaction(self._connection, self._path):
                yield Control(self._connection)
        except BaseException:
            self._remember()
            raise

    def _remember(self) -> None:
        """What the memory learnt from a transaction that failed never happened."""
        with explained(self._path):
            self._memory = Memory(self._connection)
            self._past = past(self._connection, self._folder, names_of(self._connection))

    # -- reports
    def accept(self, report: Report, at: Instant, watcher: Watcher | None = None) -> Accepted:
        """See `StoreWriter.accept`."""
        return self.accept_all((report,), at, watcher)[0]

    def accept_all(
        self, reports: Sequence[Report], at: Instant, watcher: Watcher | None = None
    ) -> list[Accepted]:
        """See `StoreWriter.accept_all`."""
        with self._writing():
            intake = Intake(self._connection, self._memory, self._past, at)
            accepted = [intake.take(report, watcher) for report in reports]
            intake.write()
        return accepted

    def publish(self, events: Sequence[Event], at: Instant) -> None:
        """See `StoreWriter.publish`."""
        with self._writing():
            intake = Intake(self._connection, self._memory, self._past, at)
            for event in events:
                intake.conclude_event(event, self._memory.track_of(event.series) if event.series else None)
            intake.write()

    def _tell(self, at: Instant, kind: LiveKind, body: dict[str, object], **about: str | None) -> None:
        intake = Intake(self._connection, self._memory, self._past, at)
        intake.tell(kind, msgspec.json.encode(body), **about)
        intake.write()

    # -- nodes
    def heard(self, node: str, at: Instant, report: Report, clock: Clock | None) -> None:
        """See `StoreWriter.heard`."""
        with self._writing() as control:
            known, key = control.node(node)
            changed = msgspec.structs.replace(
                known, last_seen=at, version=report.version or known.version, methods=report.methods or known.methods,
                problems=report.problems, clock=clock or known.clock, reflector=report.reflector,
                load=report.load or known.load, resting=report.resting, backlog=report.backlog,
                oldest_at=report.oldest_at,
            )  # fmt: skip
            if changed.reflector != known.reflector:  # others' assignments name it
                control.grow_version()
            self._put_node(control, changed, key)

    def _put_node(self, control: Control, vantage: Vantage, key: bytes) -> None:
        control.put_node(vantage, key)
        self._memory.nodes[vantage.node] = (vantage, key)

    def put_token(self, token: EnrolToken) -> None:
        """See `StoreWriter.put_token`."""
        with self._writing() as control:
            control.put_token(token)

    def enrol(self, token_hash: bytes, vantage: Vantage, key: bytes, at: Instant) -> Vantage | None:
        """See `StoreWriter.enrol`."""
        with self._writing() as control:
            if not control.use_token(token_hash, vantage.code, at):
                return None
            for old, old_key in control.nodes_at(vantage.code):
                if old.node != vantage.node and old.state is not VantageState.REVOKED:
                    self._put_node(control, msgspec.structs.replace(old, state=VantageState.REVOKED), old_key)
            made = msgspec.structs.replace(vantage, state=VantageState.ACTIVE, enrolled_at=at)
            self._put_node(control, made, key)
            control.grow_version()
            self._tell(at, LiveKind.VANTAGE, _vantage_body(made), vantage=made.code)
            return made

    def set_state(self, node: str, state: VantageState, at: Instant) -> None:
        """See `StoreWriter.set_state`."""
        with self._writing() as control:
            known, key = control.node(node)
            changed = msgspec.structs.replace(known, state=state)
            self._put_node(control, changed, key)
            control.grow_version()
            self._tell(at, LiveKind.VANTAGE, _vantage_body(changed), vantage=changed.code)

    # -- targets
    def put_targets(self, targets: Sequence[Target], at: Instant) -> int:
        """See `StoreWriter.put_targets`."""
        with self._writing() as control:
            for target in targets:
                self._put_target(control, target, at)
            return control.grow_version()

    def drop_target(self, host: str, at: Instant) -> int:
        """Mark a target retired: nobody measures it from now on, its history stays. Raises NotFound."""
        with self._writing() as control:
            self._put_target(control, control.retired(host), at)
            return control.grow_version()

    def _put_target(self, control: Control, target: Target, at: Instant) -> None:
        control.put_target(target, at)
        if self._memory.accounts.get(target.host, "unknown") != target.account:
            self._memory.accounts[target.host] = target.account
            self._memory.forget_tracks()
        body: dict[str, object] = {"object": "target", "host": target.host, "lifecycle": target.lifecycle}
        self._tell(at, LiveKind.TARGET, body, target=target.host, account=target.account)

    # -- accounts and jobs
    def put_key(self, key: Key) -> None:
        """See `StoreWriter.put_key`."""
        with self._writing() as control:
            control.put_key(key)

    def put_setting(self, name: str, value: bytes, at: Instant) -> None:
        """See `StoreWriter.put_setting`."""
        with self._writing() as control:
            control.put_setting(name, value, at)
            control.grow_version()

    def put_request(self, request: MeasurementRequest) -> None:
        """See `StoreWriter.put_request`."""
        with self._writing() as control:
            control.put_request(request)

    def put_export(self, export: Export) -> None:
        """See `StoreWriter.put_export`."""
        with self._writing() as control:
            control.put_export(export)

    def put_audit(self, line: Audit) -> None:
        """See `StoreWriter.put_audit`."""
        with self._writing() as control:
            control.put_audit(line)

    # -- alerts
    def put_alerts(self, step: AlertStep) -> None:
        """See `StoreWriter.put_alerts`."""
        with self._writing() as control:
            control.put_alerts(step)

    def put_alert_order(self, order: Order) -> None:
        """See `StoreWriter.put_alert_order`."""
        with self._writing() as control:
            control.put_alert_order(order)

    # -- upkeep
    def maintain(self, now: Instant, budget_s: float = 0.05) -> bool:
        """See `StoreWriter.maintain`."""
        try:
            with explained(self._path):
                return self._upkeep.slice(now, budget_s)
        finally:
            self._memory.dirty.clear()  # rows taken away must be made again

    def backup(self, folder: str) -> None:
        """Write the database, the sealed days it names and a manifest with their checksums into an empty folder."""
        write_backup(self._folder, Path(folder))

    def check(self) -> list[Fault]:
        """See `StoreWriter.check`."""
        return faults(self._connection, self._folder)

    def close(self) -> None:
        """Flush and let go of the files and the lock."""
        self._connection.close()
        self._lock.release()


def _vantage_body(vantage: Vantage) -> dict[str, object]:
    return {"object": "vantage", "region": vantage.code, "state": vantage.state, "version": vantage.version}
