"""One timeline for kernel stamps: a clock that never goes backwards, and a guard that notices every step.

The kernel stamps packets with CLOCK_REALTIME, which an administrator, NTP or a resumed virtual machine may
set at any time. The difference REALTIME - MONOTONIC changes only when that happens: slewing moves both
clocks alike. So the difference is read at every tick, stamps are moved to the monotonic clock with it, and a
stamp from around a step is believed only where it cannot mean two things.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from nettrace.model.instant import Instant

KERNEL_SEND_ERROR_NS = 7_000
"""Half-width of a kernel departure stamp when nothing held up the packet's way from the system call to the
device; `ledger` adds what did (docs/decisions/0031-error-bars.md)."""

KERNEL_RECEIVE_ERROR_NS = 1_000
"""Half-width of a kernel reception stamp: taken when the stack first sees the packet."""

READ_NOISE_NS = 20_000
"""Two untimed readings of two clocks differ by up to this much when the program loses its core in between."""

SMALLEST_STEP_NS = 5_000
"""What a timed reading must differ by, beyond the width of its bracket, to be called a step."""

ALLOWED_PPM = 500
"""The kernel steers its clocks no faster (adjtimex(2))."""

REMEMBERED_TICKS = 4
"""So many ticks after a step stamps may still be read that were taken before it."""

EARLY_NS = 100_000
"""How much earlier or later than possible a stamp may seem: the readings are taken around it, not with it."""

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
        width: how long the reading took, so how far apart the moments can be.
    """

    monotonic: int
    realtime: int
    raw: int
    width: int = 0


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
            best = Reading((before + after) // 2, realtime, read(time.CLOCK_MONOTONIC_RAW), width)
        if width < _TIGHT_NS:
            break
    return best


class Timeline:
    """Instants that never go backwards, made from monotonic readings and from kernel stamps.

    `tick` reads the clocks. As long as no step is seen between two ticks, every stamp taken between them is
    moved by the one known offset. When there was a step, a stamp was taken either before or after it, and
    `place` says which, or widens the bar when both are possible. The timeline starts at UTC and stays steady:
    after a step it goes on as if nothing had happened, and `utc` tells what the wall now says.

    Attributes:
        now: the instant of the last tick.
        before: the instant of the tick before that.
        steps: how many steps were seen so far.
        slew_ppm: how fast the steered clock runs against the bare oscillator; the bar of a long round trip
            grows with it, since nobody can say which of the two is right.
    """

    def __init__(self, read: Callable[[], Reading] = read_clocks) -> None:
        self._read = read
        first = read()
        self._offset = self._base = first.realtime - first.monotonic
        self._width = first.width
        self._offset_before_step: int | None = None
        self._ticks_since_step = 0
        self._slew_from = first
        self.now: Instant = first.realtime
        self.before: Instant = first.realtime
        self.steps = 0
        self.slew_ppm = 0.0

    def tick(self) -> Instant:
        """Read the clocks; the instant now."""
        reading = self._read()
        offset = reading.realtime - reading.monotonic
        self._ticks_since_step += 1
        if abs(offset - self._offset) > SMALLEST_STEP_NS + reading.width + self._width:
            self._offset_before_step = self._offset
            self._ticks_since_step = 0
            self._offset, self._width = offset, reading.width
            self.steps += 1
        elif reading.width < self._width:
            self._offset, self._width = offset, reading.width
        if self._ticks_since_step >= REMEMBERED_TICKS:
            self._offset_before_step = None
        self.before = self.now
        self.now = reading.monotonic + self._base
        self._measure_slew(reading)
        return self.now

    def place(self, stamp_ns: int, earliest: Instant) -> tuple[Instant, int] | None:
        """(instant, half-width) of a CLOCK_REALTIME stamp taken between `earliest` and now.

        None when the stamp contradicts that, whichever way the clock was set: then it is not to be believed.
        """
        instant = stamp_ns - self._offset + self._base
        if self._offset_before_step is None:
            possible = earliest - EARLY_NS <= instant <= self.now + EARLY_NS
            return (instant, 0) if possible else None
        earlier = stamp_ns - self._offset_before_step + self._base
        fits = [at for at in (instant, earlier) if self._possible(at, earliest)]
        if not fits:
            return None
        return sum(fits) // len(fits), (max(fits) - min(fits)) // 2

    @property
    def steady(self) -> int | None:
        """What to add to a CLOCK_REALTIME stamp; None while a step is so recent that `place` must decide."""
        return self._base - self._offset if self._offset_before_step is None else None

    def from_monotonic(self, monotonic_ns: int) -> Instant:
        """The instant of a CLOCK_MONOTONIC reading."""
        return monotonic_ns + self._base

    def utc(self, instant: Instant) -> Instant:
        """What the wall clock, as it is set now, would have shown at an instant of this timeline."""
        return instant - self._base + self._offset

    def slew_error_ns(self, duration_ns: int) -> int:
        """What the steering of the clock may have added to or taken from a duration."""
        return int(duration_ns * self.slew_ppm / 1_000_000)

    def _possible(self, instant: Instant, earliest: Instant) -> bool:
        return earliest - EARLY_NS <= instant <= self.now + EARLY_NS

    def _measure_slew(self, reading: Reading) -> None:
        raw_elapsed = reading.raw - self._slew_from.raw
        if raw_elapsed < SLEW_WINDOW_NS:
            return
        steered = reading.monotonic - self._slew_from.monotonic
        self.slew_ppm = min(abs(steered - raw_elapsed) * 1e6 / raw_elapsed, float(ALLOWED_PPM))
        self._slew_from = reading
