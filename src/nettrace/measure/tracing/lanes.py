"""One lane a TTL: which targets are to be probed there, and how much the routers there may be asked.

All targets share the routers near us, and many routers answer only so often (RFC 1812, section 4.3.2.8; Linux by
default six times at once, then once a second). A lane therefore starts with two probes under way and opens as
answers come, as TCP does. When answers that used to come stop coming, it closes and asks three targets that
did answer there once more: if they answer again, the silence was genuine and the lane opens; if they do not,
the router limits its answers, and from then on it is asked at the pace it keeps up with.
"""

from collections.abc import Sequence

from nettrace.model.instant import NS_PER_S, Instant

FIRST_WINDOW = 2
SLOW_ANSWERS = 12
"""Up to here the window grows by half an answer, beyond by one, from `FAST_ANSWERS` on by two."""
FAST_ANSWERS = 64
WIDEST = 1 << 16
SUSPICIOUS_MISSES = 4
"""Unanswered probes in a row after which a lane that used to answer is questioned."""
CONTROLS = 3
CONTROL_TRY = 255
"""The number of a try that is a control."""
TRUST_NS = 5 * NS_PER_S
SLOWEST_RATE = 1.0
"""Answers a second that every router is believed to give: the default of Linux, the stingiest common one."""
STEADY_HITS = 10
"""Answers in a row at a pace before one `FASTER` is tried; the first miss then takes it back for `CEILING_NS`."""
FASTER = 2.0
CEILING_NS = 60 * NS_PER_S
MOST_MISSES = 3
"""Misses since the last change of pace at which it is slowed down."""

SHARES, LEAST_SHARE = 8, 2.0
"""A TTL gets at most an eighth of the rate, so that a router all paths share never gets a burst of it."""

OPEN, QUESTIONED, PACED = range(3)


