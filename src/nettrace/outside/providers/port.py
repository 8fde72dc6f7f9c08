"""What the fleet asks of a provider, and what a provider may answer beside success."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from nettrace.errors import NetTraceError
from nettrace.placement.fleet import Machine, Wanted


class NoCapacity(NetTraceError):
    """This place has no room for the machine now; another one may. Nothing was created."""

    slug = "no-capacity"
    status = 503


class Refused(NetTraceError):
    """The provider does not do what was asked: rights, a name, a size, a machine that is not this fleet's."""

    slug = "provider-refused"
    status = 502


class Secret:
    """A text that shows itself to nobody who did not ask: not in logs, not in errors, not in `repr`.

    >>> Secret("nt_enrol_abc")
    Secret(...)
    >>> f"{Secret('nt_enrol_abc')}"
    'Secret(...)'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the one who hands it over."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"


class Order(msgspec.Struct, frozen=True):
    """One machine to be made.

    Attributes:
        node: arguments of `nettrace node` beside the token's file, the region and the folder.
        token: the one-time enrolment token.
    """

    wanted: Wanted
    node: tuple[str, ...]
    token: Secret


class Provider(Protocol):
    """Machines of one kind that carry one fleet's label; no other machine is seen, let alone touched."""

    def machines(self, places: Sequence[str]) -> list[Machine]:
        """All of the fleet's machines; `places` are those the file names (SSH asks no other host).

        Raises:
            Unreachable, Refused: it cannot be known.
        """
        ...

    def create(self, order: Order, place: str) -> Machine:
        """Make the machine and let it run; one of that name that is already there is returned instead.

        Raises:
            NoCapacity: not at this place. Refused: not at all. Unreachable: no answer, even about what became of it.
        """
        ...

    def start(self, machine: Machine) -> None:
        """Let a machine that stands still run.

        Raises:
            NoCapacity, Refused, Unreachable: it does not run.
        """
        ...

    def destroy(self, machine: Machine) -> None:
        """Stop and remove it; one that is gone already is no error.

        Raises:
            Refused: it does not carry this fleet's label. Unreachable: no answer.
        """
        ...

    def version(self, place: str) -> str | None:
        """The version of NetTrace that a machine made or replaced at this place would run; None is only known then.

        Raises:
            Refused: there is none. Unreachable: no answer.
        """
        ...

    def replace(self, machine: Machine, order: Order) -> None:
        """Stop what runs and start what the order says, with the same name, identity and spool.

        What ran before is kept until `settle`; done again after an interruption, the same is kept.

        Raises:
            NoCapacity, Refused, Unreachable: it may or may not run; `restore` puts back what was.
        """
        ...

    def restore(self, machine: Machine) -> None:
        """Let it run again what it ran before `replace`; where nothing is kept, what it has.

        Raises:
            NoCapacity, Refused, Unreachable: it does not.
        """
        ...

    def settle(self, machine: Machine) -> None:
        """Forget what ran before.

        Raises:
            Refused, Unreachable: it is kept still.
        """
        ...

    def logs(self, machine: Machine, lines: int) -> list[str]:
        """Its newest lines of log, oldest first.

        Raises:
            Refused: the provider gives none here.
        """
        ...
