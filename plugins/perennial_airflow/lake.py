"""Opening a pipeline's lake inside a task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from perennial.display.showable import make_logs_showable

if TYPE_CHECKING:
    from perennial.lake.lake import Lake


def lake_of(pipeline: str) -> Lake:
    """Open the lake of a pipeline. Its modules are imported only here, to keep the frequent parsing of DAG files light."""
    from perennial.config.load import load_pipeline
    from perennial.lake.lake import open_lake

    make_logs_showable()
    # They log every table and every session, which would bury the task's own lines.
    for name in ("pyiceberg", "botocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return open_lake(load_pipeline(pipeline))
