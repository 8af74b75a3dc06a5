"""Names by content: the bytes of a JSON value, their SHA-256, and files that have it as their name. Spark jobs import it."""

from __future__ import annotations

import hashlib
import json

from perennial.errors import RefusedError
from perennial.store.json_value import JsonValue

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: JsonValue) -> bytes:
    """Return the encoding of a JSON value that all digests use: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(value).encode()


def sha256(body: bytes) -> str:
    """Return the SHA-256 of bytes in hex."""
    return hashlib.sha256(body).hexdigest()


def check_job_name(uri: str, body: bytes) -> None:
    """Refuse a job file that was changed after it was planned: it says which files a job reads and writes."""
    digest = sha256(body)
    if uri.rpartition("/")[2].removesuffix(".json") != digest:
        raise RefusedError(
            f"Job {uri}: its bytes have SHA-256 {digest}, which differs from its name",
            remedy="Find out who changed it, remove it, and run the date again.",
        )
