"""Read a pipeline's folder. Report all problems at once, in the order of the lines, with what was found and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from perennial.config.candidate_file import RULES, candidate_problems
from perennial.config.candidates import families_of_files
from perennial.config.clean_step import step_problems
from perennial.config.landing import place_problem
from perennial.config.pipeline import Pipeline
from perennial.config.problems import contract_problems, see_pages, unknown_key
from perennial.config.text import check_folder, file_names, read_text, shown, sql_names
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
    """Return the names of all pipeline folders, with misnamed (pipeline.yml) and unreadable ones, so that they are reported."""
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
    # Look for this folder first: listing all for each would take 10,000 checks for a hundred pipelines.
    if not (NAME.fullmatch(name) and _is_pipeline(root / name)) and name not in (names := pipeline_names(root)):
        remedy = did_you_mean(name, names).strip() or f"Existing pipelines: {', '.join(names) or 'none'}."
        raise PipelineRefusedError(f"No pipeline {name!r} in {root}", remedy=remedy)
    return read_pipeline(root / name / FILE)


def read_pipeline(path: Path) -> Pipeline:
    """Read one pipeline.yaml and check it together with the SQL files of its folder."""
    check_folder(path.parent)
    if not os.path.lexists(path) and os.path.lexists(path.parent / NEAR_MISS):
        raise PipelineRefusedError(f"{shown(path.parent / NEAR_MISS)}: the file must be called {FILE}", remedy="Rename it.")
    document = parse_yaml(shown(path), read_text(path.parent, path.name))
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
        texts = [text if line == _LAST else f"line {line}: {text}" for line, text in sorted(problems, key=lambda item: item[0])]
        raise PipelineRefusedError(shown(path), texts, see_pages("docs/reference/pipeline.md", texts))
    return pipeline


def _file_problems(folder: Path, document: Document) -> Iterator[tuple[int, str]]:
    """Yield the mismatches between the YAML and the files of its folder, even if the YAML has other problems."""
    name, lookups = document.value.get("name"), _keys(document.value, "inputs", "lookups")
    if isinstance(name, str) and name != folder.name:
        yield document.line(("name",)), f"name {name!r}, but the folder is {shown(Path(folder.name))!r}"
    yield from _place_problems(folder, document)
    yield from _features_problems(folder, document)
    files: dict[str, list[str]] = {}
    for below in SQL_FOLDERS:
        stems, problems = _try_read(folder, lambda below=below: sql_names(folder, below))  # type: ignore[misc]
        yield from problems
        files[below] = stems or []
        for stem in files[below]:
            yield from _sql_problems(folder, f"{below}/{stem}.sql", stem)
    steps, problems = _try_read(folder, lambda: file_names(folder, "sources", ".py"))
    if not files["sources"]:
        yield from problems  # otherwise they are reported already
    for stem in steps or []:
        yield from _step_problems(folder, stem, files["sources"])
    for lookup in lookups:
        if lookup not in files["lookups"]:
            yield document.line(("inputs", "lookups", lookup)), f"lookup {lookup!r} has no file lookups/{lookup}.sql"
    yield from _candidate_problems(folder, document)
    tables = [*_keys(document.value, "sources"), *_keys(document.value, "references")]
    named = [("lookups/{}.sql", files["lookups"], "lookup", lookups)]
    named += [("sources/{}.sql", files["sources"], "source or reference", tables)]
    named += [("sources/{}.py", steps or [], "source or reference", tables)]
    for file, stems, kind, allowed in named:
        for stem in stems:
            if NAME.fullmatch(stem) and stem not in allowed:
                yield _LAST, f"{file.format(stem)}: the YAML has no {kind} {stem!r}.{did_you_mean(stem, allowed)}"


def _place_problems(folder: Path, document: Document) -> Iterator[tuple[int, str]]:
    """Yield the sources and references that lie where this deployment does not allow them."""

    def is_pipeline(name: str) -> bool:
        return NAME.fullmatch(name) is not None and _is_pipeline(folder.parent / name)

    for kind in ("sources", "references"):
        for name in _keys(document.value, kind):
            table = document.value[kind][name]
            uri = table.get("uri") if isinstance(table, dict) else None
            if isinstance(uri, str) and (problem := place_problem(uri, folder.name, is_pipeline)):
                yield document.line((kind, name, "uri")), f"{kind}.{name}.uri: {problem}"


def _features_problems(folder: Path, document: Document) -> Iterator[tuple[int, str]]:
    """Yield the mismatches between the label and its SQL file: features.sql, or labels.sql for a label known later."""
    label = document.value.get("label")
    later = label.get("known_after_days", 0) if isinstance(label, dict) else None
    is_later = isinstance(later, int) and later > 0
    wanted = {"features.sql": f"the request fields, the row key{'' if is_later else ' and the label'}"}
    if is_later:
        wanted["labels.sql"] = f"date, the row key and the label, which is known {later} days after its date"
    for file, selects in wanted.items():
        if not os.path.lexists(folder / file):
            yield _LAST, f"{file} is missing: it must select {selects}"
        else:
            yield from _try_read(folder, lambda file=file: read_text(folder, file))[1]  # type: ignore[misc]
    if later == 0 and os.path.lexists(folder / "labels.sql"):
        yield (
            document.line(("label",)),
            "labels.sql is for a label that is known later: set label.known_after_days, or select the label in features.sql "
            "and remove the file",
        )


def _sql_problems(folder: Path, file: str, stem: str) -> Iterator[tuple[int, str]]:
    yield from _try_read(folder, lambda: read_text(folder, file))[1]
    yield from _name_problems(file, stem)


def _step_problems(folder: Path, stem: str, sql: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield the problems of a cleaning step in Python, which runs only if this installation trusts the pipeline."""
    file = f"sources/{stem}.py"
    text, problems = _try_read(folder, lambda: read_text(folder, file))
    yield from problems
    yield from _name_problems(file, stem)
    if stem in sql:
        yield _LAST, f"{file}: sources/{stem}.sql cleans the same source. Remove one of them"
    if text is not None:
        yield from _describe_problems(file, step_problems(text))
    yield from _trust_problems(folder, file, "write SQL")


