"""The context of a stage: one pipeline, its place in the lake, and the means to read and write there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perennial.config.pipeline import Pipeline
from perennial.lake.layout import Layout, lake_root
from perennial.lake.tables import Tables
from perennial.store.objects import Objects


@dataclass(frozen=True, slots=True)
class Lake:
    """One pipeline's part of the lake."""

    pipeline: Pipeline
    layout: Layout
    objects: Objects
    tables: Tables

    def at_one_moment(self) -> Lake:
        """Return the same lake, but read each object, listing and table only once: for a group of queries that change nothing."""
        return replace(self, objects=self.objects.at_one_moment(), tables=self.tables.at_one_moment())


def open_lake(pipeline: Pipeline, space: str = "main") -> Lake:
    """Open a pipeline's part of the lake. The first use connects to the stores, not this call."""
    layout = Layout(lake_root(), space, pipeline.name)
    return Lake(pipeline, layout, Objects(), Tables(layout.database))
