"""Feeds a hub rounds for `./dev bench web`: a world of a thousand pairs, each round stamped when it was handed over."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from bench.hub_nodes import Agent
from nettrace.hub.link import blocking_link
from nettrace.hub.open import open_writer
from nettrace.hub.place import Data
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Clock, Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import Vantage
from nettrace.node.identity import Identity
from nettrace.node.keeper import Keeper
from nettrace.node.line import Hub, Signature
from nettrace.node.uplink import Uplink
from nettrace.outside.places import find
from nettrace.store.port import EnrolToken
from nettrace.wire.frames import Record, Report
from nettrace.wire.signing import key_of

VANTAGES = {"nyc": "New York", "lon": "London", "fra": "Frankfurt", "sin": "Singapore", "tyo": "Tokyo"}
CITIES = (
    "Tokyo",
    "Singapore",
    "London",
    "Hong Kong",
    "Frankfurt",
    "New York",
    "Chicago",
    "Mumbai",
    "Sao Paulo",
    "Sydney",
)
TARGETS = 200
EPOCH = "e"


def hosts() -> list[str]:
    """Names of the targets."""
    return [f"h{number:03}.example" for number in range(TARGETS)]


def fill(folder: Path) -> None:
    """Targets in ten cities, five vantages, one round of each pair."""
    now = time.time_ns()
    store = open_writer(Data(folder))
    targets = [
        Target(
            host=host, name=host.upper(), category=f"c{number % 7}", tags=(f"engine:{CITIES[number % len(CITIES)]}",),
            endpoints=(Endpoint(name="rest", host=host, role=Role.API),),
        )
        for number, host in enumerate(hosts())
    ]  # fmt: skip
    store.put_targets(targets, now - NS_PER_S)
    for code, city in VANTAGES.items():
        place, digest = find(city), code.encode() * 4
        assert place is not None
        store.put_token(
            EnrolToken(id=code, hash=digest, region=code, created_at=now - 1, expires_at=now + 10**13)
        )
        vantage = Vantage(
            code=code, node=f"node-{code}", city=city, country=place.country, latitude=place.latitude,
            longitude=place.longitude, enrolled_at=now,
        )  # fmt: skip
        store.enrol(digest, vantage, key_of(code), now)
        store.accept(
            _report(code, 1, [_record(seq, host, now, 0) for seq, host in enumerate(hosts(), 1)], now), now
        )
    store.close()


def feed(folder: Path, rate: float, seconds: float) -> int:
    """Hand over so many rounds a second, a batch of each vantage in turn; how many."""
    link = blocking_link(Data(folder).socket)
    first = {code: link.take(_report(code, 1, [], time.time_ns()), None).upto_seq + 1 for code in VANTAGES}
    each = max(1, round(rate / 25))
    began, sent, turns = time.monotonic(), 0, _turns()
    try:
        while time.monotonic() - began < seconds:
            code, now = list(VANTAGES)[sent // each % len(VANTAGES)], time.time_ns()
            records = [_record(first[code] + place, next(turns), now, sent + place) for place in range(each)]
            link.take(_report(code, first[code], records, now), None)
            first[code] += each
            sent += each
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    finally:
        link.close()
    return sent


def measure(folder: Path, url: str, rate: float, seconds: float) -> int:
    """What a node does with a round once its last reply is there, so many a second at random moments; how many."""
    code, random = next(iter(VANTAGES)), Random(1)
    (folder / "node").mkdir(exist_ok=True)
    keeper = Keeper(folder / "node")
    signature = Signature(Identity(node=f"node-{code}", secret=code, region=code, hub=url))
    uplink = Uplink(Hub(url), signature, f"node-{code}", keeper, Agent())
    uplink.start()
    keeper.start()
    ends, number, turns = time.monotonic() + seconds, 0, _turns()
    while time.monotonic() < ends:
        keeper.put(_record(0, next(turns), time.time_ns(), number))
        number += 1
        time.sleep(random.expovariate(rate))
    while keeper.backlog:
        time.sleep(0.05)
    uplink.stop(5)
    keeper.stop()
    return number


def _turns() -> Iterator[str]:
    while True:
        yield from hosts()


def _record(seq: int, host: str, now: Instant, number: int) -> Record:
    """A round at its pair's level; one in fifty is 100 ms slower."""
    slow = 100 if number * 7919 % 50 == 0 else 0
    rtt = (20 + int(host[1:4]) + number * 7919 % 200 / 100 + slow) * NS_PER_MS
    sample = Sample(state=SampleState.ANSWERED, rtt_ns=int(rtt), error_ns=1000, grade=Grade.KERNEL)
    ping = Ping(
        target=host, address="198.18.0.1", at=now, outcome=Outcome.MEASURED, method=Method.TCP, samples=(sample,),
        clock=Clock.KERNEL,
    )  # fmt: skip
    return Record(
        seq=seq,
        target=host,
        endpoint="rest",
        method=RoundMethod.TCP,
        due=now + number % 1000,
        measurement=ping,
    )


def _report(code: str, first: int, records: list[Record], now: Instant) -> Report:
    return Report(node=f"node-{code}", epoch=EPOCH, first_seq=first, entries=tuple(records), sent_at=now)


if __name__ == "__main__":
    place, rate, seconds, *hub = sys.argv[1:]
    given = (float(rate), float(seconds))
    print(measure(Path(place), *hub, *given) if hub else feed(Path(place), *given))
