"""Examples of every public document, a full and a bare one of each kind, made by the code that makes the real ones.

`shapes` reads from them which fields there are and of which types, so the reference pages cannot leave one out.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner
from market_examples import market_documents
from msgspec.structs import replace

from nettrace.analysis.geo.claim import claim_document, judge, parse_claim
from nettrace.analysis.signals.document import signal_document
from nettrace.cli.commands import databases, doctor, signals, snapshot
from nettrace.cli.naming import Annotator
from nettrace.lab.truth import Oracle
from nettrace.lab.worldfile import load
from nettrace.measure.probing.capability import Rung, RungReport
from nettrace.model.measurement import (
    Clock,
    DnsLookup,
    Grade,
    HttpExchange,
    Measurement,
    Method,
    NtpQuery,
    Outcome,
    Ping,
    Reason,
    Sample,
    SampleState,
    Stage,
    Stages,
    StampTest,
    TlsCertificate,
    Way,
    WebSocketPings,
)
from nettrace.model.path import Balance, Hop, Label, Place, StopReason, Trace
from nettrace.model.route import Blame, BlameVerdict, Leg, Route, RouteChange, RouteClass, Scope
from nettrace.model.signal import Direction, Evidence, Kind, Severity, Signal, Tier
from nettrace.outside.places import find
from nettrace.placement.chance import chance
from nettrace.placement.document.promise import promises, verdict_document, verified
from nettrace.placement.document.seen import Seen
from nettrace.placement.front import front
from nettrace.placement.plan import make_plan, plain, plan_document
from nettrace.placement.request import parse_request
from nettrace.placement.sensitivity import flips
from nettrace.wire.documents import document
from nettrace.wire.route_documents import blame_document, route_change_document

Document = dict[str, Any]
AT = 1_767_225_600_000_000_000
FAILED: dict[str, Any] = {
    "target": "api.example",
    "address": None,
    "at": AT,
    "outcome": Outcome.FAILED,
    "reason": Reason.DNS,
    "detail": "the name does not exist",
}
GOOD: dict[str, Any] = {
    "target": "api.example",
    "address": "198.18.0.1",
    "at": AT,
    "outcome": Outcome.MEASURED,
    "vantage": "ewr",
    "resolved": ("198.18.0.1", "198.18.0.2"),
}
ANSWERED = Sample(
    state=SampleState.ANSWERED, sent_at=AT, rtt_ns=10_012_300, error_ns=5_000, grade=Grade.KERNEL
)
LOST = Sample(state=SampleState.LOST, sent_at=AT, grade=Grade.KERNEL, reason="timeout")
SAMPLES = (ANSWERED, LOST, Sample(state=SampleState.NOT_MEASURED, reason="stalled"))


def _stage(milliseconds: float) -> Stage:
    return Stage(duration_ns=round(milliseconds * 1e6), error_ns=20_000, grade=Grade.KERNEL)


STAGES = Stages(
    dns=_stage(1.0),
    connect=_stage(10.0),
    tls=_stage(11.5),
    ttfb=_stage(12.0),
    tls_client_cpu_ns=800_000,
    total_ns=34_900_000,
    first_byte_exact=True,
)


def _trace() -> Trace:
    osaka = Place(
        name="Osaka", latitude=34.69, longitude=135.5, country="JP", radius_km=40.0, evidence="rdns: osa"
    )
    nowhere = Place(name="65,25", latitude=65.0, longitude=25.0, radius_km=500.0, evidence="given")
    hops = (
        Hop(
            ttl=1,
            address="10.0.0.1",
            samples=(ANSWERED, LOST),
            also=("10.0.0.2",),
            labels=(Label(24001, 0, True, 1),),  # noqa: FBT003 - the bottom of the stack
            annotation="!X",
            name="ae1.cr1.osa.example",
            asn=64500,
            as_name="Example",
            place=osaka,
        ),
        Hop(ttl=2, address="10.0.0.9", inferred_from=4, place=nowhere),
        Hop(ttl=3, address=None, samples=(LOST,)),
        Hop(ttl=4, address="198.18.0.1", samples=(ANSWERED,)),
    )
    balances = (Balance(ttl=1, addresses=("10.0.0.1", "10.0.0.2"), flows_probed=11, confidence=0.9653),)
    return Trace(
        **GOOD,
        method=Method.UDP,
        flow=0,
        port=33434,
        reached=True,
        stop=StopReason.REACHED,
        rtt_ns=10_012_300,
        hops=hops,
        answered_from="198.18.0.9",
        balances=balances,
        path_mtu_bytes=1400,
        clock=Clock.KERNEL,
    )


def measurements() -> Iterator[Measurement]:
    """A full and a bare measurement of every kind that `wire.documents` knows, traces excepted."""
    clock = Clock.KERNEL
    yield Ping(**GOOD, method=Method.TCP, port=443, samples=SAMPLES, clock=clock)
    yield Ping(**FAILED, method=Method.ICMP)
    url = "https://api.example/time"
    answered: dict[str, Any] = {"url": url, "tls_version": "TLSv1.3", "clock": clock}
    yield HttpExchange(
        **GOOD, **answered, stages=STAGES, status=200, body_bytes=56, server_hints={"server": "nginx"}
    )
    yield HttpExchange(**FAILED, url=url, stages=Stages())
    yield WebSocketPings(**GOOD, **answered, stages=STAGES, status=101, samples=SAMPLES)
    yield WebSocketPings(**FAILED, url=url, stages=Stages())
    answers = (("A", "198.18.0.1", 30),)
    yield DnsLookup(**GOOD, question_type="A", rcode="NOERROR", answers=answers, sample=ANSWERED, clock=clock)
    yield DnsLookup(**FAILED, question_type="A")
    yield TlsCertificate(
        **GOOD,
        port=443,
        tls_version="TLSv1.3",
        fingerprints=("9f86d0...",),
        alert="close notify",
        connect_ns=10_000_000,
        response_ns=21_000_000,
        clock=Clock.USER,
    )
    yield TlsCertificate(**FAILED)
    yield NtpQuery(
        **GOOD,
        samples=SAMPLES,
        offsets_ns=(120_000, None, None),
        stratum=2,
        reference="GPS",
        root_delay_ns=900_000,
        root_dispersion_ns=300_000,
        clock=Clock.USER,
    )
    yield NtpQuery(**FAILED)
    yield StampTest(
        **GOOD,
        port=862,
        authenticated=True,
        samples=SAMPLES,
        out=Way(sent=3, received=2, reordered=1, delays_ns=(5_200_000, None, None), hops=9),
        back=Way(sent=2, received=1, reordered=0, delays_ns=(4_800_000, None, None), hops=11),
        residence_ns=(150_000, None, None),
        own_error_ns=300_000,
        peer_error_ns=400_000,
        clock=Clock.KERNEL,
    )
    yield StampTest(**FAILED, port=862)


def examples() -> Iterator[Document]:
    """At least one document of every schema NetTrace prints, with every field it can have."""
    yield from map(document, measurements())
    yield from _traces()
    yield from _snapshots()
    for text in ("EWR -> SIN 30-40ms", "Nowhereville -> SIN 3ms", "0,0 -> SIN 3ms"):
        yield claim_document(judge(parse_claim(text), find))
    yield from _findings()
    yield from market_documents()
    yield from _databases()
    yield from _routes()
    yield from _signals()
    yield from _plans()
    oracle = Oracle(load("small"))
    pairs = [oracle.pair(vantage, target) for vantage, target in (("nyc", "west.lab"), ("lon", "edge.lab"))]
    yield from pairs
    yield oracle.pair("nyc", "lon")
    yield {**oracle.document(), "pairs": pairs}


def _plans() -> Iterator[Document]:
    text = """
    venue = [{name = "v", usd_per_ms_month = 2.0, backup_max_ms = 90.0}, {name = "w", usd_per_ms_month = 1.0}]
    site = [{name = "a", usd_month = 30.0}, {name = "b", usd_month = 20.0}]
    latency = [
        {venue = "v", site = "a", p50_ms = 4.0, low_ms = 3.0, high_ms = 6.0}, {venue = "v", site = "b", p50_ms = 80.0},
        {venue = "w", site = "a", p50_ms = 40.0}, {venue = "w", site = "b", p50_ms = 5.0, low_ms = 4.0, high_ms = 7.0},
    ]
    limits = {redundancy = 1}
    """
    request = parse_request(text)
    plan = make_plan(request)
    extras = {
        "pareto": front(request),
        "sensitivity": flips(request, plan.sites),
        "chance": chance(request, plan.sites, 4, lambda: 0.5),
    }
    yield plan_document(plan) | plain(extras)
    promise = promises(plan)[0]
    seen = Seen(
        venue="v", site="a", host="v.example", by="rtt", n=30, lost=0, p50_ms=4.1, p95_ms=4.6, mad_ms=0.1, low_ms=4.0,
        high_ms=4.2, since="2026-11-21T00:00:00.000000Z", until="2026-11-21T00:10:00.000000Z",
    )  # fmt: skip
    yield from (plain(verdict_document(each)) for each in verified([promise], {("v", promise.site): seen}))
    yield from (plain(verdict_document(each)) for each in verified([promise], {}))
    yield plan_document(make_plan(parse_request(text.replace("redundancy = 1", "redundancy = 0"))))
    yield plan_document(make_plan(parse_request(text.replace("{redundancy", "{max_sites = 1, redundancy"))))


def _traces() -> Iterator[Document]:
    # Without databases of this machine: a reference must not depend on who makes it.
    home, os.environ["XDG_DATA_HOME"] = os.environ.get("XDG_DATA_HOME"), "/nonexistent"
    try:
        yield document(_trace())
        yield Annotator(names=False, origin=find("Tokyo"), destination=find("Osaka")).document(_trace())
        bare = Trace(
            **FAILED,
            method=Method.ICMP,
            flow=0,
            reached=False,
            stop=StopReason.ABORTED,
            hops=_trace().hops[:1],
        )
        yield Annotator(names=False, origin=None, destination=None).document(bare)
    finally:
        if home is None:
            del os.environ["XDG_DATA_HOME"]
        else:
            os.environ["XDG_DATA_HOME"] = home


def _snapshots() -> Iterator[Document]:
    venue = snapshot.Venue(name="Example", url="https://api.example/time", engine="Tokyo", source="its FAQ")
    exchange = HttpExchange(**GOOD, url=venue.url, stages=STAGES, status=200, clock=Clock.KERNEL)
    origin = find("EWR")
    yield snapshot._row(venue, [exchange], snapshot._floor(venue, origin), origin)
    unknown = snapshot.Venue(name="Example", url="https://api.example/time", engine="unknown", source="none")
    failed = HttpExchange(**FAILED, url=venue.url, stages=Stages())
    yield snapshot._row(unknown, [failed], None, None)
    yield snapshot._row(unknown, [], None, None)


def _findings() -> Iterator[Document]:
    for available, why, remedy in (
        (True, None, None),
        (False, "raw sockets need CAP_NET_RAW", "sudo setcap"),
    ):
        report = RungReport(
            rung=Rung.RAW, version=4, serves="ping", available=available, why=why, remedy=remedy
        )
        found = doctor._finding(report)
        yield {**found, "check": str(found["check"])}
    yield doctor._other("lab", available=True, serves="an internet in a box")


def _routes() -> Iterator[Document]:
    """A route change and a blame, each full and bare."""
    way = ("192.0.2.1", None, "198.18.0.1")
    route = Route(id="rt_0123456789abcdef", since=AT, hops=way, as_path=(64500,), networks=("192.0.2.0/24",))
    change = RouteChange(
        vantage="ewr",
        target="api.example",
        method=Method.TCP,
        at=AT,
        detected_at=AT,
        kind=RouteClass.AS_PATH,
        before=route,
        after=route,
        rtt_delta_ns=4_000_000,
        rtt_moved=True,
        confidence=0.875,
        traces=2,
    )
    yield route_change_document(change)
    yield route_change_document(replace(change, vantage=None, rtt_delta_ns=None, rtt_moved=None))
    slow = Leg(
        a="192.0.2.1", b="192.0.2.2", added_ns=9_000_000, loss=None, confidence=0.5, tied=(("a", "b"),)
    )
    lossy = replace(slow, added_ns=None, loss=0.2)
    yield blame_document(
        Blame(
            since=AT,
            verdict=BlameVerdict.CANNOT_TELL,
            legs=(slow, lossy),
            affected=(("ewr", "api.example"), (None, "api.example")),
            scope=Scope.MIDDLE,
            paths=24,
        )
    )
    yield blame_document(Blame(since=AT, verdict=BlameVerdict.NONE))


def _signals() -> Iterator[Document]:
    """A shift that takes another back, a loss, and a detector as it is listed; words as they are printed."""
    proof = Evidence(statistic="log_likelihood_ratio", value=30.5, threshold=24.0, samples=5, baseline=36)
    shift = Signal(
        kind=Kind.SHIFT,
        detector="shift/1",
        at=AT,
        detected_at=AT,
        direction=Direction.UP,
        severity=Severity.WARNING,
        confidence=0.75,
        tier=Tier.TENTATIVE,
        evidence=replace(proof, noise_ns=100_000),
        from_ns=31_200_000,
        to_ns=44_000_000,
        returns_to=AT,
    )
    bare = replace(
        shift, evidence=proof, from_ns=None, to_ns=None, returns_to=None, from_loss=0.005, to_loss=1.0
    )
    for signal in (shift, bare):
        yield json.loads(msgspec.json.encode(signal_document(signal)))
    listed = CliRunner().invoke(signals.command, ["list", "-o", "ndjson"], catch_exceptions=False)
    yield from (json.loads(line) for line in listed.stdout.splitlines())


def _databases() -> Iterator[Document]:
    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / "asn.csv"
        table.write_text("192.0.2.0/24,64500,Example\nbroken line\n")
        cities = Path(place) / "city.csv"
        cities.write_text("192.0.2.0,192.0.2.255,EU,NL,North Holland,Amsterdam,52.37,4.89\n")
        folder = ["--folder", place]
        for arguments in (
            ["add", "asn", str(table), *folder],
            ["add", "city", str(cities), *folder],
            ["list", *folder],
            ["lookup", "192.0.2.1", "203.0.113.1", *folder],
            ["sources"],
        ):
            done = CliRunner().invoke(databases.command, [*arguments, "-o", "ndjson"], catch_exceptions=False)
            if done.exit_code:
                raise RuntimeError(f"nettrace databases {' '.join(arguments)}: {done.output}")
            yield from (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))


def shapes(documents: Iterable[Document], maps: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Schema -> path of each field -> its types in words, in the order of first sight.

    `maps` names fields whose keys are data, not part of the shape. An object with a schema of its own is named, not
    described again.
    """
    found: dict[str, Fields] = {}
    for each in documents:
        found.setdefault(each["schema"], Fields(frozenset(maps))).see(each, "")
    return {schema: fields.described() for schema, fields in sorted(found.items())}


