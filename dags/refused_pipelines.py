"""
Shows pipelines that have no DAG as an import error of Airflow; defines no DAG itself.

Apart from retrain.py, because Airflow drops every DAG of a file that raises: one bad pipeline must not stop the others.
"""

from __future__ import annotations

from perennial.config.load import load_pipeline, pipeline_names
from perennial.errors import PipelineRefusedError


def refusals() -> list[str]:
    """Return what is wrong with each pipeline that is refused."""
    found = []
    for name in pipeline_names():
        try:
            load_pipeline(name)
        except PipelineRefusedError as error:
            found.append(str(error))
    return found


if refused := refusals():
    raise PipelineRefusedError("\n".join(refused))
