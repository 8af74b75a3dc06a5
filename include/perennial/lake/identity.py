"""The identity of a lake: a mark that distinguishes it from all others, independent of its address and name."""

from __future__ import annotations

import secrets

from perennial.lake.layout import lake_root
from perennial.store.content_name import canonical_json
from perennial.store.heads import parse_head
from perennial.store.objects import Objects

FORMAT = 1


def lake_mark(objects: Objects) -> str:
    """Return the lake's mark: twelve hex digits, drawn at random by the first call."""
    uri = f"{lake_root()}/identity.json"
    if objects.read(uri) is None:
        objects.create(uri, canonical_json({"format": FORMAT, "mark": secrets.token_hex(6)}))
    return parse_head(uri, objects.read_existing(uri), FORMAT, lambda body: str(body["mark"]))
