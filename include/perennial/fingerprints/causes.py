"""The causes of a change of a result: the category, and the module, setting or table that changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from perennial.fingerprints.fingerprint import Category, Fingerprint, StaleCause, causes, marks_of
from perennial.fingerprints.recipes import Recipe, recipe_of
from perennial.store.json_value import Json, JsonValue


def explain(key: Fingerprint, stored: str, recipes: Sequence[Recipe]) -> list[StaleCause]:
    """Return why the present fingerprint differs from the stored one. The recipes name the former code and settings."""
    if not stored:
        return [StaleCause(Category.CONFIGURATION, "the columns of its table have changed")]
    marks, now = marks_of(stored), recipe_of(key).texts()
    explained = []
    for cause in causes(stored, key):
        texts = [recipe.texts()[cause] for recipe in recipes] if cause in now else []
        before = next((text for mark, text in texts if mark == marks.get(cause)), None)
        named = [""] if before is None else differences(before, now[cause][1], values=cause is Category.LIBRARIES)
        explained += [StaleCause(cause, what) for what in named]
    return explained


def differences(old: JsonValue, new: JsonValue, *, values: bool = False, path: str = "") -> list[str]:
    """
    Return the places where two JSON values differ, as dotted names with `added`, `removed` or `changed`.

    A list of [name, value] pairs is compared as a mapping with an order.

    :param values: also give the old and the new value of plain values
    """
    return list(_compare(old, new, values, path))


def _compare(old: JsonValue, new: JsonValue, values: bool, path: str) -> Iterator[str]:
    if old == new:
        return
    before, after = _as_mapping(old), _as_mapping(new)
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
            yield from _compare(before[name], after[name], values, f"{prefix}{name}")
    if isinstance(old, list) and [name for name in before if name in after] != [name for name in after if name in before]:
        yield f"{path} in another order"


def _as_mapping(value: JsonValue) -> Json | None:
    """Return a JSON object, or a list of pairs, as a mapping; None for anything else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and all(
        isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) for item in value
    ):
        return {name: item for name, item in value}
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return dict.fromkeys(value)
    return None
