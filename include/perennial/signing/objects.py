"""
Signatures of immutable objects, stored apart from them: the bytes and names of the objects stay as they are.

Each key has signatures of its own, so that servers that trust the old key or the new one accept an object during a rotation.
"""

from __future__ import annotations

from perennial.errors import RefusedError, SignatureRefusedError
from perennial.lake.layout import Layout
from perennial.settings import describe_missing
from perennial.signing.keys import Keys, SigningKey, TrustedKeys, read_trusted_keys
from perennial.signing.subject import Kind, Subject
from perennial.store.objects import Objects, Stored

SIGNATURE_BYTES = 64
UNSIGNED = "it has no signature of a trusted key"
REMEDY = "It was changed or replaced, or stored before keys were set up. See docs/runbooks/signature-refused.md."


def sign_object(objects: Objects, layout: Layout, kind: Kind, uri: str, body: bytes, key: SigningKey | None) -> None:
    """Store the signature of an object that this process computed. Without a key, do nothing."""
    if key is not None:
        store_signature(objects, layout, Subject.of(layout, kind, uri), body, key)


def key_to_sign(keys: Keys) -> SigningKey | None:
    """Return the signing key; None: signatures are neither made nor checked. A process that only verifies is refused."""
    if keys.trusted is not None and keys.signing is None:
        raise RefusedError(
            f"This process verifies signatures but cannot sign: {describe_missing('signing_key')}",
            remedy="Evaluate, deploy and roll back where the signing key is.",
        )
    return keys.signing


def store_signature(objects: Objects, layout: Layout, subject: Subject, body: bytes, key: SigningKey) -> None:
    """Store the signature of an object. A damaged signature at its address is replaced."""
    place, signature = layout.signature(key.id, subject.name), key.sign(subject.message(body))
    if not objects.create(place, signature):
        stored = objects.read_existing(place)
        if stored.body != signature:
            objects.replace(place, signature, stored.etag)


def read_verified(objects: Objects, layout: Layout, kind: Kind, uri: str) -> Stored:
    """Return an object once its signature is verified. Without trusted keys, return it unverified."""
    stored = objects.read_existing(uri)
    check_signature(objects, layout, kind, uri, stored.body)
    return stored


def check_signature(objects: Objects, layout: Layout, kind: Kind, uri: str, body: bytes) -> None:
    """
    Verify the signature of an object's bytes. Without trusted keys, do nothing.

    :raises SignatureRefusedError: no trusted key signed exactly these bytes under this name
    """
    if (trusted := read_trusted_keys()) is not None:
        verify(objects, layout, Subject.of(layout, kind, uri), body, trusted)


def verify(objects: Objects, layout: Layout, subject: Subject, body: bytes, trusted: TrustedKeys) -> None:
    """Raise SignatureRefusedError unless a trusted key signed the object."""
    if find_signer(objects, layout, subject, body, trusted) is None:
        raise SignatureRefusedError(str(subject), [f"{UNSIGNED} ({trusted.describe()})"], REMEDY)


def find_signer(objects: Objects, layout: Layout, subject: Subject, body: bytes, trusted: TrustedKeys) -> str | None:
    """
    Return the id of a trusted key that signed the object; None: no trusted key has signed it.

    :raises SignatureRefusedError: the object has signatures, and none of them matches its bytes
    """
    problems = []
    message = subject.message(body)
    for key in sorted(trusted.keys):
        try:
            signature = objects.read(layout.signature(key, subject.name), SIGNATURE_BYTES)
        except RefusedError as error:
            problems.append(str(error))
            continue
        if signature is None:
            continue
        if trusted.verifies(key, message, signature.body):
            return key
        problems.append(f"its signature by key {key} does not match its bytes")
    if problems:
        raise SignatureRefusedError(str(subject), problems, REMEDY)
    return None


def is_signed(objects: Objects, layout: Layout, kind: Kind, uri: str, body: bytes) -> bool:
    """Return whether an object is signed by a trusted key. Without trusted keys, every object counts as signed."""
    try:
        check_signature(objects, layout, kind, uri, body)
    except SignatureRefusedError:
        return False
    return True


def seems_signed(objects: Objects, layout: Layout, kind: Kind, uri: str) -> bool:
    """
    Return whether there is a signature of an object by a trusted key, without verifying it; without trusted keys, return True.

    Signatures are listed, so in a store at one moment the question costs one listing for many objects.
    """
    trusted = read_trusted_keys()
    if trusted is None:
        return True
    name = Subject.of(layout, kind, uri).name
    return any(layout.signature(key, name) in objects.list(layout.signature(key, "")) for key in trusted.keys)
