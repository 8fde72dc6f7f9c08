from nettrace.analysis.geo.annotate import Lookups, Network, annotate, evidence_for
from nettrace.model.measurement import Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, Place, StopReason, Trace

MS = 1_000_000


def place(name: str, latitude: float, longitude: float, radius_km: float, evidence: str) -> Place:
    return Place(name=name, latitude=latitude, longitude=longitude, radius_km=radius_km, evidence=evidence)


LONDON = place("London", 51.5, -0.1, 10, "given")
TOKYO_BY_NAME = place("Tokyo", 35.7, 139.7, 40, "rdns: tokyjp in x")
LONDON_BY_DATABASE = place("London", 51.5, -0.1, 100, "database: London, GB")
PARIS_BY_EXCHANGE = place("Paris", 48.85, 2.35, 60, "ixp: Example-IX")
BRITAIN = place("United Kingdom", 54.0, -2.0, 700, "given: country")


def answered(*rtt_ms: float, error_ms: float = 0) -> tuple[Sample, ...]:
    return tuple(
        Sample(state=SampleState.ANSWERED, rtt_ns=int(rtt * MS), error_ns=int(error_ms * MS))
        for rtt in rtt_ms
    )


def hop(ttl: int = 1, address: str | None = "8.8.8.8", rtt_ms: float = 5, **fields: object) -> Hop:
    return Hop(ttl=ttl, address=address, samples=answered(rtt_ms), **fields)  # type: ignore[arg-type]


def trace(*hops: Hop, reached: bool = True) -> Trace:
    return Trace(
        target="t",
        address="8.8.8.8",
        at=0,
        outcome=Outcome.MEASURED,
        method=Method.ICMP,
        flow=0,
        reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP,
        rtt_ns=5 * MS,
        hops=hops,
    )


def test_without_any_database_a_trace_is_left_as_it_is() -> None:
    before = trace(hop(1), hop(2, None))
    assert annotate(before, Lookups(), LONDON) == before


def test_network_and_name_are_filled_in() -> None:
    known = Lookups(names={"8.8.8.8": "r1.example.net"}, network=lambda _: Network(64500, "EXAMPLE", "GB"))
    made = annotate(trace(hop()), known).hops[0]
    assert (made.asn, made.as_name, made.name) == (64500, "EXAMPLE", "r1.example.net")


def test_the_most_precise_evidence_counts() -> None:
    known = Lookups(
        hint=lambda _: TOKYO_BY_NAME,
        exchange=lambda _: PARIS_BY_EXCHANGE,
        database=lambda _: LONDON_BY_DATABASE,
    )
    assert annotate(trace(hop(rtt_ms=300, name="x")), known, LONDON).hops[0].place == TOKYO_BY_NAME


def test_a_place_light_cannot_reach_in_time_is_dropped_for_the_next_best() -> None:
    known = Lookups(
        hint=lambda _: TOKYO_BY_NAME,
        exchange=lambda _: PARIS_BY_EXCHANGE,
        database=lambda _: LONDON_BY_DATABASE,
    )
    assert annotate(trace(hop(rtt_ms=5, name="x")), known, LONDON).hops[0].place == PARIS_BY_EXCHANGE
    assert annotate(trace(hop(rtt_ms=0.3, name="x")), known, LONDON).hops[0].place == LONDON_BY_DATABASE


def test_a_hop_whose_every_place_is_impossible_has_none_and_says_why() -> None:
    known = Lookups(hint=lambda _: TOKYO_BY_NAME)
    assert annotate(trace(hop(name="x")), known, LONDON).hops[0].place is None
    (evidence,) = evidence_for(hop(name="x"), known, LONDON)
    assert (evidence.place, evidence.possible) == (TOKYO_BY_NAME, False)


def test_the_error_bar_counts_in_the_places_favour() -> None:
    known = Lookups(exchange=lambda _: PARIS_BY_EXCHANGE)  # 343 km less the radii: 1.8 ms
    fast = Hop(ttl=1, address="8.8.8.8", samples=answered(1.5))
    unsure = Hop(ttl=1, address="8.8.8.8", samples=answered(1.5, error_ms=0.5))
    assert annotate(trace(fast), known, LONDON).hops[0].place is None
    assert annotate(trace(unsure), known, LONDON).hops[0].place == PARIS_BY_EXCHANGE


def test_without_the_vantages_place_nothing_can_be_proved_impossible() -> None:
    known = Lookups(hint=lambda _: TOKYO_BY_NAME)
    assert annotate(trace(hop(name="x")), known).hops[0].place == TOKYO_BY_NAME


def test_private_addresses_are_asked_of_no_database() -> None:
    known = Lookups(network=lambda _: Network(64500, "WRONG"), database=lambda _: LONDON_BY_DATABASE)
    for address in ("10.0.0.1", "192.168.1.1", "100.64.0.1", "fe80::1", "127.0.0.1", "no address"):
        made = annotate(trace(hop(address=address)), known).hops[0]
        assert (made.asn, made.place) == (None, None), address


def test_the_registrys_country_is_the_last_word_and_names_its_source() -> None:
    known = Lookups(
        network=lambda _: Network(64500, "EXAMPLE", "GB"),
        country=lambda code: BRITAIN if code == "GB" else None,
    )
    found = annotate(trace(hop()), known, LONDON).hops[0].place
    assert found is not None
    assert (found.name, found.evidence) == ("United Kingdom", "registry: GB by AS64500")


def test_a_given_destination_places_the_last_hop_unless_light_forbids_it() -> None:
    tokyo = place("Tokyo", 35.7, 139.7, 5, "given: Tokyo")
    assert annotate(trace(hop(rtt_ms=240)), Lookups(), LONDON, tokyo).hops[-1].place == tokyo
    assert annotate(trace(hop(rtt_ms=4)), Lookups(), LONDON, tokyo).hops[-1].place is None, (
        "a CDN's edge answered"
    )
    assert annotate(trace(hop(rtt_ms=240), reached=False), Lookups(), LONDON, tokyo).hops[-1].place is None
