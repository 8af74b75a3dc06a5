"""Which connection to close when there are too many. Clients are told apart by the network that each of them may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address
from typing import Protocol, TypeVar

_HOST_BITS = 64
"""The last bits of an IPv6 address, which its owner may choose."""

_SHARE = 8


class Waiting(Protocol):
    """A connection that has waited for its client since a moment."""

    network: str
    waits_since: float


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


def choose_to_close(waiting: Collection[Connection], networks: Counter[str], limit: int) -> Connection | None:
    """
    Return the connection that a newcomer replaces, or None: the longest waiting one of the network with the most connections.

    If no network has more than an eighth of `limit`, it is the longest waiting one of all: someone who has many networks would
    otherwise crowd out a gateway, with fewer connections from each network than the gateway has.

    :param networks: the number of connections from each network
    """
    network, count = networks.most_common(1)[0]
    if count > limit // _SHARE:
        return longest_waiting(waiting, network)
    return min(waiting, key=lambda connection: connection.waits_since, default=None)


def longest_waiting(waiting: Collection[Connection], network: str) -> Connection | None:
    """Return the connection of a network that has waited longest, or None."""
    of_network = [connection for connection in waiting if connection.network == network]
    return min(of_network, key=lambda connection: connection.waits_since, default=None)
