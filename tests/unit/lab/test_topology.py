"""Addresses and routers follow from the world: distinct, inside their blocks, always the same."""

from ipaddress import ip_address, ip_network

import pytest

from nettrace.errors import LabError
from nettrace.lab.fabric import interface_name
from nettrace.lab.topology import Topology
from nettrace.lab.worldfile import load, parse, read

SMALL = Topology(load("small"))


def test_the_same_file_gives_the_same_internet() -> None:
    again = Topology(load("small"))
    assert list(again.owners) == list(SMALL.owners)
    assert list(again.hosts) == list(SMALL.hosts)
    assert [router.silent for router in again.owners.values()] == [r.silent for r in SMALL.owners.values()]


def test_no_address_has_two_owners() -> None:
    interfaces = [
        packed for group in SMALL.groups for router in group.routers for packed in router.addresses.values()
    ]
    assert len(set(interfaces)) == len(interfaces)
    assert not set(interfaces) & set(SMALL.hosts)


def test_every_address_lies_in_a_block_of_its_network() -> None:
    for packed, router in SMALL.owners.items():
        address = ip_address(packed)
        if address in ip_network("10.0.0.0/8"):
            continue
        holders = {
            asn for prefix, asn in SMALL.prefixes if prefix.version == address.version and address in prefix
        }
        assert holders & {router.group.network.asn, 0}  # 0: the LAN of an exchange


def test_every_interface_has_a_name_of_its_own() -> None:
    names = [interface_name(router, packed) for packed, router in SMALL.owners.items() if len(packed) == 4]
    assert len(set(names)) == len(names)
    assert all(name.endswith(".lab") for name in names)


def test_the_targets_namespace_answers_for_all_but_the_vantages() -> None:
    prefixes = SMALL.local_prefixes()

    def covered(packed: bytes) -> bool:
        address = ip_address(packed)
        return any(prefix.version == address.version and address in prefix for prefix in prefixes)

    for host in SMALL.targets.values():
        assert covered(host.address4)
    for packed in SMALL.owners:
        assert covered(packed)
    for host in SMALL.vantages.values():
        assert not covered(host.address4)
        assert host.address6 is not None and not covered(host.address6)


def test_a_crowd_costs_nothing_and_answers_in_its_share() -> None:
    answering = sum(
        1
        for number in range(2000)
        if (host := SMALL.host(ip_address("100.64.0.0").packed[:2] + number.to_bytes(2))) is not None
        and host.target is not None
        and not host.target.dark
    )
    assert 900 < answering < 1100
    assert len(SMALL.hosts) < 30


def test_a_target_is_found_by_name_label_or_address() -> None:
    west = SMALL.find("west.lab")
    assert west is not None
    assert SMALL.find("West Exchange") is west
    assert SMALL.find(str(ip_address(west.address4))) is west
    assert SMALL.find("nyc") is SMALL.vantages["nyc"]
    assert SMALL.find("nobody") is None


def test_too_little_address_space_is_said() -> None:
    with pytest.raises(LabError, match=r"the addresses of 198\.18\.0\.0/24 do not suffice"):
        Topology(parse(read("small").replace("seed = 7", 'seed = 7\nipv4 = "198.18.0.0/24"')))
