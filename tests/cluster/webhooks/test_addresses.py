"""No address of a network that is not public is called, however it is written; what a setting allows is."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cluster.webhooks.addresses import AddressRules

pytestmark = pytest.mark.pure

PUBLIC = AddressRules()
EMBEDDING = {0xFFFF, 0x64FF9B << 64}
"""The first 96 bits of IPv4-mapped and NAT64 addresses."""

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)
special_v4 = st.sampled_from(
    ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
).flatmap(lambda network: st.ip_addresses(network=network))


def inward(address: IPv4Address | IPv6Address) -> bool:
    """Judge by the standard library's tables, which are not those of the rules."""
    return (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )


@given(v4 | special_v4)
def test_no_inward_ipv4_address_is_permitted(address: IPv4Address) -> None:
    assert not (PUBLIC.permit(str(address)) and inward(address))


@given(
    v6
    | st.ip_addresses(network="fc00::/7")
    | st.ip_addresses(network="fe80::/10")
    | st.ip_addresses(network="ff00::/8")
)
@example(IPv6Address("fd00:ec2::254"))  # metadata of EC2
def test_no_inward_ipv6_address_is_permitted(address: IPv6Address) -> None:
    assume(int(address) >> 32 not in EMBEDDING)  # the next test's
    assert not (PUBLIC.permit(str(address)) and inward(address))


@given(v4 | special_v4)
@example(IPv4Address("169.254.169.254"))
@example(IPv4Address("127.0.0.1"))
def test_an_ipv4_address_inside_an_ipv6_one_is_judged_as_itself(address: IPv4Address) -> None:
    """IPv4-mapped (RFC 4291, 2.5.5.2) and NAT64 (RFC 6052, 2.1)."""
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        embedded = IPv6Address(int(IPv6Address(prefix)) + int(address))
        assert PUBLIC.permit(str(embedded)) == PUBLIC.permit(str(address))
        assert PUBLIC.permit(embedded.exploded) == PUBLIC.permit(str(address))


@given(v4 | special_v4)
def test_other_ways_to_hide_an_ipv4_address_are_refused(address: IPv4Address) -> None:
    """IPv4-compatible (RFC 4291, 2.5.5.1), 6to4 (RFC 3056), Teredo (RFC 4380), local NAT64 (RFC 8215)."""
    hidden = [
        int(address),
        (0x2002 << 112) + (int(address) << 80),
        (0x20010000 << 96) + (int(address) ^ 0xFFFFFFFF),
        int(IPv6Address("64:ff9b:1::")) + int(address),
    ]
    assert not any(PUBLIC.permit(str(IPv6Address(one))) for one in hidden)


@pytest.mark.parametrize(
    "address",
    [
        "100.100.100.200",  # metadata of Alibaba Cloud
        "168.63.129.16",  # Azure's platform services
        "192.0.0.192",  # metadata of Oracle Cloud
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "3fff::1",
        "2001:db8::1",
    ],
)
def test_addresses_that_are_known_for_it_are_refused(address: str) -> None:
    assert not PUBLIC.permit(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "0x7f000001", "2130706433", "127.1", "010.0.0.1", "[::1]", "1.1.1.1/32"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert not PUBLIC.permit(text)
    assert not AddressRules(["0.0.0.0/0", "::/0"]).permit(text)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are_permitted(address: str) -> None:
    assert PUBLIC.permit(address)


@given(st.ip_addresses(network="10.1.0.0/16"), v4 | special_v4)
def test_an_allowed_network_is_permitted_and_nothing_beside_it(inside: IPv4Address, other: IPv4Address) -> None:
    rules = AddressRules(["10.1.0.0/16", "fd00:1::/32"])
    assert rules.permit(str(inside))
    assert rules.permit(f"::ffff:{inside}")
    assert rules.permit("fd00:1::5")
    assert not rules.permit("fd00:2::5")
    within = int(other) >> 16 == int(ip_address("10.1.0.0")) >> 16
    assert rules.permit(str(other)) == (within or PUBLIC.permit(str(other)))


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        AddressRules(["the office"])
