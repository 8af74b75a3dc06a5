"""The pointer to the active release: one signed object, updated by compare-and-swap (If-Match). Model servers follow it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from perennial.lake.layout import Layout
from perennial.signing.keys import SigningKey, TrustedKeys
from perennial.signing.sealed import seal, signer_of, unseal
from perennial.signing.subject import Kind, Subject
from perennial.store.content_name import canonical_json
from perennial.store.heads import parse_head
from perennial.store.json_value import Json
from perennial.store.objects import Objects, Stored

FORMAT = 1
MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Active:
    """
    The content of the pointer, and the ETag of exactly this content.

    `previous` is the last release before this one that passed its soak; `soaked` is True once this one has passed.
    A deploy that was killed between switch and soak leaves soaked=false. The next deploy then knows what to finish and which
    release to go back to.
    """

    release: str | None
    previous: str | None
    soaked: bool
    etag: str | None
    runtime: str | None = None
    """The runtime on which the release serves; None in pointers written before this field existed."""

    number: int = 0
    """Rises with each move. A server that has seen a number refuses a pointer with a lower one."""

    signed_by: str | None = None
    """The id of the key that signed it."""

    @property
    def good(self) -> str | None:
        """Return the release to go back to: this one if it has passed its soak, else the previous one."""
        return self.release if self.soaked else self.previous

    @property
    def needed(self) -> set[str | None]:
        """Return the releases that must stay up: this one and, during its soak, the previous one."""
        return {self.release} if self.soaked else {self.release, self.previous}


def read_pointer(objects: Objects, layout: Layout, trusted: TrustedKeys | None) -> Active:
    """Return the pointer; before the first release, it names no release."""
    stored = objects.read(layout.active, MAX_BYTES)
    return Active(None, None, True, None) if stored is None else parse_pointer(layout, stored, trusted)


def parse_pointer(layout: Layout, stored: Stored, trusted: TrustedKeys | None) -> Active:
    """
    Return a stored pointer, once its signature is verified. Without trusted keys, it is not verified.

    :raises SignatureRefusedError: no trusted key signed this pointer of this pipeline
    :raises PerennialError: it is damaged, or of another format
    """

    def make(document: Mapping[str, Any]) -> Active:
        body = unseal(document, _subject(layout), trusted)
        return Active(
            release=_name(body["release"]),
            previous=_name(body["previous"]),
            soaked=body.get("soaked", True),
            etag=stored.etag,
            runtime=body.get("runtime"),
            number=int(body.get("number", 0)),
            signed_by=signer_of(document),
        )

    return parse_head(layout.active, stored, FORMAT, make)


def write_pointer(objects: Objects, layout: Layout, wanted: Active, key: SigningKey | None) -> Active | None:
    """
    Replace the pointer that has the ETag of `wanted`; return None if another writer was first.

    The new number is the time in milliseconds, unless the clock is behind the last number. So a pointer that follows an older
    one, restored from a backup, still has a higher number than all that servers have seen.
    """
    number = max(wanted.number + 1, int(time.time() * 1000))
    document: Json = {
        "format": FORMAT,
        "release": wanted.release,
        "previous": wanted.previous,
        "soaked": wanted.soaked,
        "runtime": wanted.runtime,
        "number": number,
    }
    body = canonical_json(seal(document, _subject(layout), key))
    etag = objects.replace(layout.active, body, wanted.etag)
    return None if etag is None else replace(wanted, etag=etag, number=number, signed_by=key.id if key else None)


def _name(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"a release is {type(value).__name__}, expected a text or null")
    return value


def _subject(layout: Layout) -> Subject:
    return Subject.of(layout, Kind.POINTER, layout.active)
