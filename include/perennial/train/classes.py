"""The classes of the categories of a window: which values have a class of their own, and which fields are codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value", str, float)

MAX_COLUMNS = 512
"""
One-hot columns of all categories together.

A category beyond them is one code a row, so that memory and time grow with the rows and not with rows times classes.
"""


@dataclass(frozen=True, slots=True)
class Classes(Generic[Value]):
    """
    The classes of one category: a value of the window that has none of its own shares the class of the rare ones.

    :param own: the values that have a class of their own, in order
    :param rare: the other values of the window, in order
    """

    own: list[Value]
    rare: list[Value]

    @property
    def size(self) -> int:
        """Return the number of classes."""
        return len(self.own) + bool(self.rare)

    @property
    def known(self) -> list[Value]:
        """Return all values of the window."""
        return self.own + self.rare


def choose_classes(counts: Mapping[Value, int], max_classes: int) -> Classes[Value]:
    """Give the most frequent values a class of their own, and the rest one together, so that there are at most `max_classes`."""
    if len(counts) <= max_classes:
        return Classes(sorted(counts), [])
    by_count = sorted(counts, key=lambda value: (-counts[value], value))
    return Classes(sorted(by_count[: max_classes - 1]), sorted(by_count[max_classes - 1 :]))


def choose_codes(sizes: Mapping[str, int], rare: Iterable[str]) -> frozenset[str]:
    """
    Return the categories that are codes: those with rare values, and the widest beyond MAX_COLUMNS columns.

    :param sizes: the number of classes of each category
    """
    codes, columns = set(rare), 0
    for name in sorted(sizes.keys() - codes, key=lambda name: (sizes[name], name)):
        columns += sizes[name]
        if columns > MAX_COLUMNS:
            codes.add(name)
    return frozenset(codes)


def warn_of_rare(name: str, classes: Classes[Value], max_classes: int, *, derived: bool) -> str:
    """Return the warning about a category with rare values."""
    remedy = (
        "take it out of inputs.categories, and it is an amount"
        if derived
        else "list it in inputs.identifiers: the model then sees only what lookups know of it"
    )
    return (
        f"{name}: {len(classes.known):,} classes, more than inputs.max_classes {max_classes:,}. "
        f"The {len(classes.own):,} most frequent have a class each, the other {len(classes.rare):,} share one. "
        f"If its values name single things rather than kinds, {remedy}"
    )
