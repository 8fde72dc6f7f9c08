"""Rounds of pings to many addresses, by the best method this host permits, each as it ends."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import TypeVar

import msgspec

from nettrace.errors import Unmeasurable
from nettrace.measure.probing.engine import Engine
from nettrace.measure.probing.ledger import LINGER_NS
from nettrace.measure.probing.patience import Patience, longest_ping_s
from nettrace.measure.probing.run import Aimed
from nettrace.measure.probing.sockets import Sockets
from nettrace.measure.streams.tcp import TcpTarget, connect_pings
from nettrace.measure.tracing.flow import DEFAULT_PORT
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.politeness import Politeness
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Measurement, Method, Outcome, Ping, Reason

DEFAULT_RATE_PPS = 1000.0
MOST_AT_ONCE = 10_000
"""Rounds side by side: fewer would make thousands of targets wait for each other."""
STOP_LOOK_S = 0.1
MOST_SOCKETS_AT_ONCE = 400
"""Without raw sockets every flow has its own socket."""


class ProbeTarget(msgspec.Struct, frozen=True):
    """What was asked for, and the resolved address that stands for it."""

    host: str
    address: str


class Driving(msgspec.Struct, frozen=True, kw_only=True):
    """How packets are sent, whatever is measured with them.

    Attributes:
        rate_pps: most packets a second, all targets together.
        raw: False leaves raw sockets alone even where they are permitted.
        politeness: further budgets by target and network.
        sparing: CPU time counts: only the first packets of a batch, which need it most, are asked for both stamps of their
            departure. Of the others the driver's is known, and the bar is some 8 us instead of 2.
        stop: asked at every step; once it says True what is unfinished is handed out as it stands.
    """

    rate_pps: float = DEFAULT_RATE_PPS
    raw: bool = True
    politeness: Politeness | None = None
    sparing: bool = False
    stop: Callable[[], bool] | None = None


def ping(
    targets: Sequence[ProbeTarget],
    options: PingOptions | None = None,
    *,
    automatic: bool = False,
    driving: Driving | None = None,
) -> Iterator[Ping]:
    """A round per target, each as it ends; what this host does not permit comes out as `not_measured`.

    An interrupt (KeyboardInterrupt) hands out what is unfinished, `aborted`, before it is raised again.

    Args:
        targets: what to measure.
        options: of every round. TCP rounds are handshakes by `probing.tcp`.
        automatic: the method may be changed: ICMP where permitted, else TCP connect, said in `detail`.
        driving: rate and sockets.
    """
    options, driving = options or PingOptions(), driving or Driving()
    if options.method is Method.TCP and not automatic:
        yield from _by_connecting(targets, options, driving)
        return
    with open_sockets(driving) as sockets:
        possible: list[ProbeTarget] = []
        impossible: list[tuple[ProbeTarget, Unmeasurable]] = []
        for target in targets:
            problem = obstacle(sockets, options.method, target.address)
            if problem is None:
                possible.append(target)
            else:
                impossible.append((target, problem))
        engine = Engine(sockets, rate_pps=driving.rate_pps, politeness=driving.politeness)
        if not automatic:
            for target, problem in impossible:
                yield _not_permitted(target, options, problem, engine.timeline.now)
        rounds = (PingRound(target.host, target.address, options) for target in possible)
        several = at_once(sockets)
        limit_s = longest_ping_s(options, len(possible), several, driving.rate_pps)
        patience = Patience(limit_s if driving.politeness is None else inf, driving.stop)
        for machine in drive(engine, rounds, several, patience):
            yield in_time(machine.result(), patience, done=machine.done)
    if automatic and impossible:
        note = f"by TCP connect, because {impossible[0][1]}"
        connecting = msgspec.structs.replace(options, method=Method.TCP)
        for made in _by_connecting([target for target, _ in impossible], connecting, driving):
            detail = f"{made.detail}; {note}" if made.detail else note
            yield msgspec.structs.replace(made, detail=detail)


M = TypeVar("M", bound=Aimed)
R = TypeVar("R", bound=Measurement)


def drive(engine: Engine, machines: Iterable[M], several: int, patience: Patience) -> Iterator[M]:
    """Every machine as it ends; when patience is out or on an interrupt also the unfinished ones, as they stand."""
    try:
        yield from engine.run(machines, several, patience)
    except KeyboardInterrupt:
        yield from engine.unfinished  # pyright: ignore[reportReturnType] - only what was put in is there
        raise
    yield from engine.unfinished  # pyright: ignore[reportReturnType]


def at_once(sockets: Sockets) -> int:
    """How many machines these sockets serve side by side."""
    return MOST_AT_ONCE if sockets.any_raw() else MOST_SOCKETS_AT_ONCE


def in_time(result: R, patience: Patience, *, done: bool) -> R:
    """The result, with a word on it when it was cut short because it took longer than it can."""
    if done or not patience.overdue:
        return result
    return msgspec.structs.replace(result, detail=patience.words)


def open_sockets(driving: Driving) -> Sockets:
    """Sockets with room for as many tags as the rate needs while answers are waited for."""
    needed = int(driving.rate_pps * LINGER_NS / NS_PER_S * 1.5)
    slot_bits = min(17, max(10, needed.bit_length()))
    return Sockets(raw=driving.raw, slot_bits=slot_bits, sparing=driving.sparing)


def obstacle(sockets: Sockets, method: Method, address: str) -> Unmeasurable | None:
    """Why this host cannot send such probes, or None."""
    try:
        sockets.transport(method, 6 if ":" in address else 4)
    except Unmeasurable as problem:
        return problem
    return None


def _not_permitted(target: ProbeTarget, options: PingOptions, problem: Unmeasurable, at: int) -> Ping:
    port = options.port if options.port is not None else DEFAULT_PORT[options.method]
    return Ping(
        target=target.host,
        address=target.address,
        at=at,
        outcome=Outcome.NOT_MEASURED,
        reason=Reason.NOT_PERMITTED,
        detail=str(problem),
        method=options.method,
        port=port,
    )


def _by_connecting(targets: Sequence[ProbeTarget], options: PingOptions, driving: Driving) -> Iterator[Ping]:
    port = options.port or DEFAULT_PORT[Method.TCP] or 443
    aborted: list[Ping] = []
    rounds = connect_pings(
        [TcpTarget(target.host, target.address, port) for target in targets],
        options.count,
        options.interval_ns / NS_PER_S,
        options.timeout_ns / NS_PER_S,
        rate=driving.rate_pps,
        on_abort=aborted.append,
    )

    stop = driving.stop or (lambda: False)

    async def following() -> Ping | None:
        """The next round; None when there is none or it was stopped, which is looked for every now and then."""
        coming = asyncio.ensure_future(anext(rounds, None))
        try:
            while not stop() and not (await asyncio.wait({coming}, timeout=STOP_LOOK_S))[0]:
                pass
            return coming.result() if coming.done() else None
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})

    with asyncio.Runner() as runner:
        try:
            while (made := runner.run(following())) is not None:
                yield made
        except KeyboardInterrupt:
            yield from aborted
            raise
        runner.run(rounds.aclose())
        yield from aborted
