"""Nodes as processes of this machine: to try a fleet out, and for a second vantage behind another address."""

import sys
from collections.abc import Sequence
from pathlib import Path

from nettrace.outside.providers.port import Order
from nettrace.outside.providers.shell import Shell
from nettrace.placement.fleet import Machine


class LocalMachines:
    """One fleet's processes here.

    Args:
        fleet: its name.
        base: folder that holds one folder for each node.
        program: what starts NetTrace.
    """

    def __init__(
        self, fleet: str, base: Path, program: Sequence[str] = (sys.executable, "-m", "nettrace")
    ) -> None:
        self._shell = Shell("local", fleet, ("sh", "-c"), "here", program, str(base.absolute()))

    def machines(self, places: Sequence[str] = ()) -> list[Machine]:
        """The processes that run, and those that stopped."""
        return self._shell.machines()

    def create(self, order: Order, place: str) -> Machine:
        """Start one."""
        return self._shell.create(order)

    def start(self, machine: Machine) -> None:
        """Start it again."""
        self._shell.start(machine)

    def version(self, place: str) -> str:
        """What the program calls its version."""
        return self._shell.version()

    def replace(self, machine: Machine, order: Order) -> None:
        """Start the program in the place of what runs, on the same folder."""
        self._shell.replace(machine, order)

    def restore(self, machine: Machine) -> None:
        """Start again what ran before."""
        self._shell.restore(machine)

    def settle(self, machine: Machine) -> None:
        """Forget what ran before."""
        self._shell.settle(machine)

    def destroy(self, machine: Machine) -> None:
        """Stop it and remove its folder."""
        self._shell.destroy(machine)

    def logs(self, machine: Machine, lines: int) -> list[str]:
        """What it printed."""
        return self._shell.logs(machine, lines)
