"""The folder of a new pipeline: written whole, checked as `perennial validate` does, and put in its place at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from perennial.config.load import FILE, read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.config.values import Name
from perennial.errors import PerennialError, RefusedError
from perennial.scaffold.draft import Draft
from perennial.scaffold.pages import readme, test_module
from perennial.scaffold.sql_text import features_sql, lookup_name, lookup_sql
from perennial.scaffold.yaml_text import pipeline_yaml
from perennial.sql.check import check_sql


def check_place(root: Path, name: str) -> None:
    """Refuse a name that no pipeline can have, and one that exists."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise RefusedError(
            f"{name[:60]!r} cannot be a pipeline", [error.errors()[0]["msg"].removeprefix("Value error, ")]
        ) from None
    if os.path.lexists(root / name):
        raise RefusedError(f"{root / name} exists", remedy="Choose another name, or delete it. Nothing is overwritten.")


def files_of(draft: Draft, pattern: str, commands: list[str], today: date) -> dict[str, str]:
    """Return the text of each file of the folder by its path in it."""
    name = draft.options.name
    files = {
        FILE: pipeline_yaml(draft, today),
        "features.sql": features_sql(draft),
        "README.md": readme(draft, pattern, commands),
        f"test_{name}.py": test_module(draft),
    }
    if lookup := lookup_name(draft):
        files[f"lookups/{lookup}.sql"] = lookup_sql(draft)
    return files


@contextmanager
def staged(root: Path, name: str, files: Mapping[str, str]) -> Iterator[Pipeline]:
    """
    Write a folder beside the others under a hidden name and yield its pipeline; put the folder in its place at the end.

    If the block fails, nothing of it stays.
    """
    root.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        folder = hidden / name
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        pipeline = read_pipeline(folder / FILE)
        if problems := check_sql(pipeline).problems:
            raise PerennialError(f"The new pipeline {name!r} does not validate", problems, "This is an error of Perennial.")
        yield pipeline
        check_place(root, name)
        folder.rename(root / name)
    finally:
        shutil.rmtree(hidden)
