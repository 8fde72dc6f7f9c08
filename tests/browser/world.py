"""A hub's folder as the browser tests and the documentation's pictures need it: invented venues, real places.

Round trips follow the great circle at a stretch that differs by pair, so pages show what they would of a real world;
no figure is of any real venue. What must show: a change, loss, silence, an address that does not answer, a name in markup.
"""

import math
import random
from collections.abc import Iterator
from functools import cache

import msgspec
from tests.api.conftest import give_key, ping, record

from nettrace.hub import mesh
from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import Grade, Method, Outcome, Sample, SampleState, StampTest, WayTest
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.model.target import Endpoint, Lifecycle, Role, RoundMethod, Series, Target
from nettrace.model.vantage import Vantage
from nettrace.outside.places import find
from nettrace.store.port import EnrolToken, StoreWriter
from nettrace.store.rows import Event, MeasurementRequest
from nettrace.wire.frames import Record, Report

CITIES = {"nyc": "New York", "lon": "London", "fra": "Frankfurt", "sin": "Singapore", "tyo": "Tokyo"}
VENUES = (
    ("api.northgate.example", "Northgate", "Crypto Exchanges", "Tokyo", None),
    ("api.bellwether.example", "Bellwether", "Crypto Exchanges", "Singapore", None),
    ("api.kestrel.example", "Kestrel", "Crypto Exchanges", "London", "Shoreline CDN"),
    ("api.marlin.example", "Marlin", "Crypto Exchanges", "Hong Kong", None),
    ("api.saltmarsh.example", "Saltmarsh", "Crypto Exchanges", "Frankfurt", None),
    ("fix.stonebridge.example", "Stonebridge", "Equities", "New York", None),
    ("fix.highmoor.example", "Highmoor", "Equities", "Chicago", None),
    ("fix.lindqvist.example", "Lindqvist", "Equities", "Frankfurt", None),
    ("data.tidewater.example", "Tidewater", "Market Data", "New York", "Shoreline CDN"),
    ("data.ashdown.example", "Ashdown", "Market Data", "London", None),
    ("data.quillfeed.example", "Quillfeed", "Market Data", "Mumbai", None),
)
MARKUP = "<script>alert(\"&1\")</script> 'n' <b>more</b> 🙂"
ODD, BROKEN, MOVED, OWN = "odd.example", "api.marlin.example", "api.northgate.example", "private.example"
RISING = "api.saltmarsh.example"
"""Slower from everywhere for two rounds: suspected, not proven."""
EPOCH = "e"
BEFORE = "2020-01-01T00:00Z"
"""An instant at which nobody had traced anything."""
ASKED = "req_shown"
"""A measurement that its owner asked for on the overview."""


def targets() -> list[Target]:
    """Eleven venues, one with markup for a name, one that a single account watches."""
    made = [_target(*venue) for venue in VENUES]
    made.append(_target(ODD, MARKUP, "<i>Odd</i> & more", "London", "<u>cdn</u>"))
    return [*made, msgspec.structs.replace(_target(OWN, "Own", "Own", "London", None), account="acct-own")]


def _target(host: str, name: str, category: str, city: str, front: str | None) -> Target:
    methods = (RoundMethod.TCP, RoundMethod.TRACE)
    role = Role.ENGINE if host.startswith("fix.") else Role.DATA if host.startswith("data.") else Role.API
    way = Endpoint(name="gateway", host=host, role=role, fronted_by=front, methods=methods)
    note = MARKUP if host == ODD else ""
    return Target(
        host=host, name=name, category=category, endpoints=(way,), lifecycle=Lifecycle.ACTIVE, note=note,
        tags=(f"engine:{city}",),
    )  # fmt: skip


