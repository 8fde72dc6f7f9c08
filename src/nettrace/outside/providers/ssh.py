"""Any machine that `ssh` gets to without a password: the program's own configuration, keys and known hosts hold."""

from collections.abc import Sequence

from nettrace.outside.providers.port import Order
from nettrace.outside.providers.shell import Shell
from nettrace.placement.fleet import Machine
from nettrace.placement.fleet_file import Ssh

OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-T")


class SshMachines:
    """One fleet's nodes on the hosts a file names. A place is what `ssh` connects to."""

    def __init__(self, fleet: str, settings: Ssh) -> None:
        self._fleet, self._settings = fleet, settings

    def machines(self, places: Sequence[str]) -> list[Machine]:
        """The nodes of all those hosts; a host that is not reached is an error, never an empty host."""
        return [each for place in dict.fromkeys(places) for each in self._at(place).machines()]

    def create(self, order: Order, place: str) -> Machine:
        """Start it over there."""
        return self._at(place).create(order)

    def start(self, machine: Machine) -> None:
        """Start it again, after that host's restart for instance."""
        self._at(machine.place).start(machine)

    def version(self, place: str) -> str:
        """What that host's program calls its version."""
        return self._at(place).version()

    def replace(self, machine: Machine, order: Order) -> None:
        """Start the file's program in the place of what runs there, on the same folder."""
        self._at(machine.place).replace(machine, order)

    def restore(self, machine: Machine) -> None:
        """Start again what ran there before."""
        self._at(machine.place).restore(machine)

    def settle(self, machine: Machine) -> None:
        """Forget what ran there before."""
        self._at(machine.place).settle(machine)

    def destroy(self, machine: Machine) -> None:
        """Stop it and remove its folder; the host stays as it is."""
        self._at(machine.place).destroy(machine)

    def logs(self, machine: Machine, lines: int) -> list[str]:
        """What it printed over there."""
        return self._at(machine.place).logs(machine, lines)

    def _at(self, host: str) -> Shell:
        reach = ["ssh", *OPTIONS, *self._settings.options, "--", host]
        return Shell("ssh", self._fleet, reach, host, self._settings.program)
