"""Peers of network policies, as a setting names them. Nothing here talks to a cluster."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

from perennial.errors import RefusedError

_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"(?P<key>([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME})=(?P<value>({_NAME})?)")


def parse_peers(variable: str, text: str | None) -> list[dict[str, Any]] | None:
    """
    Return the peers that a setting lists, in the words of Kubernetes; None if it is not set.

    A peer is a network (`10.0.0.0/8`) or the namespaces with a label (`kubernetes.io/metadata.name=web`).
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    peers = {word: _parse_peer(word) for word in words}
    wrong = [f"found {word!r}" for word, peer in peers.items() if peer is None]
    if wrong or not words:
        raise RefusedError(
            f"{variable} is {text!r}, expected networks such as 10.0.0.0/8 and labels of namespaces such as "
            "kubernetes.io/metadata.name=web, separated by commas",
            wrong,
        )
    return [peer for peer in peers.values() if peer is not None]


def _parse_peer(word: str) -> dict[str, Any] | None:
    if label := _LABEL.fullmatch(word):
        return {"namespaceSelector": {"matchLabels": {label["key"]: label["value"]}}}
    try:
        return {"ipBlock": {"cidr": str(ip_network(word))}} if "/" in word else None
    except ValueError:
        return None
