"""Which addresses the platform may call for a user: public ones, and private networks that a setting allows. Pure.

A user names the URL, so without this rule the platform would be their way into its own network. Tables after the IANA
special-purpose address registries (RFC 6890 and its updates). Must not know: names, sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REFUSED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a public address that is the machine's own platform services in Azure
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
"""All that is assigned as global unicast; loopback, link-local, unique local and multicast are outside."""
_REFUSED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address of anyone's choice inside
        "3fff::/20",  # documentation
    )
)
_EMBEDDING: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv4-mapped (RFC 4291, 2.5.5.2) and NAT64 (RFC 6052, 2.1): the last 32 bits are the address that is called."""


class AddressRules:
    """The choice between what may be called and what may not. Raises ValueError for a network that is none."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed: tuple[Network, ...] = tuple(ip_network(network) for network in allowed)

    def permit(self, text: str) -> bool:
        """Tell whether an address, as a resolver or a URL writes it, may be called; what is no address may not."""
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return False
        meant = _meant(address)
        if any(one in network for network in self._allowed for one in (address, meant)):
            return True
        if isinstance(meant, IPv4Address):
            return not any(meant in network for network in _REFUSED_V4)
        return meant in _GLOBAL_V6 and not any(meant in network for network in _REFUSED_V6)


def _meant(address: Address) -> Address:
    if isinstance(address, IPv6Address) and any(address in network for network in _EMBEDDING):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
