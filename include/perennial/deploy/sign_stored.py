"""Sign stored objects: once for a lake that was written without keys, and again for each new key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from perennial.config.values import NAME
from perennial.errors import LostRaceError, PerennialError, SignatureRefusedError
from perennial.evaluate.chain import FORMAT, from_json
from perennial.lake.layout import Layout
from perennial.signing.keys import SigningKey, TrustedKeys
from perennial.signing.objects import find_signer, store_signature, verify
from perennial.signing.pointer import parse_pointer, write_pointer
from perennial.signing.subject import Kind, Subject
from perennial.store.heads import parse_head
from perennial.store.objects import Objects, split_uri

_AT_ONCE = 8


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

    An object that is damaged or that another run changes is not signed, and the result says so.

    :param key: the signing key, which must be one of the trusted keys
    :param unsigned: also sign objects that no trusted key has signed. Nothing shows who wrote them, so this is for a first key
    """
    signer = _Signer(objects, layout, key, trusted, unsigned)
    try:
        decided = _decided_objects(objects, layout)
    except PerennialError as error:
        decided = []
        signer.refused.append(str(error))
    releases = [(Kind.RELEASE, uri) for uri in objects.list(layout.releases)]
    signer.sign_all([*decided, *releases])
    signer.sign_pointer()
    return SignedPipeline(layout.pipeline, signer.signed, signer.unchanged, tuple(signer.refused))


def find_pipelines(objects: Objects, lake: str, space: str) -> set[str]:
    """Return the pipelines that have objects in the lake, with those whose folder is not here now."""
    bucket, prefix = split_uri(f"{lake}/{space}/")
    pages = objects.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    found = (item["Prefix"].removeprefix(prefix).rstrip("/") for page in pages for item in page.get("CommonPrefixes", []))
    return {name for name in found if NAME.fullmatch(name)}


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

    def sign_all(self, found: list[tuple[Kind, str]]) -> None:
        """Sign the immutable objects that the key has not signed: one listing finds those that it has."""
        done = set(self._objects.list(self._layout.signature(self._key.id, "")))
        todo: list[tuple[Subject, str]] = []
        for kind, uri in found:
            try:
                subject = Subject.of(self._layout, kind, uri)
            except SignatureRefusedError as error:
                self.refused.append(str(error))
                continue
            if self._layout.signature(self._key.id, subject.name) in done:
                self.unchanged += 1
            else:
                todo.append((subject, uri))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for result in pool.map(lambda item: self._sign(*item), todo):
                if isinstance(result, PerennialError):
                    self.refused.append(str(result))
                else:
                    self.signed += result

    def sign_pointer(self) -> None:
        """Sign the pointer, by compare-and-swap like a deploy."""
        try:
            self._sign_pointer()
        except PerennialError as error:
            self.refused.append(str(error))

    def _sign(self, subject: Subject, uri: str) -> int | PerennialError:
        """Sign an immutable object, if it exists: without it, nothing can be released. Return the number of signatures."""
        stored = self._objects.read(uri)
        if stored is None:
            return 0
        try:
            if not self._unsigned:
                verify(self._objects, self._layout, subject, stored.body, self._trusted)
            else:  # refuses a signature that does not match
                find_signer(self._objects, self._layout, subject, stored.body, self._trusted)
            store_signature(self._objects, self._layout, subject, stored.body, self._key)
        except PerennialError as error:
            return error
        return 1

    def _sign_pointer(self) -> None:
        stored = self._objects.read(self._layout.active)
        if stored is None:
            return
        pointer = parse_pointer(self._layout, stored, None)
        try:
            parse_pointer(self._layout, stored, self._trusted)
        except SignatureRefusedError:
            if not self._unsigned or pointer.signed_by in self._trusted.keys:
                raise
        else:
            if pointer.signed_by == self._key.id:
                self.unchanged += 1
                return
        if write_pointer(self._objects, self._layout, pointer, self._key) is None:
            raise LostRaceError(f"{self._layout.active}: a deploy moved the pointer at the same time. Sign again after it.")
        self.signed += 1


def _decided_objects(objects: Objects, layout: Layout) -> list[tuple[Kind, str]]:
    """Return what a deploy verifies: the current decisions and their champions' manifests."""
    chain = objects.read(layout.chain)
    if chain is None:
        return []
    entries = parse_head(layout.chain, chain, FORMAT, from_json).entries.values()
    champions = dict.fromkeys(str(entry.champion.manifest) for entry in entries if entry.champion)
    return [*((Kind.DECISION, str(entry.uri)) for entry in entries), *((Kind.MODEL, uri) for uri in champions)]
