"""What a session-reflector answers, and whom: known peers only, never more than was asked, at a bounded rate. Pure.

Not an amplifier: a reply has as many octets as its request, requests shorter than a reply get none, and each peer has a
budget. Not an oracle: what is forged, repeated or from a stranger gets nothing at all (RFC 8762, 6).
"""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import msgspec

from nettrace.errors import BadSeal, Invalid, PacketError
from nettrace.measure.packets.stamp import (
    TLV_FOLLOW_UP,
    TLV_PADDING,
    UNRECOGNISED,
    UNSEALED,
    ErrorEstimate,
    FollowUp,
    Reply,
    Request,
    Tlv,
    answered_follow_up,
    build_reply,
    instant_of,
    ntp_stamp,
    parse_request,
)
from nettrace.measure.tracing.politeness import Rate
from nettrace.model.instant import NS_PER_S, Instant

PEER_RATE = Rate(50.0, 50)
"""Replies to one peer: packets a second, and how many at once."""
WHOLE_RATE = Rate(1000.0, 200)
"""Packets looked at, whoever sends them: beyond that not even a seal is checked."""
SESSION_LIFE_NS = 120 * NS_PER_S
MOST_SESSIONS = 1024
_WINDOW = 1024
_SLACK_NS = 10 * NS_PER_S
"""How much earlier than the newest packet of its peer a new session may begin."""
_FORGOTTEN_NS = 900 * NS_PER_S


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Who is answered.

    Attributes:
        name: for people.
        key: what its packets are sealed with; None answers unauthenticated ones.
        networks: where it may send from; empty is anywhere, which only a peer with a key may.
    """

    name: str
    key: bytes | None = None
    networks: tuple[str, ...] = ()


class _Bucket(msgspec.Struct):
    rate: Rate
    tokens: float
    at: Instant

    def take(self, now: Instant) -> bool:
        self.tokens = min(self.rate.burst, self.tokens + (now - self.at) * self.rate.per_second / NS_PER_S)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class _Known(msgspec.Struct):
    peer: Peer
    networks: tuple[IPv4Network | IPv6Network, ...]
    bucket: _Bucket
    newest: Instant = 0
    """The newest time stamp of its own that came, and when by our clock it came."""
    newest_at: Instant = 0


class _Session(msgspec.Struct):
    touched: Instant
    count: int = 0
    most: int = -1
    seen: int = 0
    last: FollowUp | None = None
    last_number: int = -1


class Answer(msgspec.Struct, frozen=True):
    """A reply to send, and how to tell when it had left."""

    data: bytes
    session: tuple[str, int, int]
    number: int


class Reflection:
    """A reflector's memory.

    Args:
        peers: who is answered.
        stateful: count replies by ourselves, so that senders can tell the two ways apart.

    Attributes:
        counts: `answered`, and why others were not: `stranger forged repeated malformed short hurried`.
    """

    def __init__(self, peers: Iterable[Peer] = (), *, stateful: bool = True) -> None:
        self.counts: Counter[str] = Counter()
        self._stateful = stateful
        self._known: list[_Known] = []
        self._sessions: dict[tuple[str, int, int], _Session] = {}
        self._whole = _Bucket(WHOLE_RATE, WHOLE_RATE.burst, 0)
        self.allow(peers)

    def allow(self, peers: Iterable[Peer]) -> None:
        """Answer these and nobody else from now on; what is known of those that stay is kept.

        Raises:
            Invalid: one has neither key nor network, or a network that is none.
        """
        before = {each.peer: each for each in self._known}
        self._known = [before.get(peer) or _known(peer) for peer in peers]

    def answer(
        self,
        data: bytes,
        source: tuple[str, int],
        arrived: Instant,
        ttl: int | None,
        clock: tuple[Instant, ErrorEstimate],
    ) -> Answer | None:
        """The reply, or None when there is none to send.

        Args:
            data: what came.
            source: address and port it came from.
            arrived: when, by the stamp that goes into the reply.
            ttl: what it arrived with.
            clock: now, and how sure that is.
        """
        now, estimate = clock
        if not self._whole.take(now):
            return self._no("hurried")
        found = self._asked(data, source[0])
        if found is None:
            return None
        known, request = found
        if not known.bucket.take(now):
            return self._no("hurried")
        name = (source[0], source[1], request.session)
        session = self._session(name, now)
        if self._repeated(known, session, request, now):
            return self._no("repeated")
        number = session.count if self._stateful else request.number
        reply = Reply(
            number=number & 0xFFFFFFFF, left=ntp_stamp(now), estimate=estimate, arrived=ntp_stamp(arrived),
            request_number=request.number, request_sent=request.sent, request_estimate=request.estimate,
            request_ttl=ttl or 0, session=request.session,
            tlvs=tuple(self._extension(each, session) for each in request.tlvs),
        )  # fmt: skip
        session.count += 1
        session.touched = now
        made = build_reply(reply, known.peer.key)
        if len(made) > len(data):  # an extension we would lengthen: never
            return self._no("malformed")
        self.counts["answered"] += 1
        return Answer(made, name, reply.number)

    def left(self, answer: Answer, at: Instant) -> None:
        """The kernel's stamp of a reply's departure; the session's next reply tells it."""
        session = self._sessions.get(answer.session)
        if session is not None:
            session.last = FollowUp(answer.number, ntp_stamp(at))

    # -- who and what --------------------------------------------------------------------------------------

    def _no(self, why: str) -> None:
        self.counts[why] += 1

    def _asked(self, data: bytes, address: str) -> tuple[_Known, Request] | None:
        """Who asks what; None of strangers, forgers and what is no request."""
        parsed = ip_address(address.partition("%")[0])
        near = [
            each for each in self._known if not each.networks or any(parsed in net for net in each.networks)
        ]
        why = "stranger"
        for known in near:
            try:
                return known, parse_request(data, known.peer.key)
            except BadSeal:
                why = "forged"
            except PacketError:
                why = "short"
        return self._no(why)

    def _session(self, name: tuple[str, int, int], now: Instant) -> _Session:
        session = self._sessions.get(name)
        if session is None:
            if len(self._sessions) >= MOST_SESSIONS:
                alive = {
                    key: each for key, each in self._sessions.items() if now - each.touched < SESSION_LIFE_NS
                }
                while len(alive) >= MOST_SESSIONS:
                    alive.pop(next(iter(alive)))
                self._sessions = alive
            session = self._sessions[name] = _Session(now)
        return session

    def _repeated(self, known: _Known, session: _Session, request: Request, now: Instant) -> bool:
        """Whether this packet was here before; one that was not is remembered.

        Within a session by its number; of a session we no longer know, by its time stamp: a peer's clock goes forward.
        """
        sent = instant_of(request.sent, now, ptp=request.estimate.ptp)
        if session.most < 0 and known.peer.key is not None:
            fresh = now - known.newest_at > _FORGOTTEN_NS
            if not fresh and sent < known.newest - _SLACK_NS:
                return True
        ahead = request.number - session.most
        if ahead > 0:
            session.seen = (session.seen << ahead | 1) & (1 << _WINDOW) - 1 if ahead < _WINDOW else 1
            session.most = request.number
        else:
            bit = 1 << -ahead if -ahead < _WINDOW else 0
            if not bit or session.seen & bit:
                return True
            session.seen |= bit
        if sent >= known.newest or now - known.newest_at > _FORGOTTEN_NS:
            known.newest = sent
        known.newest_at = now
        return False

    def _extension(self, asked: Tlv, session: _Session) -> Tlv:
        """What becomes of an extension: answered, repeated as padding, or marked as unknown to us (RFC 8972, 4)."""
        if asked.flags & UNSEALED:
            return asked
        answered = answered_follow_up(session.last)
        if self._stateful and asked.kind == TLV_FOLLOW_UP and len(asked.value) == len(answered.value):
            return answered
        flags = asked.flags & ~UNRECOGNISED if asked.kind == TLV_PADDING else asked.flags | UNRECOGNISED
        return Tlv(flags, asked.kind, asked.value)


def _known(peer: Peer) -> _Known:
    if peer.key is None and not peer.networks:
        raise Invalid(
            f"{peer.name} has neither key nor network: everybody would be answered", "Give it one of the two"
        )
    try:
        networks = tuple(ip_network(each) for each in peer.networks)
    except ValueError as error:
        raise Invalid(
            f"a peer's network cannot be: {error}", "Write it like 192.0.2.7 or 10.1.0.0/16"
        ) from None
    return _Known(peer, networks, _Bucket(PEER_RATE, PEER_RATE.burst, 0))
