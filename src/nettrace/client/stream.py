"""The live stream, followed over any number of broken connections without losing or repeating an event.

No socket here: `Follow` says what to ask and turns bytes into events; the clients carry bytes. Server-Sent Events as
WHATWG HTML, 9.2 has them: an event counts when its empty line has come, so one that was cut in the middle comes again.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from nettrace.client import answers
from nettrace.client.call import Call, Names, names, query_of
from nettrace.client.calls import API
from nettrace.client.exchange import (
    TOO_MANY,
    Broken,
    Heard,
    Link,
    Reply,
    Request,
    backoff,
    may_pass,
    raised,
    retry_after,
)

SILENCE_S = 30.0
"""The hub sends a heartbeat every ten seconds; a connection that is silent for so long is dead."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Something on the stream; `seq` is its place, and what `after=` takes to go on behind it."""

    seq: int


class Snapshot(Live, frozen=True, kw_only=True):
    """Where a stream without `after` begins: the newest round of every series."""

    rounds: tuple[answers.Round, ...]


class LiveRound(Live, frozen=True, kw_only=True):
    """A round, as it was stored; `topic` is `round`, or `measurement` when somebody had asked for it."""

    topic: str
    round: answers.Round


class Notice(Live, frozen=True, kw_only=True):
    """Any other event: `topic` is `trace`, `route_change`, `signal`, `vantage`, `target`, or `gap`.

    A notice with the topic `gap` is about a vantage that lost records; holes of the stream itself are `Gap`.
    """

    topic: str
    document: dict[str, Any]


class Gap(Live, frozen=True, kw_only=True):
    """Events that can no longer be had: `first` to `last`. Read what they told from history instead.

    `reason` is `expired` (you were away for longer than the hub's log reaches) or `unknown` (the hub has no such
    events: it is another one, or was restored from an older copy).
    """

    first: int
    last: int
    reason: str


StreamEvent = Snapshot | LiveRound | Notice | Gap


class _Missing(msgspec.Struct, frozen=True, kw_only=True):
    """The stream's own gap; a vantage's has neither of these."""

    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")
    reason: str


class Parser:
    """Bytes of Server-Sent Events to (id, name, data)."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[bytes, bytes] = {}

    def feed(self, piece: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
        r"""The events that are whole now.

        >>> list(Parser().feed(b"id: 7\nevent: round\ndata: {}\n\nid: 8\nev"))
        [(b'7', b'round', b'{}')]
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if line:
                name, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                known = self._fields.get(b"data")
                self._fields[name] = known + b"\n" + value if name == b"data" and known is not None else value
                continue
            fields, self._fields = self._fields, {}
            if b"data" in fields:
                yield fields.get(b"id", b""), fields.get(b"event", b"message"), fields[b"data"]


class Follow:
    """Where a stream stands: what to ask next, and which events are new.

    Attributes:
        after: the number of the last event that was given, None before the first.
    """

    def __init__(
        self, link: Link, *, topics: Names | None = None, host: Names | None = None, region: Names | None = None,
        after: int | None = None, give_up_s: float = 300.0,
    ) -> None:  # fmt: skip
        self._link = link
        self._query = query_of({"topics": names(topics), "host": names(host), "region": names(region)})
        self._give_up_s = give_up_s
        self.after = after
        self._parser = Parser()
        self._tried, self._waited, self._refused = 0, 0.0, 0.0

    def request(self) -> Request:
        """What to ask now: everything behind the last event."""
        self._parser = Parser()
        asked = self._link.request(Call(path=f"{API}/stream", shape=bytes, query=self._query))
        headers = {**asked.headers, "Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if self.after is not None:
            headers["Last-Event-ID"] = str(self.after)
        return msgspec.structs.replace(asked, headers=headers)

    def broken(self, heard: Heard) -> float:
        """Seconds to wait before the next connection, after one that was refused, broke or ended.

        Raises:
            NetTraceError: the hub says no, or has been away for longer than `give_up_s`.
        """
        if isinstance(heard, Reply) and heard.status == TOO_MANY:
            pause = retry_after(heard) or 1.0
            self._refused += pause
            if self._refused > self._link.wait_s:
                raise raised(heard)
            return pause
        if not may_pass(heard):
            raise raised(heard)
        self._tried += 1
        pause = backoff(self._tried)
        self._waited += pause
        if self._waited > self._give_up_s:
            raise raised(heard)
        return pause

    def feed(self, piece: bytes) -> Iterator[StreamEvent]:
        """The events that are whole with this piece, each once in order; `after` moves with each one taken."""
        for number, name, data in self._parser.feed(piece):
            self._tried, self._waited, self._refused = 0, 0.0, 0.0
            if not number.isdigit():
                continue  # a heartbeat, or words of farewell: the connection's end says the same
            seq = int(number)
            missing = _missing(data) if name == b"gap" else None
            if missing is not None:
                self.after = seq
                yield Gap(seq=seq, first=missing.first, last=missing.last, reason=missing.reason)
            elif self.after is None or seq > self.after:
                self.after = seq
                yield event_of(seq, name.decode(), data)


def event_of(seq: int, topic: str, data: bytes) -> StreamEvent:
    """An event of the stream by its topic."""
    if topic == "snapshot":
        return Snapshot(seq=seq, rounds=msgspec.json.decode(data, type=tuple[answers.Round, ...]))
    if topic in {"round", "measurement"}:
        try:
            return LiveRound(seq=seq, topic=topic, round=msgspec.json.decode(data, type=answers.Round))
        except msgspec.ValidationError:  # a trace that was asked for, or a round that was since deleted
            return Notice(seq=seq, topic=topic, document=msgspec.json.decode(data))
    return Notice(seq=seq, topic=topic, document=msgspec.json.decode(data))


def _missing(data: bytes) -> _Missing | None:
    try:
        return msgspec.json.decode(data, type=_Missing)
    except msgspec.ValidationError:
        return None


ENDED = Broken("the stream ended")
