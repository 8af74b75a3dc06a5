"""Opening a pipeline's lake inside a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.lake.lake import Lake


def lake_of(pipeline: str) -> Lake:
    """Open the lake of a pipeline; imported only now, since DAG files are read often and must stay light."""
    from perennial.lake.lake import open_lake
    from perennial.pipeline_file import load_pipeline

    return open_lake(load_pipeline(pipeline))
