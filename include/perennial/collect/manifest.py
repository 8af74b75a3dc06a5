"""The manifest of a drop: upstream's description of it. Upstream writes it last, so a drop with a manifest has fully landed."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from perennial.config.values import is_file_name
from perennial.store.content_name import sha256
from perennial.store.json_value import JsonValue

FILE = "_MANIFEST.json"
MAX_BYTES = 1_000_000
MAX_TEXT = 300
MAX_DIGITS = 100
"""Digits of a number. No number of a manifest needs more than 19, but a wrong one is shown."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file as the manifest describes it."""

    name: str
    size: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A drop as upstream describes it; `digest` is the SHA-256 of the manifest's own bytes."""

    source: str
    day: date
    digest: str
    files: tuple[ListedFile, ...]


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Count = Annotated[int, Field(ge=0, lt=2**63)]  # the largest integer that tables can hold


class _FileText(_Text):
    name: str
    size: _Count
    sha256: Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
    rows: _Count


def _check_format(value: JsonValue) -> JsonValue:
    if isinstance(value, bool | float):  # true == 1 == 1.0
        raise ValueError(f"expected the number 1, found {json.dumps(value)}")
    return value


class _ManifestText(_Text):
    format: Annotated[Literal[1], BeforeValidator(_check_format)]
    source: str
    date: str
    files: list[_FileText]


def parse_manifest(body: bytes, source: str, day: date) -> tuple[Manifest | None, list[str]]:
    """Return the manifest of `source` and `day` (None if it is invalid), and all its problems."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_refuse_duplicates, parse_int=_parse_int)
    except UnicodeDecodeError as error:
        return None, [f"{FILE} is not UTF-8 at byte {error.start}"]
    except RecursionError:
        return None, [f"{FILE} is not valid JSON: it is nested too deeply"]
    except ValueError as error:
        return None, [_make_printable(f"{FILE} is not valid JSON: {error}")]
    problems = []
    for name, expected in (("source", source), ("date", day.isoformat())):
        found = value.get(name) if isinstance(value, dict) else None
        if isinstance(found, str) and found != expected:
            problems.append(f"{FILE} has another {name}: {found[:80]!r}, expected {expected!r}")
    try:
        text = _ManifestText.model_validate(value)
    except ValidationError as error:
        wrong = (f"{FILE}: {_format_place(item['loc'])}: {_format_error(item)}" for item in error.errors(include_url=False))
        return None, [*problems, *map(_make_printable, wrong)]
    if not text.files:
        problems.append(f"{FILE} lists no files: the drop is empty")
    names = Counter(file.name for file in text.files)
    same: dict[str, dict[str, None]] = defaultdict(dict)
    for file in text.files:
        same[file.sha256][file.name] = None
    problems.extend(_name_problem(name) for name in names if not is_file_name(name))
    problems.extend(f"duplicate: {FILE} lists {name!r} {count} times" for name, count in names.items() if count > 1)
    problems.extend(
        f"duplicate: {', '.join(map(repr, copies))} are the same file under {len(copies)} names"
        for copies in same.values()
        if len(copies) > 1
    )
    if problems:
        return None, problems
    files = tuple(ListedFile(file.name, file.size, file.sha256, file.rows) for file in text.files)
    return Manifest(source, day, sha256(body), files), []


def suffix(name: str) -> str:
    """Return '.csv' or '.csv.gz'."""
    return ".csv.gz" if name.endswith(".csv.gz") else ".csv"


def _name_problem(name: str) -> str:
    cut = name if len(name) <= 80 else name[:80] + "…"
    return (
        f"file name {cut!r} is not allowed: use letters, digits, '.', '_' and '-', no folder and no leading dot, "
        "and end it with .csv or .csv.gz"
    )


_EXPECTED = {
    "model_type": "an object",
    "list_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "greater_than_equal": "at least 0",
    "less_than": f"at most {2**63 - 1}",
    "literal_error": "the number 1",
    "extra_forbidden": "no such key",
}
"""The expected value by pydantic's type of the error."""


def _format_error(item: ErrorDetails) -> str:
    """Return the expected and the found value."""
    if item["type"] == "string_pattern_mismatch":
        return f"expected 64 hex digits in lower case, found {json.dumps(item['input'])[:80]}"
    if item["type"] == "missing":
        return f"expected a value, found none beside {', '.join(item['input']) or 'it'}"
    if (expected := _EXPECTED.get(item["type"])) is not None:
        return f"expected {expected}, found {json.dumps(item['input'])[:80]}"
    return item["msg"].removeprefix("Value error, ")


def _make_printable(text: str) -> str:
    """Make a text from upstream safe to log: cut it to MAX_TEXT and escape control characters."""
    cut = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)


def _parse_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has {len(text):,} digits, at most {MAX_DIGITS} are read")
    return int(text)


def _refuse_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"key {key!r} is listed twice")
        values[key] = value
    return values


def _format_place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc)) or "the file"
