"""Continuous training on Airflow. Code that imports Airflow is in `plugins/perennial_airflow`."""

import os

# Turn off the usage telemetry of ONNX Runtime, which reads this variable on import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
