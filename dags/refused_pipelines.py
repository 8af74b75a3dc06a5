"""
Shows pipelines that have no DAG as an import error of Airflow; defines no DAG itself.

Apart from retrain.py, because Airflow drops every DAG of a file that raises: one bad pipeline must not stop the others.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from perennial.errors import PipelineRefusedError

if refused := runpy.run_path(str(Path(__file__).with_name("retrain.py")))["refused"]:
    raise PipelineRefusedError("\n".join(refused))
