"""Secrets of the embedded stack: made once, kept in files that only their owner reads."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def secret(folder: Path, name: str, make: Callable[[], str] | None = None) -> str:
    """Return the secret of that name, made on first use: 32 random bytes as URL-safe text unless `make` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    path = folder / name
    if not path.exists():
        # The first of several who make it at once wins, and the others read what it wrote.
        scratch = folder / f".{name}.{secrets.token_hex(4)}"
        write_private(scratch, make() if make else secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(scratch, path)
        scratch.unlink()
    return path.read_text(encoding="utf-8")
