"""A fleet of machines: what is wanted beside what is there, the steps between, and what they cost a month.

Nothing here touches the world: machines and prices come in, a plan goes out. Two runs over the same facts give the same
plan and the same confirm token; a plan over a finished fleet has no steps.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import date

import msgspec

from nettrace.errors import Conflict
from nettrace.placement.fleet_file import Fleet, Group, Prices, split_size

STALE_DAYS = 90
"""Prices older than this are shown with a warning."""

RUNNING = frozenset({"started", "starting", "restarting", "replacing", "updating"})
GONE = frozenset({"destroyed", "destroying"})
TOKEN_FILE = "/run/nettrace-token"  # noqa: S105 (where it stands, not what it is)
"""Where a machine at Fly finds its enrolment token."""

UNFINISHED = "unfinished"
"""State of a machine whose making was interrupted before it could run: it is made again under its name."""


class Wanted(msgspec.Struct, frozen=True):
    """One machine that should be.

    Attributes:
        name: what the provider knows it by; the fleet's name and the code, so that it is the same in every run.
        code: the vantage it will be at the hub.
        places: where it may stand, best first: regions of Fly, one host of SSH, `here`.
        size: such as `shared-cpu-1x:256`; empty where the machine exists already.
        monthly_usd: what the file says it costs, or None: the price sheet knows.
    """

    name: str
    code: str
    provider: str
    places: tuple[str, ...]
    size: str
    image: str = ""
    monthly_usd: float | None = None


class Machine(msgspec.Struct, frozen=True):
    """One machine that is, labelled as this fleet's own."""

    provider: str
    id: str
    name: str
    place: str
    state: str
    size: str = ""
    image: str = ""


class Step(msgspec.Struct, frozen=True):
    """One thing to do: `create` a machine or `start` one that stands still.

    Attributes:
        usd: what it adds to the month, at the first of its places; None is unknown.
    """

    kind: str
    wanted: Wanted
    machine: Machine | None = None
    usd: float | None = None


class Plan(msgspec.Struct, frozen=True):
    """What to do, in order.

    Attributes:
        kept: what is there and running as wanted.
        surplus: this fleet's machines that nobody wants any more; `destroy` takes them, `apply` never does.
        notes: what the reader should know: regions left out, sizes that differ, prices that are old.
        usd: what the whole fleet costs a month after the steps, as far as known.
        unknown: how many of its machines have no known price.
        confirm: a token of exactly these steps at this cost.
    """

    steps: tuple[Step, ...]
    kept: tuple[Machine, ...]
    surplus: tuple[Machine, ...]
    notes: tuple[str, ...]
    usd: float
    unknown: int
    confirm: str


def wanted(fleet: Fleet) -> tuple[Wanted, ...]:
    """Every machine a file asks for, in its order.

    Raises:
        Conflict: two would be the same vantage.
    """
    made = [each for group in fleet.machines for each in _of_group(fleet, group)]
    codes = [each.code for each in made]
    for code in codes:
        if codes.count(code) > 1:
            raise Conflict(f"two machines would be the vantage '{code}'", "Give one group another name")
    return tuple(made)


def _of_group(fleet: Fleet, group: Group) -> Iterable[Wanted]:
    standing = [(host,) for host in group.hosts] if group.provider == "ssh" else [group.regions] * group.count
    for number, places in enumerate(standing, 1):
        code = group.code if len(standing) == 1 else f"{group.code}-{number}"
        yield Wanted(
            name=f"{fleet.name}-{code}",
            code=code,
            provider=group.provider,
            places=places,
            size=group.size if group.provider == "fly" else "",
            image=fleet.fly.image if fleet.fly is not None and group.provider == "fly" else "",
            monthly_usd=0.0 if group.provider == "local" and group.monthly_usd is None else group.monthly_usd,
        )


def price(prices: Prices | None, each: Wanted, place: str) -> float | None:
    """US dollars a month for a machine at a place; None when nobody said."""
    if each.monthly_usd is not None:
        return each.monthly_usd
    if prices is None:
        return None
    by_place = prices.usd_month.get(each.provider, {}).get(each.size, {})
    return by_place.get(place, by_place.get("*"))


