"""Reading a pipeline's folder: every problem at once, in the order of the lines, with what was found and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from perennial.config.pipeline import Pipeline
from perennial.config.problems import contract_problems, unknown_key
from perennial.config.text import read_sql, read_text, shown, sql_names
from perennial.config.values import NAME
from perennial.config.yaml_reader import Document, parse_yaml
from perennial.errors import PipelineRefusedError, did_you_mean
from perennial.settings import ROOT, get_settings

FILE = "pipeline.yaml"
NEAR_MISS = "pipeline.yml"
SQL_FOLDERS = ("sources", "lookups", "analysis")
_LAST = 10**9
T = TypeVar("T")


def pipelines_folder() -> Path:
    """Return the folder that holds the pipelines: PERENNIAL_PIPELINES, or include/pipelines of this checkout."""
    return get_settings().pipelines or ROOT / "include" / "pipelines"


def pipeline_names(folder: Path | None = None) -> list[str]:
    """Return the names of all pipelines: the folders that hold a pipeline.yaml (or .yml, to be told), and those that cannot be looked into."""
    root = folder or pipelines_folder()
    try:
        names = os.listdir(root)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if not name.startswith(".") and _is_pipeline(root / name))


def _is_pipeline(path: Path) -> bool:
    if path.is_symlink() and not path.exists():
        return True
    return any(os.path.lexists(path / name) for name in (FILE, NEAR_MISS)) or (path.is_dir() and not os.access(path, os.X_OK))


def load_pipeline(name: str, folder: Path | None = None) -> Pipeline:
    """Load one pipeline by name; raise PipelineRefusedError with all its problems."""
    root = folder or pipelines_folder()
    # To list all for each would make a hundred pipelines a matter of ten thousand.
    if not (NAME.fullmatch(name) and _is_pipeline(root / name)) and name not in (names := pipeline_names(root)):
        remedy = did_you_mean(name, names).strip() or f"There are: {', '.join(names) or 'none'}."
        raise PipelineRefusedError(f"No pipeline {name!r} in {root}", remedy=remedy)
    return read_pipeline(root / name / FILE)


def read_pipeline(path: Path) -> Pipeline:
    """Read one pipeline.yaml and check it together with the SQL files beside it."""
    if path.parent.is_symlink() and not path.parent.exists():
        raise PipelineRefusedError(
            f"{shown(path.parent)}: a link to {os.readlink(path.parent)!r}, where nothing is", remedy="Mend or remove the link."
        )
    if not os.path.lexists(path) and os.path.lexists(path.parent / NEAR_MISS):
        raise PipelineRefusedError(f"{shown(path.parent / NEAR_MISS)}: the file is called {FILE}", remedy="Rename it.")
    document = parse_yaml(shown(path), read_text(path))
    problems = list(document.problems)
    pipeline = None
    if "folder" in document.value:
        problems.append(unknown_key(("folder",), document))
    try:
        pipeline = Pipeline.model_validate({**document.value, "folder": path.parent})
    except ValidationError as error:
        problems.extend(contract_problems(error, document))
    problems.extend(_file_problems(path.parent, document))
    if pipeline is None or problems:
        told = [text if line == _LAST else f"line {line}: {text}" for line, text in sorted(problems, key=lambda item: item[0])]
        raise PipelineRefusedError(shown(path), told, "See docs/reference/pipeline.md for every key.")
    return pipeline


def _file_problems(folder: Path, document: Document) -> Iterator[tuple[int, str]]:
    """Yield what does not fit between the YAML and the files beside it, whatever else is wrong with the YAML."""
    name, lookups = document.value.get("name"), _keys(document.value, "inputs", "lookups")
    if isinstance(name, str) and name != folder.name:
        yield document.line(("name",)), f"name {name!r}, but the folder is {shown(Path(folder.name))!r}"
    yield from _features_problems(folder, document)
    files: dict[str, list[str]] = {}
    for below in SQL_FOLDERS:
        found, problems = _tried(folder, lambda below=below: sql_names(folder, below))  # type: ignore[misc]
        yield from problems
        files[below] = found or []
        for stem in files[below]:
            yield from _sql_problems(folder, f"{below}/{stem}.sql", stem)
    for lookup in lookups:
        if lookup not in files["lookups"]:
            yield document.line(("inputs", "lookups", lookup)), f"lookup {lookup!r} has no file lookups/{lookup}.sql"
    tables = [*_keys(document.value, "sources"), *_keys(document.value, "references")]
    for below, allowed in (("lookups", lookups), ("sources", tables)):
        for stem in files[below]:
            if NAME.fullmatch(stem) and stem not in allowed:
                yield _LAST, f"{below}/{stem}.sql belongs to nothing in the YAML.{did_you_mean(stem, allowed)}"


def _features_problems(folder: Path, document: Document) -> Iterator[tuple[int, str]]:
    """Yield what does not fit between the label and the files that may make it: features.sql, or labels.sql when it is known later."""
    label = document.value.get("label")
    later = label.get("known_after_days", 0) if isinstance(label, dict) else None
    is_later = isinstance(later, int) and later > 0
    wanted = {"features.sql": f"the request fields, the row key{'' if is_later else ' and the label'}"}
    if is_later:
        wanted["labels.sql"] = f"date, the row key and the label, which is known {later} days after its date"
    for file, selects in wanted.items():
        if not os.path.lexists(folder / file):
            yield _LAST, f"{file} is missing: it selects {selects}"
        else:
            yield from _tried(folder, lambda file=file: read_sql(folder, file))[1]  # type: ignore[misc]
    if later == 0 and os.path.lexists(folder / "labels.sql"):
        yield (
            document.line(("label",)),
            "labels.sql is for a label that is known later: set label.known_after_days, or select the label in features.sql "
            "and remove the file",
        )


def _sql_problems(folder: Path, file: str, stem: str) -> Iterator[tuple[int, str]]:
    yield from _tried(folder, lambda: read_sql(folder, file))[1]
    if not NAME.fullmatch(stem):
        yield (
            _LAST,
            f"{shown(Path(file))}: a file name is a-z, 0-9 and _, at most 40 characters, and begins with a letter. Rename it",
        )


def _tried(folder: Path, read: Callable[[], T]) -> tuple[T | None, list[tuple[int, str]]]:
    """Return what a reading gives, or its refusal as a problem that names the file within the folder."""
    try:
        return read(), []
    except PipelineRefusedError as error:
        return None, [(_LAST, str(error).removeprefix(f"{shown(folder)}/"))]


def _keys(value: Any, *place: str) -> list[str]:
    """Return the keys of a mapping below the document; none when something else stands there."""
    for part in place:
        value = value.get(part) if isinstance(value, dict) else None
    return list(value) if isinstance(value, dict) else []
