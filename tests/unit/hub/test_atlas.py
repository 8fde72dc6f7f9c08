"""Hops are named at the hub: what the databases know and light allows, stored with the trace."""

import msgspec
from tests.unit.hub.reports import NOW, report

from nettrace.hub.atlas import HopAtlas
from nettrace.model.measurement import Grade, Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.outside import databases
from nettrace.wire.frames import Record

TOKYO = Vantage(code="nrt", node="node_nrt", city="Tokyo", latitude=35.68, longitude=139.69)


def traced(*hops: tuple[str | None, int]) -> Record:
    """A record of a trace whose hops answered after so many ns."""
    made = tuple(
        Hop(
            ttl=ttl,
            address=address,
            samples=(
                Sample(
                    state=SampleState.ANSWERED if address else SampleState.LOST,
                    sent_at=NOW,
                    rtt_ns=rtt_ns if address else None,
                    error_ns=1000,
                    grade=Grade.KERNEL,
                ),
            ),
        )
        for ttl, (address, rtt_ns) in enumerate(hops, 1)
    )
    trace = Trace(
        target="t.example", address="192.0.2.99", at=NOW, outcome=Outcome.FAILED, reason="timeout", method=Method.TCP,
        port=443, hops=made, reached=False, stop=StopReason.GAP, flow=0,
    )  # fmt: skip
    return Record(
        seq=1, target="t.example", endpoint="site", method=RoundMethod.TRACE, due=NOW, measurement=trace
    )


def furnished(folder, places: str):
    folder.mkdir(exist_ok=True)
    prefixes, where = folder / "p.csv", folder / "c.csv"
    prefixes.write_text("198.51.100.0/24,64500,Example Transit\n")
    where.write_text("prefix,country,city,latitude,longitude,radius_km\n" + places)
    databases.add(folder, "asn", [prefixes], "a test", "none")
    databases.add(folder, "city", [where], "a test", "none")
    return folder


def hops_of(atlas: HopAtlas, record: Record) -> tuple[Hop, ...]:
    named = atlas.named(TOKYO, report("node_nrt", record)).entries[0]
    assert isinstance(named, Record) and isinstance(named.measurement, Trace)
    return named.measurement.hops


def test_a_hop_gets_its_network_and_its_place(tmp_path):
    atlas = HopAtlas([furnished(tmp_path, "198.51.100.0/24,JP,Osaka,34.69,135.50,50\n")], print)
    near, silent = hops_of(atlas, traced(("198.51.100.1", 9_000_000), (None, 0)))
    assert (near.asn, near.as_name) == (64500, "Example Transit")
    assert near.place is not None and near.place.name == "Osaka"
    assert silent.asn is None and silent.place is None


def test_a_place_that_light_could_not_reach_is_not_said(tmp_path):
    atlas = HopAtlas([furnished(tmp_path, "198.51.100.0/24,US,Chicago,41.88,-87.63,50\n")], print)
    (hop,) = hops_of(atlas, traced(("198.51.100.1", 9_000_000)))
    assert hop.asn == 64500
    assert hop.place is None


def test_without_databases_a_report_is_what_the_node_said(tmp_path):
    sent = report("node_nrt", traced(("198.51.100.1", 9_000_000)))
    assert HopAtlas([tmp_path / "none"], print).named(TOKYO, sent) is sent


def test_databases_that_come_later_are_used_without_a_restart(tmp_path):
    atlas = HopAtlas([tmp_path / "own"], print)
    furnished(tmp_path / "own", "198.51.100.0/24,JP,Osaka,34.69,135.50,50\n")
    atlas.renew()
    (hop,) = hops_of(atlas, traced(("198.51.100.1", 9_000_000)))
    assert hop.asn == 64500


def test_the_hubs_own_databases_come_before_the_users(tmp_path):
    own = furnished(tmp_path / "own", "198.51.100.0/24,JP,Osaka,34.69,135.50,50\n")
    users = furnished(tmp_path / "users", "198.51.100.0/24,JP,Nagoya,35.18,136.91,50\n")
    (hop,) = hops_of(HopAtlas([own, users], print), traced(("198.51.100.1", 9_000_000)))
    assert hop.place is not None and hop.place.name == "Osaka"


def test_a_damaged_database_is_said_and_stops_nothing(tmp_path):
    folder = furnished(tmp_path, "198.51.100.0/24,JP,Osaka,34.69,135.50,50\n")
    (folder / "asn.json").write_text("{")
    said: list[str] = []
    atlas = HopAtlas([folder], said.append)
    (hop,) = hops_of(atlas, traced(("198.51.100.1", 9_000_000)))
    assert hop.asn is None
    assert "databases remove asn" in said[0]


def test_other_rounds_pass_untouched(tmp_path):
    from tests.unit.hub.reports import record

    atlas = HopAtlas([furnished(tmp_path, "198.51.100.0/24,JP,Osaka,34.69,135.50,50\n")], print)
    sent = report("node_nrt", record(1))
    assert msgspec.to_builtins(atlas.named(TOKYO, sent)) == msgspec.to_builtins(sent)
