"""A machine in the engine's hands: when it is to be asked, and how its probes may go."""

from typing import Protocol

from nettrace.measure.packets.probe import Signature
from nettrace.measure.tracing.machine import Machine
from nettrace.model.instant import Instant
from nettrace.model.path import Flow


class Aimed(Machine, Protocol):
    """A machine that measures one address."""

    @property
    def address(self) -> str:
        """Where it sends."""
        ...

    @property
    def flow(self) -> Flow:
        """The flow it sends on, or of several the first."""
        ...


Course = tuple[Flow, str, Signature, int, int]
"""How a probe goes: flow, address, packed flow, number of the transport, number of the transport on its interface."""


class Run:
    """A machine in progress.

    Attributes:
        queued: it waits to be asked for probes.
        route: how its last probe went.
        wake: when it wants to be asked.
        in_flight: probes sent and not answered.
        serial_ns: how long one probe keeps the next one waiting; 0 for not at all, None before the first.
        busy_until: no probe goes before.
        turn: what a spent budget promised its next probe; 0 while it waits for none. `spent` names that budget.
        lonely: an answer fitted several of its probes, so from then on each goes alone.
        tag: of its last probe.
        earlier: tags of probes under way when it became lonely.
    """

    __slots__ = (
        "busy_until", "earlier", "in_flight", "lonely", "machine", "queued", "route", "serial", "serial_ns", "spent",
        "tag", "turn", "wake",
    )  # fmt: skip

    def __init__(self, serial: int, machine: Aimed) -> None:
        self.serial = serial
        self.machine = machine
        self.queued = False
        self.route: Course | None = None
        self.wake: Instant | None = None
        self.in_flight = 0
        self.serial_ns: int | None = None
        self.busy_until: Instant = 0
        self.turn: Instant = 0
        self.spent = ""
        self.lonely = False
        self.tag = -1
        self.earlier: list[int] = []
