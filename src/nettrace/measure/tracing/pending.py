"""The probes under way: tags for flat tables, and what each live tag was sent to."""

from array import array
from collections import deque

from nettrace.errors import Invalid
from nettrace.measure.packets.probe import Signature
from nettrace.measure.packets.tag import TAG_BITS


class Pending:
    """Hands out tags and remembers what each was sent to, until released.

    A tag is a slot and the slot's generation; a released slot is used again as late as possible and then
    under its next generation, so a late or replayed answer to its last user finds nothing.

    Args:
        slot_bits: 2**slot_bits probes can be under way; the rest of 30 bits counts generations.
    """

    __slots__ = ("_free", "_generation_mask", "_generations", "_signatures", "_slot_bits", "_slot_mask")

    def __init__(self, slot_bits: int = 12) -> None:
        if not 1 <= slot_bits <= TAG_BITS - 8:
            raise Invalid(f"slot_bits lies between 1 and {TAG_BITS - 8}, not at {slot_bits}")
        self._slot_bits = slot_bits
        self._slot_mask = (1 << slot_bits) - 1
        self._generation_mask = (1 << TAG_BITS - slot_bits) - 1
        self._signatures: list[Signature | None] = [None] * (1 << slot_bits)
        self._generations = array("I", bytes(4 << slot_bits))
        self._free = deque(range(1 << slot_bits))

    def __len__(self) -> int:
        return len(self._signatures) - len(self._free)

    def take(self, flow: Signature) -> int | None:
        """A fresh tag for a probe of `flow`, or None when every slot is under way."""
        if not self._free:
            return None
        slot = self._free.popleft()
        self._signatures[slot] = flow
        return self._generations[slot] << self._slot_bits | slot

    def release(self, tag: int) -> None:
        """Answers to `tag` no longer count. Releasing twice does nothing."""
        slot = tag & self._slot_mask
        if self._generations[slot] != tag >> self._slot_bits or self._signatures[slot] is None:
            return
        self._signatures[slot] = None
        self._generations[slot] = self._generations[slot] + 1 & self._generation_mask
        self._free.append(slot)

    def slot(self, tag: int) -> int:
        """The tag's slot, an index for flat arrays beside this table."""
        return tag & self._slot_mask

    def signature(self, tag: int) -> Signature | None:
        """What the probe `tag` was sent to, or None when no such probe is under way."""
        slot = tag & self._slot_mask
        return self._signatures[slot] if self._generations[slot] == tag >> self._slot_bits else None