def plan(
    wanted: Sequence[Wanted],
    existing: Iterable[Machine],
    prices: Prices | None,
    today: date,
    regions: frozenset[str] | None = None,
) -> Plan:
    """The steps from what is there to what is wanted.

    Args:
        wanted: every machine that should be.
        existing: machines with this fleet's label, of all its providers.
        prices: the price sheet, if there is one.
        today: how old the sheet is follows from it.
        regions: the Fly regions there are; None when they could not be asked.
    """
    there = {(each.provider, each.name): each for each in existing if each.state not in GONE}
    steps: list[Step] = []
    kept: list[Machine] = []
    notes: list[str] = []
    costs: list[float | None] = []
    for each in wanted:
        machine = there.pop((each.provider, each.name), None)
        if machine is None or machine.state == UNFINISHED:
            open_to = _placed(each, regions, notes.append)
            if not open_to.places:
                continue
            cost = price(prices, open_to, open_to.places[0])
            steps.append(Step("create", open_to, machine, cost))
        else:
            cost = price(prices, each, machine.place)
            if machine.state in RUNNING:
                kept.append(machine)
            else:
                steps.append(Step("start", each, machine, 0.0))
            notes.extend(_differences(each, machine))
        costs.append(cost)
    surplus = tuple(there.values())
    notes.extend(f"{each.name} is not wanted any more: nettrace fleet destroy" for each in surplus)
    if prices is not None and (today - prices.fetched).days > STALE_DAYS:
        notes.append(f"prices are of {prices.fetched} ({prices.source}): fetch them again")
    known = [cost for cost in costs if cost is not None]
    return Plan(
        steps=tuple(steps),
        kept=tuple(kept),
        surplus=surplus,
        notes=tuple(notes),
        usd=round(sum(known), 2),
        unknown=len(costs) - len(known),
        confirm=confirm("apply", [(s.kind, s.wanted.name, *s.wanted.places, repr(s.usd)) for s in steps]),
    )


def _placed(each: Wanted, regions: frozenset[str] | None, note: Callable[[str], object]) -> Wanted:
    """The same machine, kept from regions that are not there."""
    if each.provider != "fly" or regions is None:
        return each
    known = tuple(place for place in each.places if place in regions)
    for place in each.places:
        if place not in known:
            note(f"{each.name}: fly has no region '{place}' now; left out")
    if not known:
        note(f"{each.name}: none of its regions is there; NOT CREATED")
    return msgspec.structs.replace(each, places=known)


def _differences(each: Wanted, machine: Machine) -> Iterable[str]:
    for word, is_, should in (("size", machine.size, each.size), ("image", machine.image, each.image)):
        if is_ and should and is_ != should:
            how = "nettrace fleet upgrade" if word == "image" else "destroy it and apply to replace it"
            yield f"{each.name} has {word} {is_}, wanted is {should}: {how}"
    if machine.place not in each.places:
        yield f"{each.name} stands in {machine.place}, which the file does not name any more"


def confirm(verb: str, what: Iterable[Sequence[str]]) -> str:
    """A token that names exactly this doing: another machine, step or price makes another token.

    >>> confirm("destroy", [("fly", "1a")]) == confirm("destroy", [("fly", "1a")])
    True
    >>> confirm("destroy", [("fly", "1a")]) == confirm("destroy", [("fly", "1b")])
    False
    """
    text = repr((verb, sorted(tuple(each) for each in what)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def doomed(machines: Iterable[Machine], names: Sequence[str]) -> tuple[tuple[Machine, ...], str]:
    """The machines to destroy and the token that allows exactly that.

    Args:
        machines: candidates, labelled as this fleet's own.
        names: only these; empty means all of them.
    """
    chosen = tuple(each for each in machines if not names or each.name in names)
    return chosen, confirm("destroy", [(each.provider, each.id, each.name) for each in chosen])


def fly_configuration(fleet: Fleet, each: Wanted) -> str:
    """A fly.toml for one machine, for those who deploy by `fly deploy` instead of `nettrace fleet apply`.

    One app for each. The one-time token goes in by `fly secrets`, as the file's first line says; it is not in here.

    Raises:
        Conflict: the fleet does not say what it has at Fly.
    """
    if fleet.fly is None:
        raise Conflict("this fleet has no machines at Fly", "Add a table [fly]")
    kind, cpus, megabytes = split_size(each.size)
    secret = f"NETTRACE_ENROL_{each.code.upper().replace('-', '_')}"
    words = [
        "--hub",
        fleet.hub,
        "--region",
        each.code,
        "--token-file",
        TOKEN_FILE,
        "--data",
        "/var/lib/nettrace/node",
    ]
    return f"""# Made by nettrace fleet config from fleet.toml. First: fly secrets set --stage {secret}="$(nettrace fleet token --region {each.code} | base64 -w0)"
app = {_quoted(f"{fleet.fly.app}-{each.code}")}
primary_region = {_quoted(each.places[0])}
kill_signal = "SIGTERM"
kill_timeout = "10s"

[build]
image = {_quoted(fleet.fly.image)}

[processes]
node = {_quoted(" ".join(words))}

[[files]]
guest_path = {_quoted(TOKEN_FILE)}
secret_name = {_quoted(secret)}

[[vm]]
cpu_kind = {_quoted(kind)}
cpus = {cpus}
memory = "{megabytes}mb"
persist_rootfs = "always"
processes = ["node"]
"""


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    return '"' + "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 32 else c for c in text) + '"'
