"""Secrets of the embedded stack: created once, kept in files that only their owner can read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stack.service_user import is_shared


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step, so that no reader sees a partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def replace_private(path: Path, text: str) -> bool:
    """Write a private file unless it holds this text already. Return whether it was written."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_private(path, text)
    return True


def secret(folder: Path, name: str, make: Callable[[], str] | None = None) -> str:
    """Return the secret with this name. It is created on first use: by `make`, or as 32 random bytes in URL-safe text."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o710 if is_shared(folder) else 0o700)
    path = folder / name
    if not path.exists():
        # If several processes create it at once, the first wins and the others read its secret.
        scratch = folder / f".{name}.{secrets.token_hex(4)}"
        write_private(scratch, make() if make else secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(scratch, path)
        scratch.unlink()
    return path.read_text(encoding="utf-8")
