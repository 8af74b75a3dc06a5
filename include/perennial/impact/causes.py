"""Why a result would come out otherwise, as values: the category, and the module, setting or table itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from perennial.fingerprints.keys import Category, Key, StaleCause, causes, marks_of
from perennial.fingerprints.recipes import Recipe, recipe_of
from perennial.store.json_value import Json, JsonValue


def explain(key: Key, stored: str, recipes: Sequence[Recipe]) -> list[StaleCause]:
    """Return why the present key differs from the stored one; the known recipes tell what stood in its place."""
    if not stored:
        return [StaleCause(Category.CONFIGURATION, "its table has other columns by now")]
    marks, now = marks_of(stored), recipe_of(key).texts()
    found = []
    for cause in causes(stored, key):
        texts = [recipe.texts()[cause] for recipe in recipes] if cause in now else []
        before = next((text for mark, text in texts if mark == marks.get(cause)), None)
        named = [""] if before is None else differences(before, now[cause][1], values=cause is Category.LIBRARIES)
        found += [StaleCause(cause, what) for what in named]
    return found


def differences(old: JsonValue, new: JsonValue, *, values: bool = False, path: str = "") -> list[str]:
    """
    Return the places where two JSON values differ, as dotted names with `added`, `removed` or `changed`.

    A list of [name, value] pairs is a mapping with an order.

    :param values: name plain values, old and new, too
    """
    return list(_differences(old, new, values, path))


def _differences(old: JsonValue, new: JsonValue, values: bool, path: str) -> Iterator[str]:
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


def _named(value: JsonValue) -> Json | None:
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
