"""The schema of pipeline.yaml. To read one, call perennial.config.load.load_pipeline."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator, model_validator

from perennial.calendar import DAY, Calendar
from perennial.config.calendar import FeedCalendar
from perennial.config.candidates import default_candidates, unfit_candidates
from perennial.config.contract import Contract
from perennial.config.deployment import Deployment, Scoring
from perennial.config.gate import Floors, Gate, Margin
from perennial.config.inputs import Inputs, Lookup, RequestField, not_categories
from perennial.config.label import BinaryLabel, ClassesLabel, Label, LabelField, NumberLabel, give_task, task_of
from perennial.config.tables import ColumnContract, Reference, Source
from perennial.config.text import file_names, read_text, sql_names
from perennial.config.training import Resources, Toleration, Training
from perennial.config.values import (
    Day,
    Distinct,
    FieldName,
    Name,
    Owner,
    Problem,
    Some,
    TableName,
    Tag,
    Title,
    Zone,
    refuse,
)
from perennial.errors import did_you_mean

__all__ = [
    "BinaryLabel",
    "ClassesLabel",
    "ColumnContract",
    "Contract",
    "Deployment",
    "Floors",
    "Gate",
    "Inputs",
    "Label",
    "Lookup",
    "Margin",
    "NumberLabel",
    "Pipeline",
    "Reference",
    "RequestField",
    "Resources",
    "Scoring",
    "Source",
    "Toleration",
    "Training",
]


_FOREIGN_METRICS = {
    "binary": {"skill"},
    "multiclass": {"log_loss", "positives"},
    "regression": {"log_loss", "roc_auc", "positives"},
}
"""Settings of the gate that do not apply to a task."""


class Pipeline(Contract):
    """One pipeline: a data set, and the model that learns from it every day."""

    name: Name
    title: Title
    owner: Owner = "data-science"
    schedule: Literal["daily"] = "daily"
    start: Day
    end: Day | None = None
    time_zone: Zone = "UTC"
    feed: FeedCalendar = Field(default=FeedCalendar(), alias="calendar")
    """The dates that have data. The YAML calls it `calendar`; the property `calendar` combines it with the other dates."""

    sources: Annotated[dict[TableName, Source], Field(min_length=1)]
    references: dict[TableName, Reference] = {}
    label: LabelField
    row_key: Some[FieldName]
    """Columns of features.sql that, with the date, identify one row."""

    inputs: Inputs
    task: Literal["binary", "multiclass", "regression"] = "binary"
    runtime: Literal["process", "kubernetes"] = "process"
    """The place where training runs and models serve; PERENNIAL_RUNTIME overrides it."""

    training: Training = Training()
    gate: Gate = Gate()
    deployment: Deployment = Deployment()
    scoring: Scoring | None = None
    """Without it, no stage `score`."""

    tags: Annotated[Distinct[Tag], Field(max_length=20)] = []

    folder: Path = Field(default=Path(), exclude=True, strict=False, repr=False)
    """The folder of the SQL files. load_pipeline sets it; the YAML must not."""

    @model_validator(mode="before")
    @classmethod
    def _apply_task(cls, pipeline: Any) -> Any:
        """Give the label its task, and a pipeline that names no candidates those of its task."""
        pipeline = give_task(pipeline)
        if isinstance(pipeline, dict) and isinstance(label := pipeline.get("label"), dict):
            training = pipeline.get("training", {})
            if isinstance(training, dict) and "candidates" not in training and (task := task_of(pipeline)) != "binary":
                chosen = default_candidates(task, label.get("predict"))
                values = {name: settings.model_dump(mode="json") for name, settings in chosen.items()}
                return {**pipeline, "training": {**training, "candidates": values}}
        return pipeline

    @field_validator("end")
    @classmethod
    def _check_end(cls, end: date | None, info: ValidationInfo) -> date | None:
        start = info.data.get("start")
        if end is not None and start is not None and end < start:
            raise ValueError(f"end {end} is before start {start}")
        return end

    @field_validator("feed")
    @classmethod
    def _check_feed(cls, feed: FeedCalendar, info: ValidationInfo) -> FeedCalendar:
        start, end = info.data.get("start"), info.data.get("end")
        if start is not None and end is not None and feed.data_days.after(start - DAY) > end:
            raise ValueError(f"no date from start {start} to end {end} has data")
        return feed

    @field_validator("sources")
    @classmethod
    def _check_folders(cls, sources: dict[str, Source]) -> dict[str, Source]:
        refuse(
            ((name, "uri"), f"it is inside a folder of source {other!r}, {sources[other].uri}. Give each source its own folder")
            for index, (name, source) in enumerate(sources.items())
            for other_index, other in enumerate(sources)
            if other != name
            and sources[other].holds(source.uri)
            and not (other_index > index and source.holds(sources[other].uri))
        )
        return sources

    @field_validator("references")
    @classmethod
    def _check_references(cls, references: dict[str, Reference], info: ValidationInfo) -> dict[str, Reference]:
        sources: dict[str, Source] = info.data.get("sources", {})
        refuse(((name,), f"{name!r} is both a source and a reference") for name in references if name in sources)
        refuse(
            ((name, "uri"), f"it is inside a folder of source {other!r}, {source.uri}. Move it out of that folder")
            for name, reference in references.items()
            for other, source in sources.items()
            if source.holds(reference.uri)
        )
        return references

    @field_validator("row_key")
    @classmethod
    def _check_row_key(cls, row_key: list[str], info: ValidationInfo) -> list[str]:
        label = info.data.get("label")
        refuse(
            ((index,), f"the label {name!r} cannot be part of the row key: the key would reveal the answer")
            for index, name in enumerate(row_key)
            if label is not None and name == label.column
        )
        return row_key

    @field_validator("inputs")
    @classmethod
    def _check_names(cls, inputs: Inputs, info: ValidationInfo) -> Inputs:
        label, row_key = info.data.get("label"), info.data.get("row_key", [])
        tables = {**info.data.get("sources", {}), **info.data.get("references", {})}
        problems: list[Problem] = [
            (("lookups", name), f"{name!r} is both a table and a lookup") for name in inputs.lookups if name in tables
        ]
        taken = {name: "a column of row_key" for name in row_key}
        if label is not None:
            taken[label.column] = "the label"
            if label.column in inputs.request:
                problems.append(
                    (
                        ("request", label.column),
                        f"the label {label.column!r} is also a request field: the model would see the answer",
                    )
                )
        problems.extend(
            (("lookups", name, "values", index), f"its name {full!r} is also {taken[full]}. Rename one of them")
            for name, lookup in inputs.lookups.items()
            for index, value in enumerate(lookup.values)
            if (full := f"{name}__{value}") in taken
        )
        refuse(problems)
        return inputs

    @field_validator("training")
    @classmethod
    def _check_task(cls, training: Training, info: ValidationInfo) -> Training:
        label = info.data.get("label")
        if label is not None:
            predict = label.predict if isinstance(label, NumberLabel) else None
            refuse((("candidates", *at), text) for at, text in unfit_candidates(training.candidates, label.task, predict))
            if training.sample == "balanced" and not isinstance(label, BinaryLabel):
                refuse([(("sample",), f"balanced chooses rows by two classes, which task: {label.task} has not. Use uniform")])
        return training

    @field_validator("training")
    @classmethod
    def _check_min_days(cls, training: Training, info: ValidationInfo) -> Training:
        feed = info.data.get("feed")
        if feed is None:
            return training
        window, holdout = training.window_days, training.holdout_days
        max_days = feed.data_days.max_within(window) + holdout
        if training.min_days > max_days:
            text = (
                f"min_days {training.min_days} is more than the {max_days} dates with data that window_days {window} and "
                f"holdout_days {holdout} can hold under `calendar`: no date could ever train. "
                "Lower min_days, or raise window_days"
            )
            refuse([(("min_days",), text)])
        start, end, label = info.data.get("start"), info.data.get("end"), info.data.get("label")
        if start is not None and end is not None and label is not None:
            known = len(feed.data_days.dates(start, end - DAY * label.known_after_days))
            needed = max(training.min_days, holdout + 1)
            if known < needed:
                text = (
                    f"start and end leave {known} dates with data whose labels are known, and min_days {training.min_days} "
                    f"with holdout_days {holdout} needs {needed}: no date could ever train. Choose a later end or lower them"
                )
                refuse([(("min_days",), text)])
        return training

    @field_validator("gate")
    @classmethod
    def _check_can_promote(cls, gate: Gate, info: ValidationInfo) -> Gate:
        training = info.data.get("training")
        if training is not None and gate.min_days > training.holdout_days:
            text = (
                f"min_days {gate.min_days} is more than training.holdout_days {training.holdout_days}: every holdout is too "
                "short for the gate, and no date could ever be promoted. Lower gate.min_days, or raise training.holdout_days"
            )
            refuse([(("min_days",), text)])
        return gate

    @field_validator("gate")
    @classmethod
    def _check_metrics(cls, gate: Gate, info: ValidationInfo) -> Gate:
        """Refuse metrics of another task than the pipeline's."""
        label = info.data.get("label")
        if label is not None:
            foreign = _FOREIGN_METRICS[label.task]
            refuse(
                ((part, name), f"it does not apply to task: {label.task}")
                for part, values in (("margin", gate.margin), ("floors", gate.floors))
                for name in sorted(values.model_fields_set & foreign)
            )
        return gate

    @field_validator("gate")
    @classmethod
    def _check_slices(cls, gate: Gate, info: ValidationInfo) -> Gate:
        if "inputs" in info.data:
            request = info.data["inputs"].request
            refuse((("slices", *at), text) for at, text in not_categories(gate.slices, request))
        return gate

    @field_validator("scoring")
    @classmethod
    def _check_table_of_rows(cls, scoring: Scoring | None, info: ValidationInfo) -> Scoring | None:
        known = ["features", *(f"clean_{name}" for name in info.data.get("sources", {}))]
        if scoring is not None and "sources" in info.data and scoring.table not in known:
            near = did_you_mean(scoring.table, known).strip() or f"Allowed: {', '.join(known)}."
            refuse([(("table",), f"{scoring.table!r} is no table whose rows can be scored. {near}")])
        return scoring

    @property
    def calendar(self) -> Calendar:
        """Return the dates of this pipeline."""
        training = self.training
        return Calendar(
            pipeline=self.name,
            time_zone=ZoneInfo(self.time_zone),
            start=self.start,
            end=self.end,
            window_days=training.window_days,
            holdout_days=training.holdout_days,
            lookback_days=training.lookback_days,
            min_days=training.min_days,
            data_days=self.feed.data_days,
            known_after_days=self.label.known_after_days,
        )

    @property
    def tables(self) -> dict[str, Reference]:
        """Return sources and references by name: every table that SQL may read."""
        return {**self.sources, **self.references}

    @property
    def sql_session(self) -> dict[str, str]:
        """Return the settings of the session in which SQL runs, for fingerprints. UTC, the default, is left out."""
        return {} if self.time_zone == "UTC" else {"time_zone": self.time_zone}

    def sql(self, path: str) -> str:
        """Return the text of a SQL file such as 'features.sql'; raise PipelineRefusedError if it cannot be read."""
        return read_text(self.folder, path)

    def sql_files(self, folder: str) -> dict[str, str]:
        """Return {name: text} of the SQL files in sources, lookups or analysis; raise PipelineRefusedError if unreadable."""
        return {name: self.sql(f"{folder}/{name}.sql") for name in sql_names(self.folder, folder)}

    def clean_steps(self) -> dict[str, str]:
        """Return {name: text} of the cleaning steps in Python, sources/<name>.py; raise PipelineRefusedError if unreadable."""
        return {name: read_text(self.folder, f"sources/{name}.py") for name in file_names(self.folder, "sources", ".py")}

    def candidate_file(self, name: str) -> str:
        """Return the text of a candidate's file, candidates/<name>.py; raise PipelineRefusedError if it cannot be read."""
        return read_text(self.folder, f"candidates/{name}.py")
