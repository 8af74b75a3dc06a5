"""Which connection to close when there are too many. Clients are told apart by the network that each of them may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Protocol, TypeVar

_HOST_BITS = 64
"""The last bits of an IPv6 address, which its owner may choose."""

_SHARE = 8


class Waiting(Protocol):
    """A connection that may wait for its client."""

    network: str

    @property
    def is_waiting(self) -> bool:
        """Return whether it waits."""
        ...


Connection = TypeVar("Connection", bound=Waiting)


def network_of(address: str) -> str:
    """
    Return the network whose connections count as those of one client: an IPv4 address, the /64 of an IPv6 address, or loopback.

    Every user of this machine may connect from every address of 127.0.0.0/8.
    """
    try:
        host = ip_address(address)
    except ValueError:
        return address
    if isinstance(host, IPv6Address):
        if host.ipv4_mapped is None:
            return "loopback" if host.is_loopback else f"{int(host) >> _HOST_BITS:x}::/64"
        host = host.ipv4_mapped
    return "loopback" if host.is_loopback else str(host)


def crowded_network(networks: Counter[str], limit: int) -> str | None:
    """
    Return the network with the most connections, if it has more than an eighth of `limit`.

    With at most an eighth each, networks are not told apart: someone who has many networks would otherwise crowd out a gateway,
    with fewer connections from each network than the gateway has.

    :param networks: the number of connections from each network
    """
    network, count = networks.most_common(1)[0]
    return network if count > limit // _SHARE else None


def longest_waiting(connections: Iterable[Connection], network: str | None) -> Connection | None:
    """
    Return the connection that has waited longest, of all or of one network; None: none waits.

    :param connections: in the order in which they began to wait, so that the first few of a thousand are looked at
    """
    return next((one for one in connections if network in (None, one.network) and one.is_waiting), None)
