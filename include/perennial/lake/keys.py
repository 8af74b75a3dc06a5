"""Keys: what names the result of a stage, so that unchanged work is recognised and a result is never taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from perennial.lake.objects import canonical_json, sha256

_NONE: Mapping[str, Any] = MappingProxyType({})


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


def make_key(
    stage: str,
    *,
    of: Mapping[str, Any],
    code: str,
    data: Mapping[str, Any] = _NONE,
    configuration: Mapping[str, Any] = _NONE,
    libraries: Mapping[str, str] = _NONE,
    dependencies: Mapping[str, Any] = _NONE,
) -> str:
    """
    Return the key of a stage's result: SHA-256 over the canonical JSON of everything that decides it.

    :param of: which result it is (its date, its name)
    :param code: digest of the code that makes it
    :param data: digests of what it is made of
    :param configuration: what pipeline.yaml and its SQL say about it
    :param dependencies: which other results it rests on
    """
    parts = {
        "of": dict(of),
        "code": code,
        "data": dict(data),
        "configuration": dict(configuration),
        "libraries": dict(libraries),
        "dependencies": dict(dependencies),
    }
    return sha256(canonical_json({"stage": stage, "parts": parts}))
