"""An empty home for Airflow, set before any test imports it: its settings are read at import."""

from __future__ import annotations

import os
import tempfile

from stack.config import REPO

os.environ |= {
    "AIRFLOW_HOME": tempfile.mkdtemp(prefix="perennial-airflow-"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # Airflow gives a file 30 s of wall time. Parsing ours takes 3 CPU seconds, which a busy machine may spread over more.
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
}
