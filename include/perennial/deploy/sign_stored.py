"""Sign stored objects: once for a lake that was written without keys, and again for each new key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from perennial.errors import LostRaceError, SignatureRefusedError
from perennial.evaluate.chain import FORMAT, from_json
from perennial.lake.layout import Layout
from perennial.signing.keys import SigningKey, TrustedKeys
from perennial.signing.objects import find_signer, store_signature, verify
from perennial.signing.pointer import read_pointer, write_pointer
from perennial.signing.subject import Kind, Subject
from perennial.store.heads import parse_head
from perennial.store.objects import Objects


@dataclass(frozen=True, slots=True)
class SignedPipeline:
    """
    The signatures of a pipeline's stored objects after a pass over all of them.

    :param signed: the number of objects that were signed now
    :param unchanged: the number of objects that the key had signed before
    :param refused: why the others were not signed
    """

    pipeline: str
    signed: int
    unchanged: int
    refused: tuple[str, ...]


def sign_stored(objects: Objects, layout: Layout, key: SigningKey, trusted: TrustedKeys, *, unsigned: bool) -> SignedPipeline:
    """
    Sign decisions, their models, releases and, as the last one, the pointer with `key`, if a trusted key has signed them.

    :param key: the signing key, which must be one of the trusted keys
    :param unsigned: also sign objects that no trusted key has signed. Nothing shows who wrote them, so this is for a first key
    """
    signer = _Signer(objects, layout, key, trusted, unsigned)
    for kind, uri in _immutable_objects(objects, layout):
        signer.sign(kind, uri)
    signer.sign_pointer()
    return SignedPipeline(layout.pipeline, signer.signed, signer.unchanged, tuple(signer.refused))


class _Signer:
    """Signs the objects of one pipeline, and counts them."""

    def __init__(self, objects: Objects, layout: Layout, key: SigningKey, trusted: TrustedKeys, unsigned: bool) -> None:
        self._objects = objects
        self._layout = layout
        self._key = key
        self._trusted = trusted
        self._unsigned = unsigned
        self.signed = self.unchanged = 0
        self.refused: list[str] = []

    def sign(self, kind: Kind, uri: str) -> None:
        """Sign an immutable object, if it exists: without it, nothing can be released."""
        stored = self._objects.read(uri)
        if stored is None:
            return
        try:
            subject = Subject.of(self._layout, kind, uri)
            if self._find_signer(subject, stored.body, self._key.trusting_itself) is not None:
                self.unchanged += 1
                return
            if not self._unsigned:
                verify(self._objects, self._layout, subject, stored.body, self._trusted)
            else:
                self._find_signer(subject, stored.body, self._trusted)  # refuses a signature that does not match
        except SignatureRefusedError as error:
            self.refused.append(str(error))
            return
        store_signature(self._objects, self._layout, subject, stored.body, self._key)
        self.signed += 1

    def sign_pointer(self) -> None:
        """Sign the pointer, by compare-and-swap like a deploy."""
        pointer = read_pointer(self._objects, self._layout, None)
        if pointer.etag is None:
            return
        try:
            read_pointer(self._objects, self._layout, self._trusted)
        except SignatureRefusedError as error:
            if not self._unsigned or pointer.signed_by in self._trusted.keys:
                self.refused.append(str(error))
                return
        else:
            if pointer.signed_by == self._key.id:
                self.unchanged += 1
                return
        if write_pointer(self._objects, self._layout, pointer, self._key) is None:
            raise LostRaceError(f"{self._layout.active}: a deploy moved the pointer at the same time. Sign again after it.")
        self.signed += 1

    def _find_signer(self, subject: Subject, body: bytes, trusted: TrustedKeys) -> str | None:
        return find_signer(self._objects, self._layout, subject, body, trusted)


def _immutable_objects(objects: Objects, layout: Layout) -> Iterator[tuple[Kind, str]]:
    """Yield the objects that a deploy or a server verifies: current decisions, their champions' manifests, all releases."""
    chain = objects.read(layout.chain)
    if chain is not None:
        entries = parse_head(layout.chain, chain, FORMAT, from_json).entries.values()
        yield from ((Kind.DECISION, entry.uri) for entry in entries)
        champions = dict.fromkeys(entry.champion.manifest for entry in entries if entry.champion)
        yield from ((Kind.MODEL, uri) for uri in champions)
    yield from ((Kind.RELEASE, uri) for uri in objects.list(layout.releases))
