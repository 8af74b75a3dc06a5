"""Fingerprints name the results of stages, so that unchanged work is recognised and results are never confused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json

_NONE: Json = {}
_NO_LIBRARIES: Mapping[str, str] = {}
_MARK = 8
"""Hex digits for each category. They are enough to notice a change; the long digest distinguishes results."""


class Category(StrEnum):
    """The categories of inputs that decide a result."""

    CODE = "code"
    DATA = "data"
    CONFIGURATION = "configuration"
    LIBRARIES = "libraries"
    DEPENDENCIES = "dependencies"


@dataclass(frozen=True, slots=True, order=True)
class StaleCause:
    """One reason why a result is stale: a category and the thing that changed; `what` is empty if that is not known."""

    category: Category
    what: str = ""

    def __str__(self) -> str:
        return f"{self.category}: {self.what}" if self.what else self.category.value


_NAMES = tuple(category.value for category in Category)
_NO_PART = sha256(canonical_json(_NONE))


@cache
def library_versions(*names: str) -> dict[str, str]:
    """Return the installed versions of the libraries that decide a result."""
    return {name: _version(name) for name in sorted(names)}


def _version(name: str) -> str:
    """Return a library's version. Its CPU-only build has another name and computes the same results."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return version(f"{name}-cpu")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a fingerprint that say how a result is computed, without its data."""

    code: str
    configuration: Json
    libraries: Mapping[str, str]


class Fingerprint(str):
    """The fingerprint of a result: a text that also holds its parts, so that a change of them can be named."""

    __slots__ = ("parts",)
    parts: Parts

    def __new__(cls, text: str, parts: Parts) -> Fingerprint:
        key = super().__new__(cls, text)
        key.parts = parts
        return key

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Copy and pickle the plain text only."""
        return str, (str(self),)


def make_fingerprint(
    stage: str,
    *,
    of: Json,
    code: str,
    data: Json = _NONE,
    configuration: Json = _NONE,
    libraries: Mapping[str, str] = _NO_LIBRARIES,
    dependencies: Json = _NONE,
) -> Fingerprint:
    """
    Return the fingerprint of a stage's result: a digest of everything that decides it, then a short digest of each category.

    The short digests show what differs between two fingerprints, without any other record: see `causes`.

    :param of: identity of the result (its date, its name)
    :param code: digest of the code that computes it
    :param data: digests of its inputs
    :param configuration: the settings of pipeline.yaml and the SQL that concern it
    :param dependencies: other results that it depends on
    """
    parts = [_digest(part) for part in (code, data, configuration, libraries, dependencies)]
    total = sha256(canonical_json({"stage": stage, "of": of, "parts": dict(zip(_NAMES, parts, strict=True))}))
    return Fingerprint(f"{total}-{''.join(part[:_MARK] for part in parts)}", Parts(code, configuration, libraries))


def mark(part: str | Json) -> str:
    """Return the short digest of a part, as fingerprints contain it."""
    return _digest(part)[:_MARK]


def marks_of(key: str) -> dict[Category, str]:
    """Return the short digest of each category in a fingerprint; empty for one of an earlier Perennial, which has none."""
    return dict(zip(Category, _marks(key) or (), strict=False))


def _digest(part: str | Json) -> str:
    return sha256(canonical_json(part)) if part else _NO_PART


def causes(old: str, new: str) -> tuple[Category, ...]:
    """
    Return the categories in which two fingerprints of one result differ.

    A fingerprint without short digests is of an earlier Perennial, and therefore of other code.
    """
    before, after = _marks(old), _marks(new)
    if before is None or after is None:
        return (Category.CODE,)
    return tuple(cause for cause, a, b in zip(Category, before, after, strict=True) if a != b)


def _marks(key: str) -> list[str] | None:
    marks = key.partition("-")[2]
    return [marks[at : at + _MARK] for at in range(0, len(marks), _MARK)] if len(marks) == _MARK * len(Category) else None
