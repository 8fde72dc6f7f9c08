"""What every detector is: fed one observation at a time, constant in memory, able to stop and go on."""

from typing import Protocol, TypeVar

import msgspec

from nettrace.errors import Invalid
from nettrace.model.signal import Observation, Signal

State = TypeVar("State")

NOTHING: tuple[Signal, ...] = ()
"""What a detector says of almost every observation."""


class Detector(Protocol):
    """Signals of one series, from observations in order of time.

    Whatever the detector: the answer to an observation depends on nothing that came after it; memory does not grow
    with the series; `restore(snapshot())` in a new object goes on as if nothing had happened; and warming up, a gap,
    or observations that were not measured never make a signal by themselves.
    """

    @property
    def name(self) -> str:
        """The catalogue's name and the version of the method, such as `shift/1`."""
        ...

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The signals this observation proves, oldest first; almost always none."""
        ...

    def snapshot(self) -> bytes:
        """All that the detector remembers."""
        ...

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this detector in this version.
        """
        ...


def pack(name: str, state: object) -> bytes:
    """A snapshot: the detector's name and its state, as MessagePack."""
    return msgspec.msgpack.encode((name, state))


def unpack(name: str, kind: type[State], packed: bytes) -> State:
    """The state in a snapshot of the detector of that name.

    Raises:
        Invalid: another detector, another version, or no snapshot at all.
    """
    try:
        whose, state = msgspec.msgpack.decode(packed, type=tuple[str, msgspec.Raw])
        if whose != name:
            raise Invalid(f"a snapshot of detector {whose} cannot be restored into {name}", "Start it afresh")
        return msgspec.msgpack.decode(state, type=kind)
    except msgspec.MsgspecError as problem:
        raise Invalid(f"no snapshot of detector {name}: {problem}", "Start it afresh") from None
