"""Objects that are named by their content: the name of a job file is the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib

from perennial.errors import RefusedError


def check_job_name(uri: str, body: bytes) -> None:
    """Refuse a job file that was changed after it was planned: it says which files a job reads and writes."""
    digest = hashlib.sha256(body).hexdigest()
    if uri.rpartition("/")[2].removesuffix(".json") != digest:
        raise RefusedError(
            f"Job {uri}: its bytes have SHA-256 {digest}, which differs from its name",
            remedy="Find out who changed it, remove it, and run the date again.",
        )