def _candidate_problems(folder: Path, document: Document) -> Iterator[tuple[int, str]]:
    """Yield the mismatches between the candidates of the YAML and the files in `candidates`, and the problems of these files."""
    training = document.value.get("training")
    families = families_of_files(training.get("candidates") if isinstance(training, dict) else None)
    stems, problems = _try_read(folder, lambda: file_names(folder, "candidates", ".py"))
    yield from problems
    for name, family in families.items():
        if stems is not None and name not in stems:
            place = ("training", "candidates", name)
            function = RULES[family].function
            yield document.line(place), f"training.candidates.{name} has no file candidates/{name}.py that defines {function}"
    for stem in stems or []:
        file = f"candidates/{stem}.py"
        text, problems = _try_read(folder, lambda file=file: read_text(folder, file))  # type: ignore[misc]
        yield from problems
        yield from _name_problems(file, stem)
        if stem in families and text is not None:
            yield from _describe_problems(file, candidate_problems(text, families[stem]))
        elif NAME.fullmatch(stem) and stem not in families:
            hint = did_you_mean(stem, list(families))
            yield _LAST, f"{file}: the YAML has no candidate {stem!r} of the family {', '.join(RULES)}.{hint}"
        yield from _trust_problems(folder, file, "name a family of Perennial")


def _trust_problems(folder: Path, file: str, otherwise: str) -> Iterator[tuple[int, str]]:
    """Yield a problem if this installation does not run Python of the pipeline's authors."""
    if folder.name not in get_settings().trusted_names:
        yield (
            _LAST,
            f"{file}: this installation does not run Python of pipeline {shown(Path(folder.name))!r}. "
            "If you trust its authors, add its name to PERENNIAL_TRUSTED_PIPELINES in .env, and run `make down up`: "
            f"Airflow reads it when it starts. Otherwise {otherwise}",
        )


def _describe_problems(file: str, texts: Collection[str]) -> Iterator[tuple[int, str]]:
    yield from ((_LAST, f"{file}{', ' if text.startswith('line') else ': '}{text}") for text in texts)


def _name_problems(file: str, stem: str) -> Iterator[tuple[int, str]]:
    if not NAME.fullmatch(stem):
        yield (
            _LAST,
            f"{shown(Path(file))}: a file name may hold at most 40 of a-z, 0-9 and _, and must begin with a letter. Rename it",
        )


def _try_read(folder: Path, read: Callable[[], T]) -> tuple[T | None, list[tuple[int, str]]]:
    """Return the result of `read`, or its refusal as a problem that names the file relative to the folder."""
    try:
        return read(), []
    except PipelineRefusedError as error:
        return None, [(_LAST, str(error).removeprefix(f"{shown(folder)}/"))]


def _keys(value: Any, *place: str) -> list[str]:
    """Return the keys of the mapping at a place in the document, or none if the value there is not a mapping."""
    for part in place:
        value = value.get(part) if isinstance(value, dict) else None
    return list(value) if isinstance(value, dict) else []
