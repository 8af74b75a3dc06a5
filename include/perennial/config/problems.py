"""Translate pydantic's errors about a pipeline.yaml: the line, the key, what was found, what is expected."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from perennial.config.pipeline import Pipeline
from perennial.config.yaml_reader import Document, Place
from perennial.errors import did_you_mean

_DISCRIMINATORS = ("family", "task")
_MAPPING = "expected a mapping of keys"
_TEXTS = {
    "missing": "missing",
    "string_type": "expected text (in quotes, if it looks like a number)",
    "string_unicode": "expected text that can be shown",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "string_pattern_mismatch": "expected text of the form {pattern}",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "date_type": "expected a date, YYYY-MM-DD",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "list_type": "expected a list",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "too_short": "expected at least {min_length} of them, found {actual_length}",
    "too_long": "expected at most {max_length} of them, found {actual_length}",
    "literal_error": "expected {expected}",
    "value_error": "{error}",
    "refused": "{text}",
}
_CANDIDATES = "docs/reference/candidates.md"


def contract_problems(error: ValidationError, document: Document) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each pydantic error, except at values that the YAML reader already refused."""
    for item in error.errors(include_url=False):
        at = tuple(str(part) for part in item["loc"] if part != "[key]")
        if _find(at)[0] not in document.unread:
            yield _problem(at, dict(item), document)


def see_pages(page: str, problems: Iterable[str]) -> str:
    """Return where to read about problems of a pipeline: on a page, or on that of candidates for those that are theirs."""
    of_candidates = [any(word in text for word in ("training.candidates", "candidates/")) for text in problems]
    pages = [page] if not all(of_candidates) else []
    return f"See {' and '.join([*pages, *([_CANDIDATES] if any(of_candidates) else [])])}."


def unknown_key(at: Place, document: Document) -> tuple[int, str]:
    """Return the line and the text of the problem of an unknown key."""
    (place, _), allowed = _find(at), _keys(_find(at[:-1])[1])
    text = f"{'.'.join(place)}: unknown key.{did_you_mean(place[-1], allowed)} Allowed: {', '.join(allowed)}"
    return document.line(place), text


def _problem(at: Place, item: dict[str, Any], document: Document) -> tuple[int, str]:
    if item["type"] == "extra_forbidden":
        return unknown_key(at, document)
    place, _ = _find(at)
    bounds = {name: f"{value:g}" if isinstance(value, float) else value for name, value in item.get("ctx", {}).items()}
    found = item["input"]
    if item["type"] == "too_long":
        bounds["actual_length"] = len(found)  # pydantic stops counting a mapping
    text = _TEXTS.get(item["type"], item["msg"]).format(**bounds)
    if item["type"] not in {"missing", "refused"}:
        text += _describe_found(found, text)
    if item["type"] == "literal_error" and (
        hint := did_you_mean(str(found), re.findall(r"'([^']*)'", text.partition(", found")[0]))
    ):
        text += f".{hint}"
    return document.line(place), f"{_format_place(place) or 'the file'}: {text}"


def _describe_found(value: Any, text: str) -> str:
    """Return ', found x', or an empty string if the text names the value already."""
    if isinstance(value, dict | list):
        return (
            f", found a {'mapping' if isinstance(value, dict) else 'list'}"
            if "found" not in text and "expected a" in text
            else ""
        )
    if value is None:
        return ", found nothing"
    if "found" in text or str(value) in text:
        return ""
    literal = "true" if value is True else "false" if value is False else repr(value)
    return f", found {literal if len(literal) <= 80 else literal[:80] + '…'}"


def _format_place(place: Place) -> str:
    """Format a place for a person. The index of a list entry is left out: the line number shows it."""
    while place and place[-1].isdigit():
        place = place[:-1]
    return ".".join(place)


def _find(at: Place) -> tuple[Place, Any]:
    """
    Return the place in the document of a place in the contract, and its type, None if the contract has none.

    In a union of families or of labels, pydantic adds the name of the member to the place.
    """
    current: Any = Pipeline
    place: Place = ()
    for part in at:
        families = _families(current)
        if part in families:
            current = families[part]
            continue
        place = (*place, part)
        current = _below(current, part)
    return place, current


def _below(current: Any, part: str) -> Any:
    """Return the type of a key, or of an entry of a list or mapping."""
    if isinstance(current, type) and issubclass(current, BaseModel):
        field = {_key(name, info): info for name, info in current.model_fields.items()}.get(part)
        current = field.annotation if field else None
    elif typing.get_origin(current) in (dict, list):
        current = typing.get_args(current)[-1]
    # Unwrap Annotated, and unions with None.
    while typing.get_origin(current) is typing.Annotated or types.NoneType in typing.get_args(current):
        current = typing.get_args(current)[0]
    return current


def _families(current: Any) -> dict[str, type[BaseModel]]:
    """Return the members of a union by their families or tasks."""
    members = typing.get_args(current) if typing.get_origin(current) is types.UnionType else ()
    models = [member for member in members if issubclass(member, BaseModel)]
    return {
        str(model.model_fields[name].default): model for model in models for name in _DISCRIMINATORS if name in model.model_fields
    }


def _keys(current: Any) -> list[str]:
    """Return the keys that the contract allows in a mapping of a type. A field that is not shown is set by the code."""
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [_key(name, field) for name, field in current.model_fields.items() if field.repr]
    return []


def _key(name: str, field: FieldInfo) -> str:
    """Return the key of a field in the YAML."""
    return field.alias or name
