"""Keys: what names the result of a stage, so that unchanged work is recognised and a result is never taken for another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from perennial.lake.objects import canonical_json, sha256

_ROOT = Path(__file__).resolve().parents[1]


@cache
def code_digest(*modules: str) -> str:
    """
    Return a digest of the source of modules or rooms of this package, e.g. code_digest("clean", "lake/digest.py").

    A key holds the digest of a stage's own modules, never the revision of the repository: a new comment in the server must
    not make a year of history stale.
    """
    total = hashlib.sha256()
    for module in sorted(modules):
        path = _ROOT / module
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{module!r}: no source there")
        for file in files:
            body = file.read_bytes()
            total.update(f"{file.relative_to(_ROOT).as_posix()}:{len(body)}:".encode() + body)
    return total.hexdigest()


@cache
def library_versions(*names: str) -> dict[str, str]:
    """Return the installed versions of the libraries that decide a result."""
    return {name: _version(name) for name in sorted(names)}


def _version(name: str) -> str:
    """Return a library's version; a CPU-only build of it goes by another name and computes the same."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return version(f"{name}-cpu")


def make_key(stage: str, **parts: Any) -> str:
    """Return the key of a stage's result: SHA-256 over the canonical JSON of everything that decides it."""
    return sha256(canonical_json({"stage": stage, "parts": parts}))


def text_digests(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return {name: SHA-256} of texts such as SQL files."""
    return {name: sha256(text.encode()) for name, text in texts}
