"""The README and the test of a new pipeline."""

from __future__ import annotations

import json

from perennial.scaffold.draft import Draft
from perennial.scaffold.sql_text import lookup_name


def readme(draft: Draft, pattern: str, commands: list[str]) -> str:
    """Return the text of README.md."""
    name, label = draft.options.name, draft.label
    fields = "\n".join(f"- `{field.name}` ({field.type}{', may be null' if field.nullable else ''})" for field in draft.fields)
    if draft.time_field:
        fields = f"- `{draft.time_field}` (time)\n{fields}"
    left_out = "\n".join(f"- `{column}`: {_plain(reason)}." for column, reason in draft.left_out.items())
    shell = "\n".join(commands)
    lookup = lookup_name(draft)
    history = f"`lookups/{lookup}.sql` gives the history of each `{draft.lookup_key}`." if lookup else "It has no lookup yet."
    return f"""# {name}

This pipeline predicts {_plain(label.target.describe())}.
`perennial new` wrote it from a sample of `{_plain(pattern)}`, dates {draft.dates.first} to {draft.dates.last}.
Read `pipeline.yaml` before you rely on it: the comments say where each value comes from.

- **Source**: `records`, one drop a date; a row is identified by {", ".join(f"`{column}`" for column in draft.key)}.
- **Label**: `{label.column.name}`; {_plain(label.summary)}.
- **Lookup**: {history}

## A caller sends

- `date` (date)
{fields}

## Left out

{left_out or "Nothing."}

## Commands

```sh
{shell}
```
"""


def test_module(draft: Draft) -> str:
    """Return the text of the pipeline's test."""
    return f'''"""Checks of the pipeline {draft.options.name}, without Spark: .venv/bin/python -m pytest on this folder."""

from pathlib import Path

from perennial.config.load import read_pipeline
from perennial.settings import load_settings
from perennial.sql.check import check_sql

load_settings()  # of .env
PIPELINE = read_pipeline(Path(__file__).parent / "pipeline.yaml")


def test_the_sql_fits_the_yaml() -> None:
    assert check_sql(PIPELINE).problems == []


def test_a_caller_sends_these_fields() -> None:
    assert list(PIPELINE.inputs.request) == {_list(draft.request)}


def test_the_columns_that_know_the_answer_are_no_inputs() -> None:
    left_out = {_list([draft.label.column.name, *draft.left_out])}
    assert set(PIPELINE.inputs.request).isdisjoint(left_out)
'''


def _list(names: list[str]) -> str:
    text = json.dumps(names)
    return text if len(text) < 80 else "[\n        " + ",\n        ".join(map(json.dumps, names)) + ",\n    ]"


def _plain(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")
