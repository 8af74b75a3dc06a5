"""`perennial candidates`: the candidates of a pipeline, what they cost and brought, and all families with their parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from perennial.commands.arguments import AsJson, PipelineName, chosen_lake
from perennial.commands.output import print_json, print_line, print_table
from perennial.config.candidates import ALIASES, FAMILIES, Family, search_of
from perennial.display.metrics import format_metric, label_of
from perennial.store.json_value import JsonValue

if TYPE_CHECKING:
    from perennial.evaluate.track_record import TrackRecord


_NO_PARAMETERS = ("family", "search")
_REQUIRED = {"of": "the other candidates", "estimator": "required"}


def candidates(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """Show the candidates with costs and results, and all families."""
    from perennial.evaluate.track_record import MAX_DATES, newest_decisions, track_records
    from perennial.tasks.task import task_of
    from perennial.train.search_record import COLUMNS, LEGEND, search_records

    lake = chosen_lake(pipeline)
    chosen = lake.pipeline.training.candidates
    records = track_records(lake, list(chosen))
    days = newest_decisions(lake)
    searches = search_records(lake, days[0], days[-1]) if days else []
    if as_json:
        known: list[JsonValue] = [
            {"name": name, **settings.model_dump(mode="json"), **_flat(records[name])} for name, settings in chosen.items()
        ]
        families: JsonValue = {name: _defaults(family) for name, family in FAMILIES.items()}
        print_json(
            {
                "pipeline": lake.pipeline.name,
                "candidates": known,
                "families": families,
                "aliases": ALIASES,
                "searches": [item.to_json() for item in searches],
            }
        )
        return
    columns = (
        "candidate",
        "family",
        "parameters",
        "dates",
        "best",
        "passed",
        *map(label_of, task_of(lake.pipeline.label).shown),
        "CPU-s",
    )
    print_table(
        columns, [[name, settings.family, _changed(settings), *_cells(records[name])] for name, settings in chosen.items()]
    )
    print_line(f"Over the newest {MAX_DATES} decisions at most. Passed: the gate would promote it. CPU-s: median.", style="dim")
    print_line("")
    if searches:
        print_table(COLUMNS, [item.cells for item in searches])
        print_line(LEGEND, style="dim")
        print_line("")
    rows: list[list[JsonValue]] = []
    for name, family in FAMILIES.items():
        label = ", ".join([name, *(alias for alias, of in ALIASES.items() if of == name)])
        for parameter, default in _defaults(family).items():
            rows.append([label, parameter, "chosen by the window" if default is None else _format(default)])
            label = ""
    print_table(("family", "parameter", "default"), rows)


def _cells(record: TrackRecord) -> list[JsonValue]:
    rounded = [None if value is None else format_metric(value) for value in record.metrics.values()]
    cost = None if record.cpu_seconds is None else f"{record.cpu_seconds:.1f}"
    return [record.dates, record.best, record.passed, *rounded, cost]


def _flat(record: TrackRecord) -> dict[str, JsonValue]:
    values = asdict(record)
    metrics: dict[str, JsonValue] = values.pop("metrics")
    return {**values, **metrics}


def _changed(settings: Family) -> str:
    """Return the parameters that differ from the defaults, and the names of those that are searched."""
    defaults = _defaults(type(settings))
    values = {name: value for name, value in settings.model_dump(mode="json").items() if name not in _NO_PARAMETERS}
    changed = [f"{name} {_format(value)}" for name, value in values.items() if value != defaults[name]]
    if (search := search_of(settings)) is not None:
        changed.append(f"searched: {' '.join(search.ranges)}")
    return ", ".join(changed) or "defaults"


def _format(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format(item)}" for name, item in value.items()) or "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _defaults(family: type[Family]) -> dict[str, JsonValue]:
    """Return the parameters of a family with their defaults; that of a parameter without one is a text."""
    return {
        name: _REQUIRED[name] if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in family.model_fields.items()
        if name not in _NO_PARAMETERS
    }
