"""
Shows refused pipelines, which have no DAG, as an Airflow import error. Defines no DAG itself.

It is separate from retrain.py because Airflow drops every DAG of a file that raises: one bad pipeline must not stop the others.
"""

from __future__ import annotations

from textwrap import fill

from perennial.config.load import load_pipeline, pipeline_names
from perennial.errors import PipelineRefusedError

LINE_CHARACTERS = 88
"""Airflow's dialogue of import errors cuts a longer line at the right."""


def wrap(text: str) -> str:
    """Return a text with its lines wrapped. A path keeps its line."""
    options = {"width": LINE_CHARACTERS, "subsequent_indent": "    ", "break_long_words": False, "break_on_hyphens": False}
    return "\n".join(fill(line, **options) for line in text.splitlines())  # type: ignore[arg-type]


def refusals() -> list[str]:
    """Return the error of each refused pipeline."""
    errors = []
    for name in pipeline_names():
        try:
            load_pipeline(name)
        except PipelineRefusedError as error:
            errors.append(wrap(str(error)))
    return errors


if refused := refusals():
    raise PipelineRefusedError("\n".join(refused))