def fill(store: StoreWriter, now: Instant, *, hours: float, step_s: int) -> None:
    """Rounds of every vantage at every target up to now, traces each quarter hour, and what happened."""
    store.put_targets(targets(), now - 10**15)
    for code, city in CITIES.items():
        enrol(store, code, city, now, now - round(hours * 3600) * NS_PER_S)
        every = tuple(_entries(code, now, hours, step_s))
        every = (*every, *_rising(code, now, every[-1].seq))
        every = (*every, *_mesh(code, now, every[-1].seq))
        report = None
        for first in range(0, len(every), 2000):
            part = every[first : first + 2000]
            report = Report(
                node=f"node-{code}", epoch=EPOCH, first_seq=part[0].seq, entries=part, sent_at=now
            )
            store.accept(report, now - NS_PER_S)
        if report is not None:
            told = msgspec.structs.replace(
                report, entries=(), version="0.1.0", methods={"tcp": "connect", "icmp": "raw"}
            )
            store.heard(f"node-{code}", now - NS_PER_S, told, None)
    store.publish(list(_events(now, hours)), now - NS_PER_S)
    moved = next(target for target in targets() if target.host == MOVED)
    store.put_request(
        MeasurementRequest(
            id=ASKED, account="self", target=MOVED, endpoint=moved.endpoints[0], method=RoundMethod.TCP, wanted=("lon", "nyc"),
            created_at=now, deadline=now + 3600 * NS_PER_S,
        )
    )  # fmt: skip


def enrol(store: StoreWriter, code: str, city: str, now: Instant, since: Instant) -> None:
    """A node of a region, there since an instant."""
    place, digest = find(city), code.encode() * 4
    assert place is not None
    store.put_token(
        EnrolToken(id=f"tok_{code}", hash=digest, region=code, created_at=since, expires_at=now + 10**13)
    )
    vantage = Vantage(
        code=code, node=f"node-{code}", city=city, country=place.country, latitude=place.latitude,
        longitude=place.longitude, enrolled_at=since,
    )  # fmt: skip
    assert store.enrol(digest, vantage, b"k" * 32, since)


standing = cache(find)
"""Where a city is; looking one up goes through the whole gazetteer."""


def usual_ms(code: str, target: Target) -> float:
    """The round trip a pair has on a good day."""
    chance = random.Random(f"{code}{target.host}")
    if target.endpoints[0].fronted_by:
        return chance.uniform(1.5, 6)
    here, there = standing(CITIES[code]), standing(target.tags[0].removeprefix("engine:"))
    assert here is not None and there is not None
    turned = [math.radians(each) for each in (here.latitude, here.longitude, there.latitude, there.longitude)]
    cosine = math.sin(turned[0]) * math.sin(turned[2]) + math.cos(turned[0]) * math.cos(turned[2]) * math.cos(
        turned[1] - turned[3]
    )
    return 0.4 + 6371 * math.acos(max(-1.0, min(1.0, cosine))) / 204 * 2 * chance.uniform(1.25, 2.1)  # fmt: skip


