"""The tables the lab publishes say what its topology is."""

from ipaddress import ip_address

from nettrace.lab.tables import place_table, prefix_table
from nettrace.lab.topology import Topology
from nettrace.lab.worldfile import load
from nettrace.outside.asn import network_lookup
from nettrace.outside.geoip import place_lookup

SMALL = Topology(load("small"))


def test_every_router_is_found_in_its_network_and_city(tmp_path):
    (tmp_path / "prefixes.csv").write_text(prefix_table(SMALL))
    (tmp_path / "places.csv").write_text(place_table(SMALL))
    network, place = network_lookup(tmp_path / "prefixes.csv"), place_lookup(tmp_path / "places.csv")
    placed = 0
    for packed, router in SMALL.owners.items():
        address = str(ip_address(packed))
        if address.startswith("10."):
            assert place(address) is None
            continue
        found, where = network(address), place(address)
        assert found is None or (found.asn, found.name) == (
            router.group.network.asn,
            router.group.network.name,
        )
        assert where is not None and where.name == router.group.site.city
        placed += 1
    assert placed > 50


def test_an_anycast_host_stands_nowhere(tmp_path):
    (tmp_path / "places.csv").write_text(place_table(SMALL))
    place = place_lookup(tmp_path / "places.csv")
    several = [host for host in SMALL.targets.values() if len(host.groups) > 1]
    assert several and all(place(str(ip_address(host.address4))) is None for host in several)
