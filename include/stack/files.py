"""Files that other processes may read at any time, and files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PRIVATE = 0o600
"""Only the owner may read and write the file."""

PUBLIC = 0o644


def write_file(path: Path, text: str, mode: int = PRIVATE) -> bool:
    """
    Write a file in one step, so that a reader sees the old or the new text. Return whether the text is new.

    The file has the mode before it has the text, under any umask.
    """
    body = text.encode()
    if is_new := not (path.is_file() and path.read_bytes() == body):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(body)
        scratch.replace(path)
    elif path.stat().st_mode & 0o777 != mode:
        path.chmod(mode)
    return is_new
