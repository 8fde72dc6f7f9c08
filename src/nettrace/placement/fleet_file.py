"""`fleet.toml`: which machines a fleet should have, and the price sheet beside it. Text in, checked structures out."""

import re
import tomllib
from datetime import date
from typing import Literal, TypeVar

import msgspec

from nettrace.errors import ConfigError

T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,24}[a-z0-9])?")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Machines of one kind.

    Attributes:
        regions: where each may stand, best first: the next is tried when one has no room.
        name: code of the vantage; empty takes the first region. More than one get `-1`, `-2`, ...
        size: Fly's `KIND-Nx:MEGABYTES`.
        hosts: what `ssh` connects to, one machine each.
        monthly_usd: what one costs; beats the price sheet.
    """

    provider: Literal["fly", "ssh", "local"]
    regions: tuple[str, ...] = ("here",)
    name: str = ""
    size: str = "shared-cpu-1x:256"
    count: int = 1
    hosts: tuple[str, ...] = ()
    monthly_usd: float | None = None

    @property
    def code(self) -> str:
        """The vantage's code, or its stem."""
        return self.name or self.regions[0]


class Fly(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How Fly.io is reached: the app its machines belong to, their image, where the API token stands."""

    app: str
    image: str
    token: str = "env:FLY_API_TOKEN"  # noqa: S105 (a reference, never the token)
    api: str = "https://api.machines.dev/v1"


class Ssh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hosts are reached: options for `ssh`, and what starts NetTrace over there."""

    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("nettrace",)


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What starts NetTrace here; empty is the one that reads this."""

    program: tuple[str, ...] = ()


class Fleet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file.

    Attributes:
        hub: URL the nodes report to.
        name: label of this fleet; only machines that carry it are ever touched.
        prices: path (beside the file) or https address of the price sheet.
    """

    hub: str
    machines: tuple[Group, ...]
    name: str = "nettrace"
    prices: str = ""
    insecure_http: bool = False
    fly: Fly | None = None
    ssh: Ssh = Ssh()
    local: Local = Local()


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars a month by provider, size and place (`*` is any other), who said so and when."""

    source: str
    fetched: date
    usd_month: dict[str, dict[str, dict[str, float]]]


def read_fleet(text: str, name: str = "fleet.toml") -> Fleet:
    r"""The fleet a file asks for.

    >>> read_fleet('hub = "https://h"\n[[machines]]\nprovider = "local"').machines[0].count
    1

    Raises:
        ConfigError: it is no TOML, a field is unknown or impossible.
    """
    fleet = _read(text, Fleet, name)
    if not _NAME.fullmatch(fleet.name):
        raise ConfigError(f"'{fleet.name}' cannot name a fleet", "Lower-case letters, digits, dashes")
    for group in fleet.machines:
        _check(group, fleet)
    return fleet


def _check(group: Group, fleet: Fleet) -> None:
    if not group.regions:
        raise ConfigError("a group of machines names no region", 'Write regions = ["fra", "ams"]')
    if not _NAME.fullmatch(group.code):
        raise ConfigError(f"'{group.code}' cannot be a vantage's code", "Give the group another name")
    if not 0 <= group.count <= 1000:
        raise ConfigError(f"count = {group.count} of '{group.code}' is not 0 to 1000")
    if group.provider == "fly" and fleet.fly is None:
        raise ConfigError("machines at Fly need to know the app and the image", "Add a table [fly]")
    if group.provider == "fly":
        split_size(group.size)
    if (group.provider == "ssh") != bool(group.hosts):
        raise ConfigError("hosts belong to ssh and ssh needs them", 'Write hosts = ["root@203.0.113.5"]')
    if any(host.startswith("-") or not host.strip() for host in group.hosts):
        raise ConfigError("a host of ssh begins with a dash or is empty", "Write USER@HOST")


def split_size(size: str) -> tuple[str, int, int]:
    """Kind of processor, how many, megabytes.

    >>> split_size("shared-cpu-1x:256")
    ('shared', 1, 256)

    Raises:
        ConfigError: it is not written like that.
    """
    found = re.fullmatch(r"(shared|performance)(?:-cpu)?-(\d+)x:(\d+)", size)
    if found is None:
        raise ConfigError(f"'{size}' is no size of a Fly machine", "Write it like shared-cpu-1x:256")
    return found[1], int(found[2]), int(found[3])


def read_prices(text: str) -> Prices:
    """A price sheet.

    Raises:
        ConfigError: it does not say whose prices these are, of which day, or is none at all.
    """
    return _read(text, Prices, "the price sheet")


def _read(text: str, shape: type[T], what: str) -> T:
    try:
        return msgspec.convert(tomllib.loads(text), shape)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as problem:
        hint = (
            "'provider' is fly, ssh or local" if ".provider`" in str(problem) else "See docs/guides/fleet.md"
        )
        raise ConfigError(f"{what} cannot be read: {problem}", hint) from problem
