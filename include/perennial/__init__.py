"""Continuous training on Airflow. Code that imports Airflow is in `plugins/perennial_airflow`."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from importlib.util import cache_from_source
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.frames.pipeline_data import PipelineData

IMPORTED_NS = time.time_ns()
"""Modules of Perennial in this process are those of their files at this time, or were imported later."""


def _delete_old_bytecode() -> None:
    """
    Delete bytecode that is older than the last change of its source, before it is imported.

    Python takes bytecode for that of its source if size and time of modification agree, in whole seconds. They also agree
    after two edits within a second, and for files of an archive with fixed times. The digest would be that of one state of the
    code, and the result that of another. The time of the last change, which no archive sets, tells them apart.
    """
    for folder, _, files in os.walk(os.path.dirname(__file__)):
        for source in (os.path.join(folder, file) for file in files if file.endswith(".py")):
            with suppress(OSError):  # there is none, or it belongs to an image, whose sources do not change
                if os.stat(source).st_ctime_ns > os.stat(bytecode := cache_from_source(source)).st_ctime_ns:
                    os.unlink(bytecode)


_delete_old_bytecode()

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
