"""The control plane's rows: each body is the msgpack of its struct, with columns for what is looked up."""

from collections.abc import Iterator

import msgspec

from nettrace.errors import NotFound
from nettrace.model.account import Key
from nettrace.model.alert import AlertStep, Order
from nettrace.model.instant import Instant
from nettrace.model.target import Lifecycle, Target
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.database import Connection, value
from nettrace.store.embedded.schema import NS_PER_DAY
from nettrace.store.port import EnrolToken
from nettrace.store.rows import Audit, Export, MeasurementRequest

DELIVERIES_DAYS = 90
"""What arrived, or failed, can be looked up and sent again for so long."""

_encode = msgspec.msgpack.Encoder().encode


class Control:
    """Writes of the control plane, within a transaction that is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def grow_version(self) -> int:
        """The next version of assignments."""
        self._connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'targets_version'")
        return int(value(self._connection, "SELECT value FROM meta WHERE name = 'targets_version'"))

    def node(self, node: str) -> tuple[Vantage, bytes]:
        """A node and its key. Raises NotFound."""
        for body, key in self._connection.execute("SELECT body, key FROM node WHERE id = ?", (node,)):
            return msgspec.msgpack.decode(body, type=Vantage), key
        raise NotFound(f"no node '{node}'", "nettrace fleet list shows them")

    def nodes_at(self, code: str) -> Iterator[tuple[Vantage, bytes]]:
        """Every node that ever stood for a region."""
        rows = list(self._connection.execute("SELECT body, key FROM node WHERE code = ?", (code,)))
        return ((msgspec.msgpack.decode(body, type=Vantage), key) for body, key in rows)

    def put_node(self, vantage: Vantage, key: bytes) -> None:
        """Add or replace a node."""
        self._connection.execute(
            "REPLACE INTO node VALUES (?, ?, ?, ?)", (vantage.node, vantage.code, key, _encode(vantage))
        )

    def put_token(self, token: EnrolToken) -> None:
        """Add or replace a token."""
        self._connection.execute(
            "REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?)",
            (token.id, token.hash, token.region, token.created_at, token.expires_at, token.used_at),
        )

    def use_token(self, token_hash: bytes, region: str, at: Instant) -> bool:
        """True for a token of that region that was neither used nor expired; from now on it is used."""
        self._connection.execute(
            "UPDATE token SET used_at = ? WHERE hash = ? AND region = ? AND used_at IS NULL AND expires_at > ?",
            (at, token_hash, region, at),
        )
        return self._connection.changes() == 1

    def put_target(self, target: Target, at: Instant) -> None:
        """Add or replace a target."""
        self._connection.execute(
            "REPLACE INTO target VALUES (?, ?, ?, ?)", (target.host, target.account, _encode(target), at)
        )

    def retired(self, host: str) -> Target:
        """A target as it will be when nobody watches it any more. Raises NotFound."""
        body = value(self._connection, "SELECT body FROM target WHERE host = ?", (host,))
        if body is None:
            raise NotFound(f"no target '{host}'", "nettrace targets list shows them")
        return msgspec.structs.replace(msgspec.msgpack.decode(body, type=Target), lifecycle=Lifecycle.RETIRED)

    def put_key(self, key: Key) -> None:
        """Add or replace a key."""
        self._connection.execute(
            "REPLACE INTO key VALUES (?, ?, ?, ?)", (key.id, key.hash, key.account, _encode(key))
        )

    def put_setting(self, name: str, content: bytes, at: Instant) -> None:
        """Add or replace a setting."""
        self._connection.execute("REPLACE INTO setting VALUES (?, ?, ?)", (name, content, at))

    def put_request(self, request: MeasurementRequest) -> None:
        """Add or replace an on-demand measurement."""
        self._connection.execute(
            "REPLACE INTO request VALUES (?, ?, ?, ?)",
            (request.id, request.account, request.created_at, _encode(request)),
        )

    def put_export(self, export: Export) -> None:
        """Add or replace an export."""
        self._connection.execute(
            "REPLACE INTO export VALUES (?, ?, ?, ?)",
            (export.id, export.account, export.created_at, _encode(export)),
        )

    def put_audit(self, line: Audit) -> None:
        """Append to the audit log."""
        self._connection.execute(
            "INSERT INTO audit (at, actor, action, subject, outcome, detail) VALUES (?, ?, ?, ?, ?, ?)",
            (line.at, line.actor, line.action, line.subject, line.outcome, line.detail),
        )

    def put_alerts(self, step: AlertStep) -> None:
        """Add or replace incidents, deliveries and snapshots."""
        for made in step.incidents:
            self._connection.execute(
                "REPLACE INTO incident VALUES (?, ?, ?, ?)",
                (made.id, made.state, made.opened_at, _encode(made)),
            )
        for sent in step.deliveries:
            self._connection.execute(
                "REPLACE INTO delivery VALUES (?, ?, ?, ?, ?, ?)",
                (sent.id, sent.channel, sent.incident, sent.state, sent.created_at, _encode(sent)),
            )
        if step.deliveries:
            newest = max(sent.created_at for sent in step.deliveries)
            self._connection.execute(
                "DELETE FROM delivery WHERE created_at < ? AND state <> 'pending'",
                (newest - DELIVERIES_DAYS * NS_PER_DAY,),
            )
        self._connection.executemany("REPLACE INTO alert_state VALUES (?, ?)", step.state.items())

    def put_alert_order(self, order: Order) -> None:
        """Append an order."""
        self._connection.execute("INSERT INTO alert_order (body) VALUES (?)", (_encode(order),))