class Fields:
    """The fields of one schema: which kinds of value were seen at each path, and how often."""

    def __init__(self, maps: frozenset[str]) -> None:
        self._maps = maps
        self._kinds: dict[str, set[str]] = {}
        self._seen: dict[str, int] = {}

    def see(self, value: object, path: str) -> None:
        """Take in one value and all below it."""
        kinds = self._kinds.setdefault(path, set())
        self._seen[path] = self._seen.get(path, 0) + 1
        if isinstance(value, dict) and path and "schema" in value:
            kinds.add(f"[{value['schema']}](#{anchor(value['schema'])})")
        elif isinstance(value, dict):
            kinds.add("map" if path in self._maps else "object")
            self._seen[f"{path}{{}}"] = self._seen.get(f"{path}{{}}", 0) + 1
            for key, item in value.items() if path not in self._maps else ():
                self.see(item, f"{path}.{key}".lstrip("."))
        elif isinstance(value, list):
            kinds.add("list")
            for item in value:
                self.see(item, f"{path}[]")
        else:
            kinds.add(_kind(value))

    def described(self) -> dict[str, str]:
        """Path -> its types in words; list items are told with their list."""
        paths = [path for path in self._kinds if path and not path.endswith("[]")]
        return {path: self._words(path) + self._absence(path) for path in paths}

    def _absence(self, path: str) -> str:
        parent = f"{path.rpartition('.')[0]}{{}}"
        return "; may be absent" if self._seen[path] < self._seen[parent] else ""

    def _words(self, path: str) -> str:
        kinds = self._kinds.get(path, set())
        known = kinds - {"null"}
        if "number" in known:  # 40.0 and 40 are the same to JSON
            known -= {"integer"}
        if any(kind.startswith("[") for kind in known):
            known -= {"text"}
        words = [kind for kind in sorted(known) if kind != "list"]
        if "list" in known:
            inner = self._words(f"{path}[]")
            words.append(f"list of ({inner})" if " or " in inner else f"list of {inner}")
        return " or ".join([*words, *(["null"] if "null" in kinds else [])])


def anchor(schema: str) -> str:
    """The anchor of a schema's heading in the reference page.

    >>> anchor("nettrace.ping/1")
    'nettraceping1'
    """
    return "".join(letter for letter in schema if letter.isalnum() or letter in "_-")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case StrEnum():
            return f"[{type(value).__name__}](#{type(value).__name__.lower()})"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "text"
