"""Reading pipeline.yaml: every problem at once, each with its line, what was found and the nearest right word."""

from __future__ import annotations

import os
import re
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from perennial.errors import PipelineRefusedError, did_you_mean
from perennial.pipeline import Pipeline

FILE = "pipeline.yaml"
MOST_BYTES = 1_000_000
_SQL_FOLDERS = ("sources", "lookups", "analysis")


def pipelines_folder() -> Path:
    """Return the folder that holds the pipelines: PERENNIAL_PIPELINES, or include/pipelines of this checkout."""
    configured = os.environ.get("PERENNIAL_PIPELINES")
    return Path(configured) if configured else Path(__file__).resolve().parents[1] / "pipelines"


def pipeline_names(folder: Path | None = None) -> list[str]:
    """Return the names of all pipelines: the folders that hold a pipeline.yaml."""
    return sorted(path.parent.name for path in (folder or pipelines_folder()).glob(f"*/{FILE}"))


def load_pipeline(name: str, folder: Path | None = None) -> Pipeline:
    """Load one pipeline by name; raise PipelineRefusedError with all its problems."""
    root = folder or pipelines_folder()
    if name not in pipeline_names(root):
        raise PipelineRefusedError(
            f"No pipeline {name!r} in {root}",
            remedy=f"There are: {', '.join(pipeline_names(root)) or 'none'}.{did_you_mean(name, pipeline_names(root))}",
        )
    return read_pipeline(root / name / FILE)


def read_pipeline(path: Path) -> Pipeline:
    """Read one pipeline.yaml and check it together with the SQL files beside it."""
    text = _read(path)
    document, lines = _parse(path, text)
    try:
        pipeline = Pipeline.model_validate({**document, "folder": path.parent})
    except ValidationError as error:
        problems = [_problem(path, lines, dict(item)) for item in error.errors(include_url=False)]
        raise PipelineRefusedError(f"{path}", problems, "See docs/reference/pipeline.md for every key.") from None
    problems = _file_problems(path, pipeline, lines)
    if problems:
        raise PipelineRefusedError(f"{path}", problems)
    return pipeline


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if len(raw) > MOST_BYTES:
            raise PipelineRefusedError(f"{path}: {len(raw)} bytes, allowed are {MOST_BYTES}")
        return raw.decode("utf-8")
    except FileNotFoundError:
        raise PipelineRefusedError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise PipelineRefusedError(f"{path}: not UTF-8 at byte {error.start}") from None


def _parse(path: Path, text: str) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """Return the document and the line of every key; refuse duplicate keys, aliases and anything but a mapping."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise PipelineRefusedError(f"{path}: aliases (*name) are not allowed", remedy="Write the value out.")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PipelineRefusedError(f"{path}: not valid YAML", [" ".join(str(error).split())]) from None
    if not isinstance(document, dict) or root is None:
        raise PipelineRefusedError(f"{path}: expected a mapping of keys, found {type(document).__name__}")
    lines: dict[tuple[str, ...], int] = {}
    duplicates: list[str] = []
    _collect_lines(root, (), lines, duplicates)
    if duplicates:
        raise PipelineRefusedError(f"{path}", duplicates, "Keep one of each.")
    return document, lines


def _collect_lines(node: yaml.Node, at: tuple[str, ...], lines: dict[tuple[str, ...], int], duplicates: list[str]) -> None:
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                duplicates.append(f"line {key.start_mark.line + 1}: {'.'.join((*at, name))} stands there twice")
            seen.add(name)
            _collect_lines(value, (*at, name), lines, duplicates)
            lines[(*at, name)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*at, str(index)), lines, duplicates)


def _problem(path: Path, lines: dict[tuple[str, ...], int], item: dict[str, Any]) -> str:
    at = tuple(str(part) for part in item["loc"] if part != "[key]")
    known = at
    while known not in lines:
        known = known[:-1]
    where = f"line {lines[known]}: {'.'.join(at) or 'the file'}"
    message = re.sub(r"^(Value error, |Input should be )", lambda m: "expected " if "Input" in m.group() else "", item["msg"])
    if item["type"] == "extra_forbidden":
        allowed = _fields_at(at[:-1])
        return f"{where}: unknown key.{did_you_mean(at[-1], allowed)} Allowed: {', '.join(allowed)}"
    if item["type"] == "missing":
        return f"{where}: missing"
    hint = ""
    if item["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(item["ctx"]["expected"]))
        message = f"expected {item['ctx']['expected']}"
        hint = did_you_mean(str(item["input"]), allowed)
    found = item["input"]
    shown = f", found {found!r}" if isinstance(found, str | int | float | bool | None) else ""
    return f"{where}: {message}{shown}" + (f".{hint}" if hint else "")


def _fields_at(at: tuple[str, ...]) -> list[str]:
    """Return the keys that the contract allows at a path, following the models' annotations."""
    current: Any = Pipeline
    for part in at:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(part)
            current = field.annotation if field else None
        elif typing.get_origin(current) is dict:
            current = typing.get_args(current)[1]
        while typing.get_origin(current) is typing.Annotated:
            current = typing.get_args(current)[0]
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [name for name in current.model_fields if name != "folder"]
    return []


def _file_problems(path: Path, pipeline: Pipeline, lines: dict[tuple[str, ...], int]) -> list[str]:
    """Return what does not fit between the YAML and the files beside it."""
    problems = []
    if path.parent.name != pipeline.name:
        problems.append(f"line {lines[('name',)]}: name {pipeline.name!r}, but the folder is {path.parent.name!r}")
    if not (path.parent / "features.sql").is_file():
        problems.append("features.sql is missing: it selects the request fields, the row key and the label")
    for name in pipeline.inputs.lookups:
        if not (path.parent / "lookups" / f"{name}.sql").is_file():
            problems.append(f"line {lines[('inputs', 'lookups', name)]}: lookup {name!r} has no file lookups/{name}.sql")
    for folder, allowed in (("lookups", list(pipeline.inputs.lookups)), ("sources", list(pipeline.tables))):
        for file in pipeline.sql_files(folder):
            if file not in allowed:
                problems.append(f"{folder}/{file}.sql belongs to nothing in the YAML.{did_you_mean(file, allowed)}")
    for folder in _SQL_FOLDERS:
        for stem in pipeline.sql_files(folder):
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", stem):
                problems.append(f"{folder}/{stem}.sql: a file name is a-z, 0-9 and _, at most 40 characters")
    return problems
