"""Keys: what names the result of a stage, so that unchanged work is recognised and a result is never taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from perennial.store.json_value import Json
from perennial.store.objects import canonical_json, sha256

_NONE: Json = {}
_NO_LIBRARIES: Mapping[str, str] = {}
_MARK = 8
"""Hex digits of a category: enough to tell, and not what tells results apart."""


class Category(StrEnum):
    """The categories of inputs that decide a result."""

    CODE = "code"
    DATA = "data"
    CONFIGURATION = "configuration"
    LIBRARIES = "libraries"
    DEPENDENCIES = "dependencies"


@dataclass(frozen=True, slots=True, order=True)
class StaleCause:
    """One reason why a result is stale: a category, and the thing that changed; `what` is empty where it is not known."""

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
    """Return a library's version; a CPU-only build of it goes by another name and computes the same."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return version(f"{name}-cpu")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a key that say how a result is made, whatever it is made of."""

    code: str
    configuration: Json
    libraries: Mapping[str, str]


class Key(str):
    """The key of a result: a plain text that also knows its parts, so that a change of them can be named."""

    __slots__ = ("parts",)
    parts: Parts

    def __new__(cls, text: str, parts: Parts) -> Key:
        made = super().__new__(cls, text)
        made.parts = parts
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Let a copy be the plain text."""
        return str, (str(self),)


def make_key(
    stage: str,
    *,
    of: Json,
    code: str,
    data: Json = _NONE,
    configuration: Json = _NONE,
    libraries: Mapping[str, str] = _NO_LIBRARIES,
    dependencies: Json = _NONE,
) -> Key:
    """
    Return the key of a stage's result: a digest of everything that decides it, then a short one of each category of cause.

    The short ones tell what differs between two keys, wherever a key is written down: see `causes`.

    :param of: which result it is (its date, its name)
    :param code: digest of the code that makes it
    :param data: digests of what it is made of
    :param configuration: what pipeline.yaml and its SQL say about it
    :param dependencies: which other results it rests on
    """
    parts = [_digest(part) for part in (code, data, configuration, libraries, dependencies)]
    whole = sha256(canonical_json({"stage": stage, "of": of, "parts": dict(zip(_NAMES, parts, strict=True))}))
    return Key(f"{whole}-{''.join(part[:_MARK] for part in parts)}", Parts(code, configuration, libraries))


def mark(part: str | Json) -> str:
    """Return the short digest of a part, as it is in keys."""
    return _digest(part)[:_MARK]


def marks_of(key: str) -> dict[Category, str]:
    """Return the short digest of each category in a key; none of an earlier Perennial's, which does not say."""
    return dict(zip(Category, _marks(key) or (), strict=False))


def _digest(part: str | Json) -> str:
    return sha256(canonical_json(part)) if part else _NO_PART


def causes(old: str, new: str) -> tuple[Category, ...]:
    """Return in which categories two keys of one result differ. A key that does not say is of an earlier Perennial: of other code."""
    before, after = _marks(old), _marks(new)
    if before is None or after is None:
        return (Category.CODE,)
    return tuple(cause for cause, one, other in zip(Category, before, after, strict=True) if one != other)


def _marks(key: str) -> list[str] | None:
    marks = key.partition("-")[2]
    return [marks[at : at + _MARK] for at in range(0, len(marks), _MARK)] if len(marks) == _MARK * len(Category) else None
