"""Which addresses other people may have this node measure."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import ConfigError, Forbidden, Invalid
from nettrace.model.address import UNRESTRICTED, TargetPolicy, embedded_ipv4

others = TargetPolicy.for_others()

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "2002:101:101::1",
)
CLOSED = {
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "192.168.255.255": "private",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "this network",
    "169.254.1.1": "link-local",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "255.255.255.255": "broadcast",
    "100.64.0.1": "carrier",
    "192.0.2.1": "documentation",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "fd00:ec2::254": "metadata",
    "::1": "loopback",
    "::": "unspecified",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "fc00::1": "private",
    "fdff::1": "private",
    "ff02::1": "multicast",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "2001::1": "Teredo",
    "2001:2::1": "benchmarking",
    "100::1": "outside",
    "5f00::1": "outside",
}
WRAPPED = {
    "mapped": "::ffff:{}",
    "compatible": "::{}",
    "nat64": "64:ff9b::{}",
    "isatap": "2a00:1450::5efe:{}",
    "isatap, global bit": "2a00:1450::200:5efe:{}",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_measured_for_others(address: str) -> None:
    others.check(address)


@pytest.mark.parametrize(("address", "why"), CLOSED.items())
def test_addresses_that_lead_inside_may_not(address: str, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        others.check(address)


@pytest.mark.parametrize("form", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("inner", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1"])
def test_an_inner_address_is_found_inside_an_ipv6_one(form: str, inner: str) -> None:
    with pytest.raises(Forbidden, match="inside an IPv6 address"):
        others.check(form.format(inner))


@pytest.mark.parametrize("address", ["2002:a00:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1"])
def test_6to4_carries_its_router_s_address(address: str) -> None:
    with pytest.raises(Forbidden, match="inside an IPv6 address"):
        others.check(address)


def test_nat64_of_a_public_address_is_public() -> None:
    others.check("64:ff9b::8.8.8.8")


@pytest.mark.parametrize("address", [*CLOSED, *PUBLIC])
def test_the_local_command_line_measures_whatever_its_user_types(address: str) -> None:
    UNRESTRICTED.check(address)


def test_the_operator_can_open_networks() -> None:
    policy = TargetPolicy.for_others(["10.1.0.0/16", "fd12::/16"])
    policy.check("10.1.2.3")
    policy.check("fd12::1")
    policy.check("::ffff:10.1.2.3")
    with pytest.raises(Forbidden):
        policy.check("10.2.0.1")
    with pytest.raises(Forbidden):
        policy.check("fd13::1")


def test_metadata_opens_only_by_its_own_address() -> None:
    with pytest.raises(Forbidden, match="metadata"):
        TargetPolicy.for_others(["0.0.0.0/0", "::/0"]).check("169.254.169.254")
    TargetPolicy.for_others(["169.254.169.254/32"]).check("169.254.169.254")


def test_the_error_names_the_target_the_address_and_the_way_out() -> None:
    with pytest.raises(Forbidden) as caught:
        others.check("10.0.0.1", "inside.example")
    assert "inside.example (10.0.0.1)" in str(caught.value)
    assert "operator" in caught.value.hint


def test_a_network_that_is_none_is_a_setting_s_error() -> None:
    with pytest.raises(ConfigError, match="is not a network"):
        TargetPolicy.for_others(["10.0.0.1/8"])


def test_names_are_not_addresses() -> None:
    with pytest.raises(Invalid):
        others.check("api.example")


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_everything_the_standard_library_calls_not_global_is_closed(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert others.refuses(str(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address), st.sampled_from(sorted(WRAPPED.values())))
def test_wrapping_never_opens_what_is_closed(address: IPv4Address, form: str) -> None:
    wrapped = form.format(address)
    if others.refuses(str(address)) and int(ip_address(wrapped)) > 1:
        assert others.refuses(wrapped)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_ipv6_outside_the_global_space_is_closed(address: IPv6Address) -> None:
    if int(address) >> 125 != 1 and embedded_ipv4(address) is None:
        assert others.refuses(str(address))


@given(st.text(max_size=40))
def test_no_text_breaks_the_check(text: str) -> None:
    try:
        others.check(text)
    except (Forbidden, Invalid):
        return
    assert ip_address(text)
