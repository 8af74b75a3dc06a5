"""Secrets of the embedded stack: created once, kept in files that only their owner can read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stack.files import write_file
from stack.service_user import is_shared


def secret(folder: Path, name: str, make: Callable[[], str] | None = None) -> str:
    """Return the secret with this name. It is created on first use: by `make`, or as 32 random bytes in URL-safe text."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o710 if is_shared(folder) else 0o700)
    path = folder / name
    if not path.exists():
        # If several processes create it at once, the first wins and the others read its secret.
        scratch = folder / f".{name}.{secrets.token_hex(4)}"
        write_file(scratch, make() if make else secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(scratch, path)
        scratch.unlink()
    return path.read_text(encoding="utf-8")
