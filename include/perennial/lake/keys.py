"""Keys: what names the result of a stage, so that unchanged work is recognised and a result is never taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Parts:
    """
    Everything that decides a result.

    :param of: which result it is (its date, its name)
    :param code: digest of the code that makes it
    :param data: digests of what it is made of
    :param configuration: what pipeline.yaml and its SQL say about it
    :param dependencies: which other results it rests on
    """

    stage: str
    of: Mapping[str, Any]
    code: str
    data: Mapping[str, Any]
    configuration: Mapping[str, Any]
    libraries: Mapping[str, str]
    dependencies: Mapping[str, Any]

    def key(self) -> str:
        """Return SHA-256 over the canonical JSON of all parts."""
        parts = {
            "of": dict(self.of),
            "code": self.code,
            "data": dict(self.data),
            "configuration": dict(self.configuration),
            "libraries": dict(self.libraries),
            "dependencies": dict(self.dependencies),
        }
        return sha256(canonical_json({"stage": self.stage, "parts": parts}))

    def made_with(self, code: str, configuration: Mapping[str, Any], libraries: Mapping[str, str]) -> Parts:
        """Return the parts of the same result, made of the same data in another way."""
        return replace(self, code=code, configuration=configuration, libraries=libraries)


class Key(str):
    """The key of a result: a plain text that also knows its parts, so that a stale result can be explained."""

    __slots__ = ("parts",)
    parts: Parts

    def __new__(cls, parts: Parts) -> Key:
        made = super().__new__(cls, parts.key())
        made.parts = parts
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """A copy is the plain text."""
        return str, (str(self),)


def make_key(
    stage: str,
    *,
    of: Mapping[str, Any],
    code: str,
    data: Mapping[str, Any] = _NONE,
    configuration: Mapping[str, Any] = _NONE,
    libraries: Mapping[str, str] = _NONE,
    dependencies: Mapping[str, Any] = _NONE,
) -> Key:
    """Return the key of a stage's result: see Parts."""
    return Key(Parts(stage, of, code, data, configuration, libraries, dependencies))
