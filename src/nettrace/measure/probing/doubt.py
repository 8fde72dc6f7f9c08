"""Answers that name no probe, kept back a little until it shows whether they can be believed.

Some routers quote only eight bytes, and then an error queue tells of a UDP probe nothing but its ports, which
are no secret: the flow is a pure function of the target (`tracing.flow`). Such an answer is believed when nothing
better comes within `HOLD_NS` and nobody else claims the same: one that quotes the tag outweighs it, and two
routers cannot both be where one probe ended.
"""

from collections.abc import Callable, Iterable

from nettrace.measure.tracing.answer import Answer
from nettrace.model.instant import NS_PER_MS, Instant

HOLD_NS = 100 * NS_PER_MS

Stamped = tuple[Answer, int]


class Doubts:
    """The answers kept back.

    Args:
        answered: whether a probe, by its tag, has its answer already.
    """

    def __init__(self, answered: Callable[[int], bool]) -> None:
        self._answered = answered
        self._held: dict[int, tuple[Stamped | None, Instant]] = {}

    def sift(self, answers: Iterable[Stamped], now: Instant) -> list[Stamped]:
        """The answers without those kept back from now on."""
        passed: list[Stamped] = []
        for each in answers:
            answer = each[0]
            if not answer.inferred:
                if self._held:
                    self._held.pop(answer.tag, None)
                passed.append(each)
                continue
            held, until = self._held.get(answer.tag, (each, now + HOLD_NS))
            if self._answered(answer.tag):
                continue
            rival = held is None or held[0].source != answer.source
            self._held[answer.tag] = (None if rival else held, until)
        return passed

    def settled(self, now: Instant) -> list[Stamped]:
        """The answers that were kept back for long enough and stayed without a rival."""
        ripe = [tag for tag, (_, until) in self._held.items() if until <= now]
        kept = [self._held.pop(tag)[0] for tag in ripe]
        return [each for each in kept if each is not None and not self._answered(each[0].tag)]

    def next_at(self) -> Instant | None:
        """When the next one may be believed; None when none is kept back."""
        return min((until for _, until in self._held.values()), default=None)
