"""
Shows pipelines that were refused as an import error of Airflow; defines no DAG itself.

Apart from retrain.py, because Airflow drops every DAG of a file that raises: one bad pipeline must not stop the others.
"""

from __future__ import annotations

from perennial.errors import PipelineRefusedError
from perennial.pipeline_file import load_pipeline, pipeline_names

problems = []
for pipeline_name in pipeline_names():
    try:
        load_pipeline(pipeline_name)
    except PipelineRefusedError as error:
        problems.append(str(error))

if problems:
    raise PipelineRefusedError("\n".join(problems))
