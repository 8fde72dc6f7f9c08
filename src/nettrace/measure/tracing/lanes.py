"""One lane a TTL: which targets are to be probed there, and how much the routers there are asked at once.

All targets share the routers near us. A lane therefore starts with two probes under way and opens only as
answers come, as TCP does: a router that answers six times and then falls silent (Linux's default: a burst of
six, then one a second) has been asked a dozen times by then, not ten thousand.
"""

from collections.abc import Sequence

FIRST_WINDOW = 2
SLOW_ANSWERS = 12
"""Up to here the window grows by half an answer, beyond by one, from `FAST_ANSWERS` on by two."""
FAST_ANSWERS = 64
WIDEST = 1 << 16


class Lane:
    """The queue of one TTL.

    Attributes:
        step: index of the lane; `ttl` is what its probes carry.
        window: probes that may be under way.
        flight: probes that are.
    """

    __slots__ = ("again", "answered", "flight", "fresh", "head", "step", "ttl", "window")

    def __init__(self, step: int, ttl: int, window: float = FIRST_WINDOW) -> None:
        self.step = step
        self.ttl = ttl
        self.fresh: list[int] = []
        self.head = 0
        self.again: list[tuple[int, int]] = []
        self.window = window
        self.flight = 0
        self.answered = 0

    def open(self, answers: int) -> None:
        """Answers came: the window grows."""
        self.answered += answers
        if self.answered <= SLOW_ANSWERS:
            self.window += answers / 2
        elif self.window < WIDEST:
            self.window += answers if self.answered < FAST_ANSWERS else 2 * answers

    def waiting(self) -> int:
        """Probes queued here."""
        return len(self.fresh) - self.head + len(self.again)

    def room(self) -> int:
        """Probes that may leave now."""
        return min(self.waiting(), int(self.window) - self.flight)

    def take(self, count: int) -> tuple[Sequence[int], bytes]:
        """The next `count` rows and which try each is; retries first."""
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

    def _advance(self, count: int) -> None:
        self.head += count
        if self.head > 4096:
            del self.fresh[: self.head]
            self.head = 0


def pick(lanes: Sequence[Lane], room: int, turn: int) -> tuple[list[int], bytes, bytes]:
    """At most `room` probes of all lanes, interleaved so that no TTL gets a train: rows, steps, tries.

    `turn` says which lane comes first when not all can be served; the caller counts it up.
    """
    offers = [(lane.room(), lane) for lane in lanes if lane.head < len(lane.fresh) or lane.again]
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
            chunk[index::count], attempts[index::count] = lane.take(share)
            lane.flight += share
        rows += chunk
        steps.append(bytes([lane.step for _, lane in offers]) * share)
        tries.append(bytes(attempts))
        room -= share * count
        offers = [(offer - share, lane) for offer, lane in offers if offer > share]
    return rows, b"".join(steps), b"".join(tries)
