"""
Shows refused pipelines, which have no DAG, as an Airflow import error. Defines no DAG itself.

It is separate from retrain.py because Airflow drops every DAG of a file that raises: one bad pipeline must not stop the others.
"""

from __future__ import annotations

from perennial.config.load import load_pipeline, pipeline_names
from perennial.errors import PipelineRefusedError


def refusals() -> list[str]:
    """Return the error of each refused pipeline."""
    errors = []
    for name in pipeline_names():
        try:
            load_pipeline(name)
        except PipelineRefusedError as error:
            errors.append(str(error))
    return errors


if refused := refusals():
    raise PipelineRefusedError("\n".join(refused))
