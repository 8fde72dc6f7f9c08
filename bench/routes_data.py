"""Series of traces with known route changes: a real or generated series resampled, then changed on purpose.

Resampling a series' own traces gives one in which nothing changes by construction; a change is then planted
in the middle: another vantage's real middle hops (`as`), or two or three hops replaced by others of the same
/16, each balanced two ways (`ip`). Real series are those of `$NETTRACE_DATASETS/atlas/trace_ts_*.jsonl.gz`.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec

from nettrace.analysis.routes.sight import is_private, network_of
from nettrace.model.measurement import Method, Outcome
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.outside.atlas import import_atlas
from nettrace.wire.atlas import Malformed

LENGTH, PLANTED_AT, WITHIN = 96, 64, 6
CUT_AT, SEEN_AFTER = 24, 6
_FEWEST_TRACES = 8

Series = dict[str, list[Trace]]
"""Vantage -> its traces in order."""


def real_series() -> dict[str, Series]:
    """Target -> series, from the data directory; empty without one."""
    folder = os.environ.get("NETTRACE_DATASETS")
    found: dict[str, Series] = {}
    for path in sorted(Path(folder, "atlas").glob("trace_ts_*.jsonl.gz")) if folder else []:
        series: Series = defaultdict(list)
        for item in import_atlas(path):
            if not isinstance(item, Malformed) and isinstance(item.measurement, Trace):
                series[item.measurement.vantage or ""].append(item.measurement)
        name = next(iter(series.values()))[0].target
        found[name] = {key: traces for key, traces in series.items() if len(traces) >= _FEWEST_TRACES}
    return found


def generated_series(random: Random, vantages: int = 24, traces: int = 24) -> Series:
    """Series made up where there is no data: 8 to 14 hops, 30 % of them silent, the middle balanced two or four ways."""

    def router() -> str:
        return f"{random.randrange(20, 200)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"

    made: Series = {}
    for number in range(vantages):
        length = random.randint(8, 14)
        ways = [[router() for _ in range(random.choice((1, 1, 2, 4)))] for _ in range(length)]
        dark = {ttl for ttl in range(length) if random.random() < 0.2}
        made[f"v{number}"] = [_generated(f"v{number}", scan, ways, dark, random) for scan in range(traces)]
    return made


def cut_series(random: Random, share: float) -> list[Trace]:
    """Traces of one flow of a made-up pair, each hop silent with this probability; another way from `CUT_AT` on.

    A carrier's routers stand in one /24 of its own. The other way crosses an exchange and one router of another AS, as
    long as the old one give or take a hop.
    """

    def carrier(hops: int) -> list[str]:
        net = f"{random.randrange(20, 200)}.{random.randrange(256)}.{random.randrange(256)}"
        return [f"{net}.{host}" for host in random.sample(range(1, 255), hops)]

    home, backbone, cloud = carrier(2), carrier(random.randint(4, 8)), carrier(random.randint(3, 5))
    exchange, relay = carrier(1), carrier(random.randint(1, 2))
    old = [*home, *backbone, *cloud[1:]]
    new = [*home, *backbone[: -random.randint(3, 4)], *exchange, *relay, cloud[0], *cloud[2:]]
    return [
        _trace("v", scan, 0, [None if random.random() < share else hop for hop in way], reached=True)
        for scan, way in enumerate([old] * CUT_AT + [new] * SEEN_AFTER)
    ]


def _generated(vantage: str, scan: int, ways: list[list[str]], dark: set[int], random: Random) -> Trace:
    flow = scan % 16
    seen = [
        None if ttl in dark or random.random() < 0.1 else way[(flow * 7 + ttl) % len(way)]
        for ttl, way in enumerate(ways)
    ]
    return _trace(vantage, scan, flow, seen, reached=random.random() < 0.5)


def _trace(vantage: str, scan: int, flow: int, seen: Sequence[str | None], *, reached: bool) -> Trace:
    target = "198.51.100.7"
    hops = ["192.168.1.1", *seen, *([target] if reached else [None] * 5)]
    return Trace(
        vantage=vantage,
        target="generated.example",
        address=target,
        at=(1_767_225_600 + 7200 * scan) * 1_000_000_000,
        outcome=Outcome.MEASURED,
        method=Method.UDP,
        flow=flow,
        reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP,
        rtt_ns=50_000_000 if reached else None,
        hops=tuple(Hop(ttl=ttl, address=address) for ttl, address in enumerate(hops, 1)),
    )


def by_slash16(address: str) -> int | None:
    """A stand-in for an AS table: every /16 is an AS of its own (a /32 in IPv6)."""
    parts = address.split(".")
    if len(parts) == 4:
        return 1 + int(parts[0]) * 256 + int(parts[1])
    words = address.split(":")
    return 100_000 + int(words[0] or "0", 16) * 65_536 + int(words[1] or "0", 16) if len(words) > 2 else None


def resampled(traces: list[Trace], random: Random) -> list[Trace]:
    """A series of `LENGTH` traces drawn from these, two hours apart: nothing changes in it."""
    start = traces[0].at
    return [
        msgspec.structs.replace(random.choice(traces), at=start + number * 7_200_000_000_000)
        for number in range(LENGTH)
    ]


def with_as_change(series: list[Trace], donor: list[Trace], random: Random) -> list[Trace] | None:
    """The series with a donor's middle hops from `PLANTED_AT` on.

    None when there is no middle to replace, or when most networks of the donor are the series' own: no change then.
    """
    own = {network_of(hop.address) for trace in series for hop in _middle(trace) if hop.address}
    foreign = {network_of(hop.address) for trace in donor for hop in _middle(trace) if hop.address}
    if 2 * len(own & foreign) > len(foreign):
        return None
    changed = [
        _spliced(trace, random.choice(donor)) if number >= PLANTED_AT else trace
        for number, trace in enumerate(series)
    ]
    if sum(a is not b for a, b in zip(series, changed, strict=True)) < (LENGTH - PLANTED_AT) * 0.9:
        return None
    return changed


def with_ip_change(series: list[Trace], random: Random) -> list[Trace] | None:
    """The series with two or three hops replaced from `PLANTED_AT` on, or None when it has too few."""
    counts: dict[str, int] = defaultdict(int)
    for trace in series:
        for address in {hop.address for hop in _middle(trace) if hop.address}:
            counts[address] += 1
    steady = [address for address, count in counts.items() if count > 0.5 * len(series) and "." in address]
    if len(steady) < 2:
        return None
    chosen = random.sample(steady, min(len(steady), random.choice((2, 3))))
    ways = {address: [_neighbour(address, random) for _ in range(2)] for address in chosen}

    def moved(hop: Hop) -> Hop:
        way = ways.get(hop.address or "")
        return msgspec.structs.replace(hop, address=random.choice(way), also=()) if way else hop

    return [
        msgspec.structs.replace(trace, hops=tuple(map(moved, trace.hops))) if number >= PLANTED_AT else trace
        for number, trace in enumerate(series)
    ]


def _middle(trace: Trace) -> list[Hop]:
    return [
        hop
        for hop in trace.hops
        if hop.address and hop.address != trace.address and not is_private(hop.address)
    ]


def _spliced(trace: Trace, donor: Trace) -> Trace:
    """Own first public hop and own target, with what the donor had between."""
    own, foreign = _middle(trace), _middle(donor)
    if not own or len(foreign) < 3:
        return trace
    head = [hop for hop in trace.hops if hop.ttl <= own[0].ttl]
    tail = [hop for hop in trace.hops[-1:] if hop.address == trace.address]
    middle = [hop for hop in donor.hops if foreign[0].ttl < hop.ttl <= foreign[-1].ttl]
    hops = [
        msgspec.structs.replace(hop, ttl=ttl) for ttl, hop in enumerate([*head, *middle, *tail], head[0].ttl)
    ]
    return msgspec.structs.replace(trace, hops=tuple(hops))


def _neighbour(address: str, random: Random) -> str:
    first, second, *_ = address.split(".")
    return f"{first}.{second}.{random.randrange(256)}.{random.randrange(1, 255)}"