class Lane:
    """The queue of one TTL.

    Attributes:
        step: index of the lane; `ttl` is what its probes carry.
        window: probes that may be under way.
        flight: probes that are.
        state: OPEN (held by its window), QUESTIONED (controls are under way) or PACED (held by `rate`).
        rate: probes a second, when paced.
        controls: probes to targets that have answered here before, still to be sent.
    """

    __slots__ = (
        "_ceiling_until",
        "_control_hits",
        "_controls_asked",
        "_controls_out",
        "_hits_since",
        "_hits_started",
        "_misses",
        "_ready_at",
        "_share",
        "_silence",
        "_streak",
        "_trusted_until",
        "again",
        "answered",
        "controls",
        "flight",
        "fresh",
        "head",
        "rate",
        "state",
        "step",
        "ttl",
        "window",
    )

    def __init__(self, step: int, ttl: int, window: float = FIRST_WINDOW) -> None:
        self.step = step
        self.ttl = ttl
        self.fresh: list[int] = []
        self.head = 0
        self.again: list[tuple[int, int]] = []
        self.window = window
        self.flight = 0
        self.answered = 0
        self.state = OPEN
        self.rate = SLOWEST_RATE
        self.controls: list[int] = []
        self._controls_asked = self._controls_out = 0
        self._control_hits = 0
        self._silence = 0
        self._share = LEAST_SHARE
        self._trusted_until: Instant = 0
        self._ready_at: Instant = 0
        self._streak = 0
        self._misses = 0
        self._ceiling_until: Instant = 0
        self._hits_since = 0
        self._hits_started: Instant = 0

    # -- what came of the probes ---------------------------------------------------------------------------

    def hit(self, count: int, now: Instant) -> None:
        """Answers came."""
        self.answered += count
        self._silence = 0
        self._meter(count, now)
        if self.state == QUESTIONED:
            self._control_hits += count
            self._judge(now)
        elif self.state == PACED:
            self._streak += count
            if self._streak >= STEADY_HITS and now >= self._ceiling_until:
                self._streak = 0
                self.rate *= FASTER
                self._misses = MOST_MISSES - 1
        if self.window < WIDEST:
            slow = self.answered <= SLOW_ANSWERS
            self.window += count / 2 if slow else count if self.answered < FAST_ANSWERS else 2 * count

    def miss(self, count: int, now: Instant) -> bool:
        """Probes stayed unanswered at their first try; True when the lane wants controls to tell why."""
        if self.state == QUESTIONED:
            return False
        if self.state == PACED:
            self._streak = 0
            self._misses += count
            if self._misses >= MOST_MISSES:
                self._misses = 0
                self.rate = max(SLOWEST_RATE, self.rate / FASTER)
                self._ceiling_until = now + CEILING_NS
        elif not self.answered:
            self.window += 2 * count  # whoever is there protects itself by silence
        elif now < self._trusted_until:
            self.window += count
        else:
            self._silence += count
            return self._silence >= SUSPICIOUS_MISSES or self.flight <= 0
        return False

    def late(self, now: Instant) -> None:
        """A miss was none, its answer was only slow: whatever was concluded from misses is taken back."""
        self._silence = 0
        self.state = OPEN
        self.controls.clear()
        self._trusted_until = now + TRUST_NS

    def question(self, rows: Sequence[int]) -> None:
        """Closes the lane and asks these, which have answered here before, once more; none opens it."""
        self._silence = 0
        if rows:
            self.state = QUESTIONED
            self.controls = list(rows)
            self._controls_asked = self._controls_out = len(rows)
            self._control_hits = 0
        else:
            self.window += SUSPICIOUS_MISSES

    def control_missed(self, now: Instant) -> None:
        """A control stayed unanswered."""
        if self.state == QUESTIONED:
            self._controls_out -= 1
            self._judge(now)

    def _judge(self, now: Instant) -> None:
        """Once each control is answered or not: the lane opens when at most one of them was lost."""
        if self._control_hits < self._controls_out:
            return
        if self._control_hits >= max(1, self._controls_asked - 1):
            self.state = OPEN
            self._trusted_until = now + TRUST_NS
            return
        self.state = PACED
        moderate = self._control_hits > 0 and now > self._hits_started
        seen = self._hits_since * NS_PER_S / (now - self._hits_started) if moderate else 0.0
        self.rate = max(SLOWEST_RATE, seen / 2)
        self._ready_at = now + int(NS_PER_S / self.rate)

    def _meter(self, count: int, now: Instant) -> None:
        if now - self._hits_started > NS_PER_S:
            self._hits_started = now
            self._hits_since = 0
        self._hits_since += count

    # -- what may leave ------------------------------------------------------------------------------------

    def waiting(self) -> int:
        """Probes queued here."""
        return len(self.fresh) - self.head + len(self.again)

    def room(self, now: Instant) -> int:
        """Probes that may leave now."""
        if self.state == OPEN:
            return min(self.waiting(), int(self.window) - self.flight - self._silence, int(self._share))
        if self.state == QUESTIONED:
            return len(self.controls)
        ready = int((now - self._ready_at) * self.rate / NS_PER_S) + 1 if now >= self._ready_at else 0
        return min(self.waiting(), ready, max(1, int(self.rate / 50)))

    def refill(self, share: float) -> None:
        """Grants its part of the rate for the time since it was last granted; what is not used is lost."""
        self._share = min(self._share + share, max(LEAST_SHARE, share))

    def ready_at(self) -> Instant | None:
        """When the pace permits the next probe; None when something else decides."""
        return self._ready_at if self.state == PACED and self.waiting() else None

    def take(self, count: int, now: Instant) -> tuple[Sequence[int], bytes]:
        """The next `count` rows and which try each is; retries first, and a control counts as the last try."""
        if self.state == QUESTIONED:
            rows = self.controls[:count]
            del self.controls[:count]
            return rows, bytes((CONTROL_TRY,)) * count
        if self.state == PACED:
            self._ready_at = max(self._ready_at, now - NS_PER_S // 50) + int(count * NS_PER_S / self.rate)
        self._share -= count
        if not self.again:
            rows = self.fresh[self.head : self.head + count]
            self._advance(count)
            return rows, b"\1" * count
        retried = self.again[:count]
        del self.again[:count]
        more = count - len(retried)
        rows = [row for row, _ in retried] + self.fresh[self.head : self.head + more]
        self._advance(more)
        return rows, bytes([attempt for _, attempt in retried]) + b"\1" * more

    def keep(self, wanted: "set[int]") -> None:
        """Forgets queued rows that are not wanted any more."""
        self.fresh = [row for row in self.fresh[self.head :] if row in wanted]
        self.again = [(row, attempt) for row, attempt in self.again if row in wanted]
        self.head = 0

    def _advance(self, count: int) -> None:
        self.head += count
        if self.head > 4096:
            del self.fresh[: self.head]
            self.head = 0


def pick(lanes: Sequence[Lane], room: int, turn: int, now: Instant) -> tuple[list[int], bytes, bytes]:
    """At most `room` probes of all lanes, interleaved so that no TTL gets a train: rows, steps, tries.

    `turn` says which lane comes first when not all can be served; the caller counts it up.
    """
    offers = [
        (lane.room(now), lane) for lane in lanes if lane.head < len(lane.fresh) or lane.again or lane.controls
    ]
    offers = [offer for offer in offers if offer[0] > 0]
    rows: list[int] = []
    steps: list[bytes] = []
    tries: list[bytes] = []
    while room > 0 and offers:
        if len(offers) > room:
            start = turn % len(offers)
            offers = (offers + offers)[start : start + room]
        share = min(room // len(offers), *(offer[0] for offer in offers))
        count = len(offers)
        chunk = [0] * (share * count)
        attempts = bytearray(share * count)
        for index, (_, lane) in enumerate(offers):
            chunk[index::count], attempts[index::count] = lane.take(share, now)
            lane.flight += share
        rows += chunk
        steps.append(bytes([lane.step for _, lane in offers]) * share)
        tries.append(bytes(attempts))
        room -= share * count
        offers = [(offer - share, lane) for offer, lane in offers if offer > share]
    return rows, b"".join(steps), b"".join(tries)
