"""Half-open connections: what a target's host does by itself between our request to connect and our kernel's refusal.

Who answers a SYN holds the connection half open until our kernel, which knows of none, has refused it: a round trip
later. Meanwhile
- another SYN of the same flow is answered with an acknowledgement of the first one (RFC 9293, 3.10.7.4; RFC 5961, 4),
  which names no probe: its silence proves nothing;
- the answer is sent again after a second and then in doubled intervals (RFC 6298, 2): one that takes that long may be the
  second, the first having been lost, and then it says nothing about the round trip.
"""

from collections.abc import Iterable, Sequence

from nettrace.measure.tracing.flight import Flight
from nettrace.model.instant import NS_PER_S
from nettrace.model.path import ReplyKind

REPEAT_NS = 1 * NS_PER_S
"""When an unheard answer is sent for the second time (RFC 6298, 2.1)."""

_JITTER = 4
"""One way a packet may be this part of a round trip quicker or slower than another."""


def is_hidden(flight: Flight, others: Iterable[Flight]) -> bool:
    """True when the flight may have reached its destination while one of the others had a connection half open there."""
    sent_at = flight.sent_at
    if sent_at is None:
        return False
    for other in others:
        rtt_ns = _connecting_ns(other)
        if rtt_ns is None or other is flight or other.sent_at is None:
            continue
        jitter_ns = rtt_ns // _JITTER
        until = max(other.sent_at + rtt_ns, other.copied_at)
        if other.sent_at - jitter_ns <= sent_at <= until + jitter_ns:
            return True
    return False


def follows_unheard(flight: Flight, others: Iterable[Flight]) -> bool:
    """True when an earlier request that surely arrived, too, was not heard of: its connection may have been half open."""
    sent_at = flight.sent_at
    return sent_at is not None and any(
        other.answer is None
        and other.sent_at is not None
        and other.sent_at < sent_at
        and other.ttl >= flight.ttl
        for other in others
    )


def may_be_repeated(flight: Flight) -> bool:
    """True when the answer took so long that it may be the second one."""
    rtt_ns = _connecting_ns(flight)
    return rtt_ns is not None and rtt_ns >= REPEAT_NS


def mark_repeated(flights: Sequence[Flight]) -> None:
    """Disown the round trips of answers that may have been repeated, unless several agree that it takes so long there."""
    slow = [flight for flight in flights if may_be_repeated(flight)]
    answers = sum(_connecting_ns(flight) is not None for flight in flights)
    believed = len(slow) == answers > 1
    for flight in slow:
        flight.repeated = not believed


def _connecting_ns(flight: Flight) -> int | None:
    """How long the answer to a request to connect took; None without one."""
    answer, sent_at = flight.answer, flight.sent_at
    if answer is None or sent_at is None or answer.kind is not ReplyKind.SYN_ACK:
        return None
    return answer.received_at - sent_at
