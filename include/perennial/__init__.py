"""Continuous training on Airflow: everything but Airflow's own part, which is `plugins/perennial_airflow`."""

import os

# ONNX Runtime tells its maker about its use. It reads this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
