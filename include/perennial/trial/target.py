"""The part of a pipeline that a trial runs: features, labels, a lookup, an analysis, or the cleaning of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perennial.config.pipeline import Pipeline
from perennial.errors import RefusedError, did_you_mean

Kind = Literal["features", "labels", "lookup", "analysis", "table"]


@dataclass(frozen=True, slots=True)
class Target:
    """
    A part of a pipeline.

    :param name: name of the lookup, analysis, source or reference; that of the kind for features and labels
    :param file: its SQL file; None for a table without one
    """

    kind: Kind
    name: str
    file: str | None


def find_target(pipeline: Pipeline, text: str) -> Target:
    """Return the target that a user names, such as lookups/rates; refuse a name that the pipeline does not have."""
    shaped, steps = pipeline.sql_files("sources"), pipeline.clean_steps()
    targets = [
        Target("features", "features", "features.sql"),
        *([Target("labels", "labels", "labels.sql")] if pipeline.label.known_after_days else []),
        *(Target("lookup", name, f"lookups/{name}.sql") for name in pipeline.inputs.lookups),
        *(Target("analysis", name, f"analysis/{name}.sql") for name in pipeline.sql_files("analysis")),
        *(
            Target("table", name, f"sources/{name}.sql" if name in shaped else f"sources/{name}.py" if name in steps else None)
            for name in pipeline.tables
        ),
    ]
    by_name = {name: target for target in targets for name in (_name(target), target.file) if name}
    if text not in by_name:
        names = [_name(target) for target in targets]
        hint = did_you_mean(text, names)
        raise RefusedError(f"Pipeline {pipeline.name!r} has no {text!r}.{hint} Choose one of: {', '.join(names)}")
    return by_name[text]


def _name(target: Target) -> str:
    folders = {"lookup": "lookups/", "analysis": "analysis/"}
    return folders.get(target.kind, "") + target.name
