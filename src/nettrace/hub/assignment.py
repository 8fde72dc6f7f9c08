"""What each node is to measure: from the targets there are and what the operator has set."""

from collections.abc import Iterable, Mapping
from zlib import crc32

import msgspec

from nettrace.errors import ConfigError
from nettrace.hub.mesh import mesh_of
from nettrace.model.target import Lifecycle, Target
from nettrace.model.vantage import VantageState
from nettrace.store.port import NodeRow
from nettrace.wire.frames import Assignment, Cadence, Task

SETTING = "assignment"
"""Name of the setting that holds `Orders`, as JSON."""

LEAST_INTERVAL_S = 1.0
SELDOM = 15
"""Exchanges and traces are so much rarer than round trips, unless said otherwise: 60 s and 15 minutes."""

_MEASURED = (Lifecycle.ACTIVE, Lifecycle.UNVERIFIED)


class Orders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator has set for all nodes.

    Attributes:
        rate_pps: most packets a second of one node.
        open_networks: networks that policy closes to nodes and this operator opens.
        opted_out: networks and names nobody measures.
        cadence_of: targets by host that have a cadence of their own.
        mesh: nodes measure each other, as far as they can be reached.
    """

    cadence: Cadence = Cadence()
    rate_pps: float = 200.0
    open_networks: tuple[str, ...] = ()
    opted_out: tuple[str, ...] = ()
    cadence_of: dict[str, Cadence] = {}
    mesh: bool = True


def orders(settings: Mapping[str, bytes]) -> Orders:
    """What the operator has set, or the defaults.

    Raises:
        ConfigError: the setting is not what it should be.
    """
    text = settings.get(SETTING)
    if text is None:
        return Orders()
    try:
        return msgspec.json.decode(text, type=Orders)
    except msgspec.DecodeError as error:
        raise ConfigError(f"the setting '{SETTING}' is not an order to nodes: {error}") from error


def cadence(interval_s: float) -> Cadence:
    """Round trips every so many seconds, the rest in proportion; the probes of a round fit into half of it.

    >>> cadence(60.0) == Cadence()
    True
    >>> cadence(1.0).exchange_s, cadence(1.0).spacing_s
    (15.0, 0.1)

    Raises:
        ConfigError: less than a second.
    """
    if not LEAST_INTERVAL_S <= interval_s <= 86_400:
        raise ConfigError(f"an interval of {interval_s:g} s", "From 1 second to a day")
    usual = Cadence()
    return Cadence(
        rtt_s=interval_s,
        exchange_s=interval_s * SELDOM,
        trace_s=interval_s * SELDOM,
        spacing_s=min(usual.spacing_s, interval_s / (2 * usual.probes)),
    )


def assignment_for(
    node: NodeRow, targets: Iterable[Target], settings: Mapping[str, bytes], nodes: Iterable[NodeRow] = ()
) -> Assignment:
    """What the node at a vantage measures: every endpoint of every live target, and the other nodes.

    A drained node gets no tasks: it empties its spool and rests. The version is made from the content, so that every
    worker gives the same one, and a node hears of a new one only when there is something new in it.
    """
    ordered = orders(settings)
    drained = node.vantage.state is not VantageState.ACTIVE
    peers, mesh = ((), ()) if drained or not ordered.mesh else mesh_of(node, nodes)
    tasks = () if drained else (*_tasks(targets, ordered), *mesh)
    made = Assignment(
        version=0,
        tasks=tasks,
        cadence=ordered.cadence,
        rate_pps=ordered.rate_pps,
        open_networks=ordered.open_networks,
        opted_out=ordered.opted_out,
        drained=drained,
        peers=peers,
    )
    return msgspec.structs.replace(made, version=crc32(msgspec.msgpack.encode(made)) or 1)


def _tasks(targets: Iterable[Target], ordered: Orders) -> Iterable[Task]:
    for target in sorted(targets, key=lambda each: each.host):
        if target.lifecycle not in _MEASURED or target.host in ordered.opted_out:
            continue
        for endpoint in target.endpoints:
            if endpoint.methods and endpoint.host not in ordered.opted_out:
                own = ordered.cadence_of.get(target.host)
                yield Task(target=target.host, endpoint=endpoint, methods=endpoint.methods, cadence=own)
