"""When an extra trace is due at once: the path's length or the round trip to an endpoint has moved. Pure.

The rule, per pinned address of an endpoint:
- *Length*: every answer carries the TTL that is left of its way back. A round whose most common TTL was not seen in
  the last 20 rounds has come by a way of another length.
- *Round trip*: a round's minimum hardly knows queues. When three rounds in a row lie on one side of the median of up
  to 30 earlier ones, each further from it than 6 robust standard deviations (1.4826 x MAD), than 1 ms and than 5 %,
  the level has moved. Nothing is said before 8 rounds.

Whatever moved becomes the new normal, so one move asks once: for a trace, and for another with the next round that goes
the same way, since a change of route is believed when two traces agree. An endpoint gets at most two extra traces at
once and one in five minutes after that, a node ten and one in five seconds.
"""

from collections import Counter, deque
from collections.abc import Sequence
from statistics import median

from nettrace.measure.tracing.politeness import Rate, TokenBucket
from nettrace.model.instant import NS_PER_MS, Instant

ROUNDS_REMEMBERED = 30
ROUNDS_NEEDED = 8
LENGTHS_REMEMBERED = 20
IN_A_ROW = 3
DEVIATIONS = 6.0
LEAST_NS = 1 * NS_PER_MS
LEAST_PART = 0.05
ENDPOINT_RATE = Rate(1 / 300, 2)
NODE_RATE = Rate(1 / 5, 10)
MOST_ADDRESSES = 8
"""Addresses remembered for each endpoint: names answer with several."""

_MAD_TO_DEVIATION = 1.4826


class Level:
    """What is normal for one address, and whether the newest round still is."""

    def __init__(self) -> None:
        self._minima: deque[int] = deque(maxlen=ROUNDS_REMEMBERED)
        self._off: list[int] = []
        self._lengths: deque[int] = deque(maxlen=LENGTHS_REMEMBERED)

    def moved(self, rtts_ns: Sequence[int], ttls: Sequence[int]) -> bool:
        """Take in a round: answered round trips and the TTLs of the answers, either may be empty."""
        longer = self._length_moved(ttls)
        return self._rtt_moved(min(rtts_ns)) or longer if rtts_ns else longer

    def _length_moved(self, ttls: Sequence[int]) -> bool:
        if not ttls:
            return False
        ttl = ttls[0] if len(ttls) == 1 else Counter(ttls).most_common(1)[0][0]
        moved = bool(self._lengths) and ttl not in self._lengths
        self._lengths.append(ttl)
        return moved

    def _rtt_moved(self, rtt_ns: int) -> bool:
        if len(self._minima) < ROUNDS_NEEDED:
            self._minima.append(rtt_ns)
            return False
        centre = median(self._minima)
        away, bar = abs(rtt_ns - centre), max(LEAST_NS, LEAST_PART * centre)
        if away > bar:  # else it is near whatever the deviation is, and to reckon that is dear
            bar = max(
                bar, DEVIATIONS * _MAD_TO_DEVIATION * median(abs(each - centre) for each in self._minima)
            )
        if away <= bar:
            self._minima.extend((*self._off, rtt_ns))
            self._off.clear()
            return False
        if self._off and (self._off[-1] > centre) != (rtt_ns > centre):
            self._minima.extend(self._off)
            self._off.clear()
        self._off.append(rtt_ns)
        if len(self._off) < IN_A_ROW:
            return False
        self._minima.clear()
        self._minima.extend(self._off)
        self._off.clear()
        return True


class Watch:
    """Says for each round whether its endpoint should be traced at once, within what is polite."""

    def __init__(self) -> None:
        self._levels: dict[tuple[str, str], dict[tuple[str, str], Level]] = {}
        self._budgets: dict[tuple[str, str], TokenBucket] = {}
        self._seen_once: dict[tuple[str, str], tuple[str, str]] = {}
        self._node = TokenBucket(NODE_RATE)

    def keep(self, endpoints: set[tuple[str, str]]) -> None:
        """Forget endpoints that are no longer measured."""
        for known in (self._levels, self._budgets, self._seen_once):
            for gone in known.keys() - endpoints:
                del known[gone]

    def asks(
        self,
        endpoint: tuple[str, str],
        way: tuple[str, str],
        round_: tuple[Sequence[int], Sequence[int]],
        now: Instant,
    ) -> bool:
        """True when this round asks for a trace.

        Args:
            endpoint: names of target and endpoint.
            way: method and address.
            round_: answered round trips in ns, and TTLs of the answers.
            now: of any steady clock.
        """
        levels = self._levels.setdefault(endpoint, {})
        level = levels.pop(way, None) or Level()
        levels[way] = level
        while len(levels) > MOST_ADDRESSES:
            del levels[next(iter(levels))]
        moved = level.moved(*round_)
        again = self._seen_once.get(endpoint) == way
        if again:
            del self._seen_once[endpoint]
        if not (moved or again):
            return False
        budget = self._budgets.setdefault(endpoint, TokenBucket(ENDPOINT_RATE))
        if max(budget.next_at(now), self._node.next_at(now)) > now:
            return False
        budget.take(now)
        self._node.take(now)
        if moved:
            self._seen_once[endpoint] = way
        return True
