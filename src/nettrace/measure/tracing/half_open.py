"""Half-open connections: which of our own connection requests may have hidden another one.

Who answers a SYN holds the connection half open until our kernel, which knows of none, has refused it: a round trip
later. Another SYN of the same flow that arrives meanwhile is answered with an acknowledgement of the first one
(RFC 9293, 3.10.7.4; RFC 5961, 4), which names no probe. So its silence proves nothing.
"""

from collections.abc import Iterable

from nettrace.measure.tracing.flight import Flight
from nettrace.model.path import ReplyKind

_JITTER = 4
"""One way a packet may be this part of a round trip quicker or slower than another."""


def is_hidden(flight: Flight, others: Iterable[Flight]) -> bool:
    """True when the flight may have reached its destination while one of the others had a connection half open there."""
    sent_at = flight.sent_at
    if sent_at is None:
        return False
    for other in others:
        answer, opened_at = other.answer, other.sent_at
        if answer is None or opened_at is None or answer.kind is not ReplyKind.SYN_ACK or other is flight:
            continue
        jitter_ns = (answer.received_at - opened_at) // _JITTER
        if opened_at - jitter_ns <= sent_at <= answer.received_at + jitter_ns:
            return True
    return False
