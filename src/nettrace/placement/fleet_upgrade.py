"""Which machines of a fleet have to run something newer, and when one that was replaced is well again. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from nettrace.model.instant import Instant
from nettrace.placement.fleet import RUNNING, Machine, Wanted, confirm


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub knows of the newest node of a vantage.

    Attributes:
        active: it is to measure; false is drained.
        silent: it has not been heard of for so long that it counts as down.
        heard_at: when it was heard of last; None is never.
        resting: it says itself that it measures nothing because it was drained.
        backlog: entries that wait in its spool.
        measured: the hub's number of its newest round that measured something; 0 when none of them is fresh.
        flagged: light contradicts its round trips.
        methods: what its host permits it.
    """

    node: str
    version: str
    active: bool = True
    silent: bool = False
    heard_at: Instant | None = None
    resting: bool = False
    backlog: int = 0
    measured: int = 0
    flagged: bool = False
    methods: frozenset[str] = frozenset()


class Due(msgspec.Struct, frozen=True):
    """One machine to be replaced.

    Attributes:
        before: its node as it was before anything was done to it: what it has to be again.
        why: what changes, in words.
        resumed: an upgrade that was interrupted had begun with it.
    """

    wanted: Wanted
    machine: Machine
    before: Seen
    why: str
    resumed: bool = False


class Upgrade(msgspec.Struct, frozen=True):
    """What an upgrade does, in its order, and what it leaves alone and why."""

    due: tuple[Due, ...]
    current: tuple[str, ...]
    notes: tuple[str, ...]
    confirm: str


def upgrade(
    wanted: Sequence[Wanted],
    existing: Iterable[Machine],
    seen: Mapping[str, Seen],
    to: str,
    begun: Mapping[str, Seen] | None = None,
) -> Upgrade:
    """Everything that does not run what it should; those an interrupted upgrade had begun with come first.

    Args:
        wanted: what the file says.
        existing: machines with this fleet's label.
        seen: by code, what the hub knows of their nodes.
        to: the version a node has to report.
        begun: by code, the nodes as they were, of machines an upgrade began with and did not finish.
    """
    there = {(each.provider, each.name): each for each in existing}
    begun = begun or {}
    due: list[Due] = []
    current: list[str] = []
    notes: list[str] = []
    for each in wanted:
        machine, node = there.get((each.provider, each.name)), seen.get(each.code)
        if machine is None:
            notes.append(f"{each.name} is not there: nettrace fleet apply")
        elif each.code in begun:
            due.append(Due(each, machine, begun[each.code], "an upgrade was interrupted here", resumed=True))
        elif machine.state not in RUNNING:
            notes.append(f"{each.name} is {machine.state}: nettrace fleet apply starts it")
        elif node is None or node.silent:
            quiet = "has not enrolled" if node is None else "is not heard of"
            notes.append(f"{each.name} {quiet}; left alone: nettrace fleet status")
        elif changes := _changes(each, machine, node, to):
            due.append(Due(each, machine, node, changes))
        else:
            current.append(each.name)
    due.sort(key=lambda one: not one.resumed)
    token = confirm("upgrade", [(one.machine.provider, one.machine.id, one.why, to) for one in due])
    return Upgrade(tuple(due), tuple(current), tuple(notes), token)


def _changes(each: Wanted, machine: Machine, node: Seen, to: str) -> str:
    changed = [] if node.version == to else [f"{node.version or 'a version it does not tell'} to {to}"]
    if machine.image and each.image and machine.image != each.image:
        changed.append(f"image {machine.image} to {each.image}")
    return ", ".join(changed)


def missing(before: Seen, then: Seen | None, now: Seen | None, to: str | None) -> str:
    """What a node that was replaced still lacks to be as well as it was; empty when nothing is missing.

    Args:
        before: as it was before anything was done to it.
        then: as the hub knew it when it had just been replaced: what counts is what came since.
        now: as it is.
        to: the version it has to report; None takes any.

    >>> was = Seen(node="n", version="1", heard_at=1, measured=7, methods=frozenset({"icmp"}))
    >>> missing(was, was, msgspec.structs.replace(was, version="2", heard_at=9), "2")
    'it has measured nothing since'
    >>> missing(was, was, msgspec.structs.replace(was, version="2", heard_at=9, measured=8), "2")
    ''
    """
    if now is None or (now.heard_at or 0) <= (then.heard_at or 0 if then is not None else 0):
        return "it has not reported since"
    if to is not None and now.version != to:
        return f"it reports version {now.version or 'none'} in the place of {to}"
    if lost := sorted(before.methods - now.methods):
        return f"its host does not permit {', '.join(lost)} any more"
    if now.flagged and not before.flagged:
        return "light contradicts what it measures: it is not to be trusted"
    if before.active and before.measured and now.measured <= (then.measured if then is not None else 0):
        return "it has measured nothing since"
    return ""