def _entries(code: str, now: Instant, hours: float, step_s: int) -> Iterator[Record]:
    chance, seq = random.Random(code), 0
    rounds = int(hours * 3600 / step_s)
    for number in range(rounds):
        share = number / rounds
        if code == "sin" and 0.3 < share < 0.36:
            continue  # the vantage was silent
        for target in targets():
            due = now - (rounds - number) * step_s * NS_PER_S + chance.randrange(step_s // 2) * NS_PER_S
            if target.host == RISING and share * hours > hours - 1:
                continue
            seq += 1
            base = usual_ms(code, target)
            if target.host == MOVED and code in {"lon", "fra"} and share > 0.7:
                base += 34.0
            value: float | None = base + chance.expovariate(40 / base)
            if (target.host == BROKEN and share > 0.95) or (
                target.host == "data.quillfeed.example" and chance.random() < 0.06
            ):
                value = None
            yield record(seq, target.host, "gateway", due, ping(target.host, value, due))
            if number % max(1, 900 // step_s) == 0 and target.host in {MOVED, ODD}:
                seq += 1
                yield record(
                    seq,
                    target.host,
                    "gateway",
                    due,
                    path(code, target, due, longer=base > usual_ms(code, target)),
                )


def _rising(code: str, now: Instant, seq: int) -> Iterator[Record]:
    """A round each minute of the last hour; the newest two took 60 ms longer."""
    chance, base = random.Random(f"rising {code}"), usual_ms(code, next(each for each in targets() if each.host == RISING))  # fmt: skip
    for number in range(60, 0, -1):
        due = now - number * 60 * NS_PER_S + 50 * NS_PER_S
        value = base + chance.uniform(0, 1) + (60 if number < 3 else 0)
        yield record(seq + 61 - number, RISING, "gateway", due, ping(RISING, value, due))


def _mesh(code: str, now: Instant, seq: int) -> Iterator[Record]:
    """London measures New York's node: the round trip, and each way by itself where both clocks are good enough."""
    if code != "lon":
        return
    for number in range(3):
        due = now - (4 - number) * 60 * NS_PER_S
        sample = Sample(state=SampleState.ANSWERED, rtt_ns=70 * NS_PER_MS, error_ns=2000, grade=Grade.KERNEL)
        known: dict[str, object] = {
            "target": "nyc.mesh",
            "address": "192.0.2.1",
            "at": due,
            "outcome": Outcome.MEASURED,
        }
        way = WayTest(
            **known, sent=5, received=5, reordered=0, delays_ns=(35 * NS_PER_MS,) * 5, error_ns=90_000, hops=9
        )  # type: ignore[arg-type]
        whole = StampTest(**known, port=862, samples=(sample,) * 5, own_error_ns=50_000, peer_error_ns=40_000)  # type: ignore[arg-type]
        for name, measured in ((mesh.ENDPOINT, whole), (mesh.OUT, way), (mesh.BACK, way)):
            seq += 1
            yield Record(
                seq=seq,
                target="nyc.mesh",
                endpoint=name,
                method=RoundMethod.STAMP,
                due=due,
                measurement=measured,
            )


def path(code: str, target: Target, at: Instant, *, longer: bool) -> Trace:
    """A path through a network of three carriers; the longer way has a hop more."""
    number = sorted(CITIES).index(code)
    middle = ["10.7.1.1", "10.7.9.1"] if longer else ["10.7.1.1"]
    addresses = [f"10.{number}.0.1", f"10.{number}.1.1", *middle, None, "198.18.0.1"]
    total = usual_ms(code, target)
    hops = tuple(
        Hop(
            ttl=ttl, address=address, asn=64500 + min(ttl, 4) if address else None,
            also=("10.7.1.2",) if address == "10.7.1.1" else (),
            samples=(
                Sample(
                    state=SampleState.ANSWERED, rtt_ns=int(total * ttl / len(addresses) * NS_PER_MS), error_ns=900,
                    grade=Grade.KERNEL,
                )
                if address
                else Sample(state=SampleState.LOST),
            ),
        )
        for ttl, address in enumerate(addresses, 1)
    )  # fmt: skip
    return Trace(
        target=target.host, address="198.18.0.1", at=at, outcome=Outcome.MEASURED, method=Method.TCP, flow=0, port=443,
        reached=True, stop=StopReason.REACHED, rtt_ns=int(total * NS_PER_MS), hops=hops,
    )  # fmt: skip


def _events(now: Instant, hours: float) -> Iterator[Event]:
    at = now - int(hours * 0.3 * 3600) * NS_PER_S
    for number, (code, kind) in enumerate([("lon", "shift"), ("fra", "shift"), ("lon", "route_change")]):
        series = Series(code, MOVED, "gateway", RoundMethod.TCP)
        body = {
            "schema": "nettrace.signal/1",
            "kind": kind,
            "direction": "up",
            "from_ms": 150.2,
            "to_ms": 184.1,
        }
        if kind == "route_change":
            body = {
                "schema": "nettrace.route_change/1",
                "class": "as_path",
                "from": "rt_a",
                "to": "rt_b",
                "rtt_delta_ms": 34.0,
            }
        yield _event(f"ev_{number}", kind, at, series, body)
    odd = Series("lon", ODD, "gateway", RoundMethod.TCP)
    yield _event("ev_odd", "anomaly", now - 300 * NS_PER_S, odd, {"kind": "anomaly", "why": MARKUP})
    own = Series("lon", OWN, "gateway", RoundMethod.TCP)
    yield _event("ev_own", "anomaly", now - 300 * NS_PER_S, own, {"kind": "anomaly"})


def _event(name: str, kind: str, at: Instant, series: Series, body: dict[str, object]) -> Event:
    return Event(
        id=name, kind=kind, at=at, detected_at=at + 120 * NS_PER_S, series=series, target=series.target,
        vantage=series.vantage, severity="notice", confidence=0.97, body=msgspec.json.encode(body), stored_at=at + 121 * NS_PER_S,
    )  # fmt: skip


__all__ = [
    "ASKED",
    "BEFORE",
    "BROKEN",
    "CITIES",
    "EPOCH",
    "MARKUP",
    "MOVED",
    "ODD",
    "OWN",
    "RISING",
    "enrol",
    "fill",
    "give_key",
    "targets",
]
