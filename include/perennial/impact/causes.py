"""Why a result would come out otherwise: its status and causes as values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from perennial.lake.keys import Key
from perennial.lake.recipes import Recipe, recipe_of


class Status(StrEnum):
    """Whether a result is there and rests on what is there now."""

    MISSING = "missing"
    STALE = "stale"
    FRESH = "fresh"


class Category(StrEnum):
    """What kind of thing differs."""

    CODE = "code"
    CONFIGURATION = "configuration"
    LIBRARIES = "libraries"
    DATA = "data"
    DEPENDENCY = "dependency"


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """One thing that differs: its category and the thing itself, such as a module, a setting or a table."""

    category: Category
    what: str


OTHER_DATA = Cause(Category.DATA, "other data, or made before causes were recorded")


def explain(key: Key, stored: str, recipes: Sequence[Recipe]) -> list[Cause]:
    """Return why the present key differs from the stored one, by the first of the known recipes that gives it."""
    made = next((recipe for recipe in recipes if recipe.makes(key, stored)), None)
    if made is None:
        return [OTHER_DATA]
    now = recipe_of(key)
    return [
        *(Cause(Category.CODE, text) for text in differences(made.modules, now.modules)),
        *(Cause(Category.CONFIGURATION, text) for text in differences(made.configuration, now.configuration)),
        *(Cause(Category.LIBRARIES, text) for text in differences(made.libraries, now.libraries, values=True)),
    ]


def differences(old: Any, new: Any, *, values: bool = False, path: str = "") -> list[str]:
    """
    Return the places where two JSON values differ, as dotted names with `added`, `removed` or `changed`.

    A list of [name, value] pairs is a mapping with an order.

    :param values: name plain values, old and new, too
    """
    return list(_differences(old, new, values, path))


def _differences(old: Any, new: Any, values: bool, path: str) -> Iterator[str]:
    if old == new:
        return
    before, after = _named(old), _named(new)
    if before is None or after is None:
        yield f"{path} {old} → {new}" if values else f"{path} changed"
        return
    prefix = f"{path}." if path else ""
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in after:
            yield f"{prefix}{name} removed"
        elif name not in before:
            yield f"{prefix}{name} added"
        else:
            yield from _differences(before[name], after[name], values, f"{prefix}{name}")
    if isinstance(old, list) and [name for name in before if name in after] != [name for name in after if name in before]:
        yield f"{path} in another order"


def _named(value: Any) -> Mapping[str, Any] | None:
    """Return a JSON object, or a list of pairs, as a mapping; None for anything else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and all(
        isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[0], str) for one in value
    ):
        return {name: one for name, one in value}
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return dict.fromkeys(value)
    return None
