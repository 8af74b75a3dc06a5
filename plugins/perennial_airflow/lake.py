"""Opening a pipeline's lake inside a task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.lake.lake import Lake


def lake_of(pipeline: str) -> Lake:
    """Open the lake of a pipeline; imported only now, since DAG files are read often and must stay light."""
    from perennial.config.load import load_pipeline
    from perennial.lake.lake import open_lake

    # They tell of every table and of every session, and the task's own lines would be lost among that.
    for name in ("pyiceberg", "botocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return open_lake(load_pipeline(pipeline))
