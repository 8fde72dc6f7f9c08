"""One timeline for kernel stamps: a clock that never goes backwards, and a guard that notices every step.

The kernel stamps packets with CLOCK_REALTIME, which an administrator, NTP or a resumed virtual machine may
set at any time. The difference REALTIME - MONOTONIC changes only when that happens: slewing moves both
clocks alike. So the difference is read at every tick, stamps are moved to the monotonic clock with it, and
what was in flight while it jumped is thrown away instead of being turned into a false number.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from nettrace.model.instant import Instant

KERNEL_SEND_ERROR_NS = 4_000
"""Half-width of a kernel departure stamp. The driver stamps before the packet is on the wire and may be
preempted in between: 99.9 % of stamps are within 1 us of a capture, one in 10,000 is up to 92 us early
(docs/decisions/0031-error-bars.md)."""

KERNEL_RECEIVE_ERROR_NS = 1_000
"""Half-width of a kernel reception stamp: taken when the stack first sees the packet."""

ALLOWED_PPM = 500
"""The fastest the kernel's clocks may be slewed against each other (adjtime(3))."""

READ_NOISE_NS = 20_000
"""Jitter of the offset between two readings beyond which it moved: the readings are bracketed below this."""

SLEW_WINDOW_NS = 1_000_000_000
"""How long a stretch the slew is measured over: reading noise of 0.1 us then is 0.1 ppm."""

_TIGHT_NS = 5_000
_ATTEMPTS = 4


class Reading(NamedTuple):
    """The three clocks at (nearly) one moment, in ns.

    Attributes:
        monotonic: CLOCK_MONOTONIC.
        realtime: CLOCK_REALTIME, as the kernel stamps packets.
        raw: CLOCK_MONOTONIC_RAW: the bare oscillator, steered by nobody.
    """

    monotonic: int
    realtime: int
    raw: int


def read_clocks() -> Reading:
    """The clocks now; read again when the program was interrupted between them, at most four times."""
    read = time.clock_gettime_ns
    best = Reading(0, 0, 0)
    narrowest: int | None = None
    for _ in range(_ATTEMPTS):
        before = read(time.CLOCK_MONOTONIC)
        realtime = read(time.CLOCK_REALTIME)
        after = read(time.CLOCK_MONOTONIC)
        width = after - before
        if narrowest is None or width < narrowest:
            narrowest = width
            best = Reading((before + after) // 2, realtime, read(time.CLOCK_MONOTONIC_RAW))
        if width < _TIGHT_NS:
            break
    return best


class Timeline:
    """Instants that never go backwards, made from monotonic readings and from kernel stamps.

    `tick` reads the clocks; between two ticks without a step every kernel stamp can be trusted. The timeline
    starts at UTC and stays steady: after a step it goes on as if nothing had happened, and `utc` tells what
    the wall now says.

    Attributes:
        now: the instant of the last tick.
        steps: how many steps were seen so far.
        slew_ppm: how fast the steered clock runs against the bare oscillator; the bar of a long round trip
            grows with it, since nobody can say which of the two is right.
    """

    def __init__(self, read: Callable[[], Reading] = read_clocks) -> None:
        self._read = read
        first = read()
        self._offset = first.realtime - first.monotonic
        self._base = self._offset
        self._last = first
        self._slew_from = first
        self.now: Instant = first.realtime
        self.steps = 0
        self.slew_ppm = 0.0

    def tick(self) -> bool:
        """Read the clocks; True when the wall clock was stepped since the tick before."""
        reading = self._read()
        offset = reading.realtime - reading.monotonic
        elapsed = reading.monotonic - self._last.monotonic
        moved = abs(offset - self._offset)
        stepped = moved > READ_NOISE_NS + elapsed * ALLOWED_PPM // 1_000_000
        self._offset = offset
        self._last = reading
        self.now = reading.monotonic + self._base
        self._measure_slew(reading)
        if stepped:
            self.steps += 1
        return stepped

    def instant(self, stamp_ns: int) -> Instant:
        """A CLOCK_REALTIME stamp taken since the tick before the last one, on this timeline."""
        return stamp_ns - self._offset + self._base

    def utc(self, instant: Instant) -> Instant:
        """What the wall clock, as it is set now, would have shown at an instant of this timeline."""
        return instant - self._base + self._offset

    def slew_error_ns(self, duration_ns: int) -> int:
        """What the steering of the clock may have added to or taken from a duration."""
        return int(duration_ns * self.slew_ppm / 1_000_000)

    def _measure_slew(self, reading: Reading) -> None:
        raw_elapsed = reading.raw - self._slew_from.raw
        if raw_elapsed < SLEW_WINDOW_NS:
            return
        steered = reading.monotonic - self._slew_from.monotonic
        self.slew_ppm = min(abs(steered - raw_elapsed) * 1_000_000 / raw_elapsed, float(ALLOWED_PPM))
        self._slew_from = reading
