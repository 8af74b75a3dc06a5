"""Continuous training on Airflow. Code that imports Airflow is in `plugins/perennial_airflow`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.frames.pipeline_data import PipelineData

# Turn off the usage telemetry of ONNX Runtime, which reads this variable on import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def open(pipeline: str) -> PipelineData:
    """
    Open a pipeline's results for reading; its methods return pandas DataFrames.

    >>> flights = perennial.open("flight_delays")
    >>> flights.features("2013-02-01", "2013-02-07")

    The settings come from the environment, `.env` and the `stack.env` of the running stack, as for the command line.
    They are copied into the environment of this process, where AWS settings of another account give way to those of the stack.

    :raises RefusedError: if there is no pipeline of this name, or if its files are refused
    :raises PerennialError: if the stack is down
    """
    from perennial.frames.pipeline_data import open_data

    return open_data(pipeline)
