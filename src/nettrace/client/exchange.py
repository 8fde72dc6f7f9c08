"""One call from asking to answer, with repeats, waits and errors, without a socket: written once for both clients.

A program is a generator: it yields what should be done (`Request`, `Pause`) and is sent what came of it (`Reply`,
`Broken`, None). `Client` and `AsyncClient` only carry that out.
"""

import random
import uuid
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from nettrace import __version__
from nettrace.client.call import Call
from nettrace.errors import Invalid, NetTraceError, QuotaExceeded, Unreachable, WireError

T = TypeVar("T")
TOO_MANY = 429
AWAY = frozenset({502, 503, 504})
"""The hub, or what stands before it, cannot answer now; the call was not done, or does no harm when done again."""

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0


class Sink(Protocol):
    """Where the body of an answer goes piece by piece."""

    def begin(self, *, partial: bool) -> None:
        """The answer has begun; `partial` when it goes on where the sink stands, else it starts anew."""
        ...

    def write(self, piece: bytes) -> None:
        """The next piece."""
        ...


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. The body of a good answer goes `into` a sink where one is given."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    into: Sink | None = None
    repeatable: bool = True


class Pause(msgspec.Struct, frozen=True):
    """Wait so many seconds."""

    seconds: float


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(msgspec.Struct, frozen=True):
    """No answer, or not all of it: what happened."""

    what: str


Step = Request | Pause
Heard = Reply | Broken | None
Program = Generator[Step, Heard, T]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Which hub is asked, as whom, and how patiently.

    Attributes:
        retries: how often a request that may be repeated is, after broken connections and 502, 503, 504.
        wait_s: how long a call may wait in all because the quota is used up.
    """

    url: str
    key: str | None = None
    retries: int = 3
    wait_s: float = 60.0

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            Invalid: it is no address of HTTP.
        """
        if not self.url.startswith(("http://", "https://")):
            raise Invalid(f"'{self.url}' is no hub's address", "Write https://hub.example")

    def request(self, call: Call[Any]) -> Request:
        """The request of a call; a call that makes something gets a fresh Idempotency-Key, kept over repeats."""
        headers = self.headers()
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.once:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        url = f"{self.url.rstrip('/')}{call.path}{'?' if call.query else ''}{call.query}"
        return Request(
            method=call.method, url=url, headers=headers, body=call.body, repeatable=call.repeatable
        )

    def headers(self) -> dict[str, str]:
        """What every request says."""
        said = {"Accept": "application/json", "User-Agent": f"nettrace-python/{__version__}"}
        if self.key is not None:
            said["Authorization"] = f"Bearer {self.key}"
        return said


def answered(link: Link, call: Call[T]) -> Program[T]:
    """The decoded answer of a call.

    Raises:
        NetTraceError: the hub refused, by its kind; Unreachable when it did not answer.
    """
    reply = yield from exchange(link, link.request(call))
    return decoded(reply.body, call.shape)


def exchange(link: Link, request: Request) -> Program[Reply]:
    """A good answer (below 400), after as many repeats and waits as `link` allows."""
    tried, waited = 0, 0.0
    while True:
        heard = yield request
        if isinstance(heard, Reply) and heard.status < 400:
            return heard
        if isinstance(heard, Reply) and heard.status == TOO_MANY:
            pause = retry_after(heard) or 1.0
            if waited + pause > link.wait_s:
                raise raised(heard)
            waited += pause
        else:
            tried += 1
            if not request.repeatable or tried > link.retries or not may_pass(heard):
                raise raised(heard)
            pause = backoff(tried)
            if isinstance(heard, Reply):
                pause = max(pause, min(retry_after(heard), LONGEST_PAUSE_S))
        yield Pause(pause)


def may_pass(heard: Heard) -> bool:
    """Whether the same request may succeed a little later."""
    return not isinstance(heard, Reply) or heard.status in AWAY


def backoff(tried: int) -> float:
    """Seconds to wait before the next try: doubling, half of it by chance, so that clients do not come all at once."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tried - 1)) * random.uniform(0.5, 1.0)


def retry_after(reply: Reply) -> float:
    """Seconds the answer asks to wait, 0 when it does not say."""
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def decoded(body: bytes, shape: type[T]) -> T:
    """The body as its shape.

    Raises:
        WireError: it is something else.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:  # ValidationError is one
        name = getattr(shape, "__name__", str(shape))
        raise WireError(
            f"the answer is no {name}: {error}",
            "Is this address a NetTrace hub, and no older than the client?",
        ) from error


class _Fault(msgspec.Struct, frozen=True):
    pointer: str = ""
    detail: str = ""


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of an RFC 9457 problem."""

    code: str = ""
    detail: str = ""
    hint: str = ""
    request_id: str = ""
    errors: tuple[_Fault, ...] = ()
    violated_policies: tuple[str, ...] = msgspec.field(default=(), name="violated-policies")


def raised(heard: Heard) -> NetTraceError:
    """The error an answer stands for: of the class that has its slug, with `status` and `request_id` of the answer.

    >>> raised(Reply(404, {}, b'{"code":"not-found","detail":"no target","request_id":"rq_1"}'))
    NotFound('no target')
    """
    if not isinstance(heard, Reply):
        what = heard.what if heard is not None else "nothing was heard"
        return Unreachable(f"the hub does not answer: {what}", "Is its address right, and is it running?")
    try:
        said = msgspec.json.decode(heard.body, type=_Problem)
    except msgspec.DecodeError:
        said = _Problem()
    detail = said.detail or f"the hub answered {heard.status}"
    where = "; ".join(f"{fault.pointer}: {fault.detail}" for fault in said.errors if fault.pointer)
    hint = " ".join(part for part in (said.hint, f"({where})" if where else "") if part)
    error = _made(said, heard, detail, hint)
    error.status = heard.status
    error.request_id = said.request_id or heard.headers.get("x-request-id", "")
    return error


def _made(said: _Problem, reply: Reply, detail: str, hint: str) -> NetTraceError:
    if reply.status == TOO_MANY:
        wait = int(retry_after(reply)) or 1
        return QuotaExceeded(detail, hint, retry_after_s=wait, policies=said.violated_policies)
    for kind in _family(NetTraceError):
        if kind.slug == said.code and kind.__module__ == "nettrace.errors":
            made = kind.__new__(kind)  # some kinds are made of other words than these two
            NetTraceError.__init__(made, detail, hint)
            return made
    if reply.status in AWAY:
        return Unreachable(detail, hint or "Try again later")
    return NetTraceError(detail, hint)


def _family(kind: type[NetTraceError]) -> Iterator[type[NetTraceError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)
