"""
Signatures of heads: objects that change by compare-and-swap hold their signature themselves.

One write replaces both, so no reader finds a head without its signature, whenever a writer ends.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from perennial.errors import SignatureRefusedError
from perennial.signing.keys import SigningKey, TrustedKeys
from perennial.signing.objects import REMEDY, UNSIGNED
from perennial.signing.subject import Subject
from perennial.store.content_name import canonical_json
from perennial.store.json_value import Json

SEAL = "signature"


def seal(document: Json, subject: Subject, key: SigningKey | None) -> Json:
    """Return a head with its signature; without a key, return it as it is."""
    if key is None:
        return document
    signature = key.sign(subject.message(canonical_json(document)))
    return {**document, SEAL: {"key": key.id, "value": base64.b64encode(signature).decode()}}


def unseal(document: Mapping[str, Any], subject: Subject, trusted: TrustedKeys | None) -> Mapping[str, Any]:
    """
    Return a stored head without its signature, once the signature is verified. Without trusted keys, it is not verified.

    :raises SignatureRefusedError: no trusted key signed this head of this pipeline
    """
    bare = {name: value for name, value in document.items() if name != SEAL}
    if trusted is not None:
        _verify(bare, document.get(SEAL), subject, trusted)
    return bare


def signer_of(document: Mapping[str, Any]) -> str | None:
    """Return the id of the key that a stored head names, or None if it is not signed. The signature may not be valid."""
    signature = document.get(SEAL)
    return str(signature["key"]) if isinstance(signature, Mapping) and "key" in signature else None


def _verify(document: Json, signature: Any, subject: Subject, trusted: TrustedKeys) -> None:
    if signature is None:
        raise SignatureRefusedError(str(subject), [f"{UNSIGNED} ({trusted.describe()})"], REMEDY)
    try:
        key, value = str(signature["key"]), base64.b64decode(signature["value"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise SignatureRefusedError(str(subject), ["its signature is malformed"], REMEDY) from None
    if key not in trusted.keys:
        problem = f"it is signed by key {key[:40]!r}; trusted are {trusted.describe()}"
        raise SignatureRefusedError(str(subject), [problem], REMEDY)
    if not trusted.verifies(key, subject.message(canonical_json(document)), value):
        raise SignatureRefusedError(str(subject), [f"its signature by key {key} does not match its content"], REMEDY)
