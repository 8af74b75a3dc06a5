"""The contract of a pipeline: what pipeline.yaml may say. Read it with perennial.pipeline_file.load_pipeline."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from perennial.calendar import Calendar
from perennial.derived import parse_derived

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("a name is 1 to 40 characters of a-z, 0-9 and _, and begins with a letter")
    return value


def _column(value: str) -> str:
    if not COLUMN.fullmatch(value) or value in {"date", "as_of"}:
        raise ValueError("a column is lower-case letters, digits and _; 'date' and 'as_of' are Perennial's own")
    return value


def _field(value: str) -> str:
    return value if value == "date" else _column(value)


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("no such time zone; use an IANA name such as America/New_York")
    return value


def _s3(value: str) -> str:
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}/[A-Za-z0-9!_.*'()/={}-]*", value) or ".." in value:
        raise ValueError("expected an S3 address such as s3://bucket/folder/date={date}/")
    return value


def _short_field(value: Any) -> Any:
    """Read `number?` as {type: number, nullable: true}."""
    if isinstance(value, str):
        return {"type": value.removesuffix("?"), "nullable": value.endswith("?")}
    return value


Name = Annotated[str, AfterValidator(_name)]
Column = Annotated[str, AfterValidator(_column)]
FieldName = Annotated[str, AfterValidator(_field)]
Positive = Annotated[int, Field(gt=0, le=3660)]
Share = Annotated[float, Field(ge=0, le=1)]


class Contract(BaseModel):
    """Base of all parts: immutable, nothing unknown, no coercion of text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ColumnContract(Contract):
    """One column of a drop: its type, and what a value must satisfy to reach the clean table."""

    type: Literal["string", "integer", "double", "boolean", "date", "time", "timestamp"]
    required: bool = False
    range: Annotated[list[float | int], Field(min_length=2, max_length=2)] | None = None
    enum: Annotated[list[str | int], Field(min_length=1)] | None = None
    max_length: Annotated[int, Field(gt=0)] = 1000
    null_text: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.range is not None and self.type not in {"integer", "double"}:
            raise ValueError(f"range is for integer and double, not for {self.type}")
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError(f"range {self.range}: the first number is greater than the second")
        if self.enum is not None and self.type not in {"string", "integer"}:
            raise ValueError(f"enum is for string and integer, not for {self.type}")
        return self


class Reference(Contract):
    """A table that changes rarely; one object, replaced as a whole."""

    uri: Annotated[str, AfterValidator(_s3)]
    format: Literal["csv"] = "csv"
    key: Annotated[list[Column], Field(min_length=1)]
    columns: Annotated[dict[Column, ColumnContract], Field(min_length=1)]
    min_rows: Annotated[int, Field(ge=0)] = 1
    max_quarantine_share: Share = 0.05
    max_bytes: Annotated[int, Field(gt=0)] = 2**31

    @model_validator(mode="after")
    def _key_is_declared(self) -> Self:
        for column in self.key:
            if column not in self.columns:
                raise ValueError(f"key column {column!r} is not among columns")
        return self


class Source(Reference):
    """A table that lands one drop a date: files under `uri`, then _MANIFEST.json."""

    deadline_hours: Annotated[float, Field(gt=0)] = 6

    @model_validator(mode="after")
    def _uri_has_date(self) -> Self:
        if self.uri.count("{date}") != 1 or not self.uri.endswith("/"):
            raise ValueError(f"uri {self.uri!r}: expected {{date}} exactly once and a / at the end")
        return self

    def drop_uri(self, day: date) -> str:
        """Return the folder of one date's drop, with a / at its end."""
        return self.uri.replace("{date}", day.isoformat())


class Label(Contract):
    """The column of features.sql to predict, and the value that counts as positive."""

    column: Column
    positive: bool | int | str = True


class RequestField(Contract):
    """One field of a request: `number`, `category`, `time` (HH:MM), `date` or `boolean`; `?` after it admits null."""

    type: Literal["number", "category", "time", "date", "boolean"]
    nullable: bool = False


class Lookup(Contract):
    """A frozen table of a release: values by key. lookups/<name>.sql yields as_of, the key and the values."""

    key: Annotated[list[Column], Field(min_length=1, max_length=4)]
    values: Annotated[list[Column], Field(min_length=1)]


class Inputs(Contract):
    """What the model is given: request fields, inputs derived from them, and values looked up by them."""

    request: Annotated[dict[FieldName, Annotated[RequestField, BeforeValidator(_short_field)]], Field(min_length=1)]
    derived: dict[Column, str] = {}
    lookups: dict[Name, Lookup] = {}
    categories: list[Column] = []
    """Derived inputs that are classes rather than amounts (weekday, hour): they are one-hot encoded."""

    @model_validator(mode="after")
    def _refer_to_declared(self) -> Self:
        problems = []
        numeric = {name for name, field in self.request.items() if field.type != "category"}
        values = {f"{lookup}__{value}" for lookup, spec in self.lookups.items() for value in spec.values}
        for name, text in self.derived.items():
            if name in self.request:
                problems.append(f"derived {name!r} is also a request field")
            try:
                expression = parse_derived(text)
            except ValueError as error:
                problems.append(f"derived {name!r}: {error}")
                continue
            problems.extend(
                f"derived {name!r}: {arg!r} is neither a numeric, time or date field nor a lookup value (lookup__value)"
                for arg in expression.columns
                if arg not in numeric | values
            )
        for name, lookup in self.lookups.items():
            problems.extend(
                f"lookup {name!r}: key {column!r} is not a request field of type category"
                for column in lookup.key
                if column not in self.request or self.request[column].type != "category"
            )
        problems.extend(f"categories: {name!r} is not a derived input" for name in self.categories if name not in self.derived)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def numbers(self) -> list[str]:
        """
        Return the columns of the graph's float input: non-category request fields, then lookup values.

        Both in order of name: the canonical JSON of manifests sorts keys, so the order of the YAML would not survive there.
        """
        request = sorted(name for name, field in self.request.items() if field.type != "category")
        return request + [f"{lookup}__{value}" for lookup, spec in sorted(self.lookups.items()) for value in spec.values]

    @property
    def texts(self) -> list[str]:
        """Return the columns of the graph's string input: the request fields of type category, in order of name."""
        return sorted(name for name, field in self.request.items() if field.type == "category")

    @property
    def one_hot(self) -> list[str]:
        """Return the text columns that the model itself sees; identifiers used only as lookup keys are declared unused."""
        return [name for name in self.texts if name not in self.identifiers]

    identifiers: list[Column] = []
    """Request fields of type category that serve as lookup keys only (a tail number): the model does not see them."""


Quantity = Annotated[str, Field(pattern=r"^[1-9][0-9]*(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$")]


class Toleration(Contract):
    """A taint of nodes that the training's pod puts up with, in Kubernetes' own words."""

    key: Annotated[str, Field(min_length=1, max_length=253)]
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Resources(Contract):
    """What a training's pod asks of the cluster. Without a GPU here the pod asks for none."""

    cpu: Quantity = "2"
    memory: Quantity = "2Gi"
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    gpu_name: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")] = "nvidia.com/gpu"
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    schedule_seconds: Annotated[int, Field(ge=10, le=86_400)] = 1800
    """How long the pod may wait for a node: a cluster that adds GPU nodes on demand takes 10 to 20 minutes."""

    start_seconds: Annotated[int, Field(ge=10, le=86_400)] = 600
    """How long it may take to start once it has a node: pulling the image, mounting."""

    run_seconds: Annotated[int, Field(ge=60, le=604_800)] = 21_600
    """How long it may run: the cluster ends a pod that nobody follows any more."""


class Training(Contract):
    """How much history a model sees, and which candidates are trained."""

    window_days: Positive = 28
    holdout_days: Positive = 7
    min_days: Positive = 30
    lookback_days: Annotated[int, Field(ge=0, le=3660)] = 28
    candidates: Annotated[list[Literal["mlp", "logistic"]], Field(min_length=1)] = ["mlp", "logistic"]
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.min_days > self.window_days + self.holdout_days:
            raise ValueError(
                f"min_days {self.min_days} is more than window_days + holdout_days = {self.window_days + self.holdout_days}: "
                "no date could ever train"
            )
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError("candidates: each may stand there once")
        return self


class Margin(Contract):
    """How much worse a challenger may be, in each metric, and still replace the incumbent."""

    log_loss: Annotated[float, Field(ge=0)] = 0.02
    roc_auc: Annotated[float, Field(ge=0)] = 0.02


class Floors(Contract):
    """What every challenger must reach on the holdout, whoever the incumbent is."""

    roc_auc: Annotated[float, Field(ge=0, le=1)] = 0.60
    rows: Annotated[int, Field(gt=0)] = 100
    positives: Annotated[int, Field(gt=0)] = 20


class Gate(Contract):
    """The promotion gate."""

    margin: Margin = Margin()
    floors: Floors = Floors()
    min_days: Positive = 7
    max_age_days: Positive = 28
    slices: list[Column] = []
    slice_min_rows: Annotated[int, Field(gt=0)] = 200


class Autoscaling(Contract):
    """How many replicas more a release may get on Kubernetes, and when; `replicas` is the least."""

    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    cpu_percent: Annotated[int, Field(ge=1, le=100)] = 70


class Deployment(Contract):
    """How a release serves."""

    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    autoscaling: Autoscaling | None = None
    cpu: Quantity = "250m"
    memory: Quantity = "512Mi"
    p99_ms: Annotated[float, Field(gt=0)] = 50
    soak_seconds: Annotated[float, Field(ge=0, le=3600)] = 5


class Pipeline(Contract):
    """One pipeline: a data set, and the model that learns from it every day."""

    name: Name
    title: Annotated[str, Field(max_length=200)]
    owner: Annotated[str, Field(max_length=80)] = "data-science"
    schedule: Literal["daily"] = "daily"
    start: date
    end: date | None = None
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    sources: Annotated[dict[Name, Source], Field(min_length=1)]
    references: dict[Name, Reference] = {}
    label: Label
    row_key: Annotated[list[FieldName], Field(min_length=1)]
    """Columns of features.sql that, with the date, name one row."""
    inputs: Inputs
    task: Literal["binary"] = "binary"
    runtime: Literal["process", "kubernetes"] = "process"
    """Where training runs, unless PERENNIAL_RUNTIME says otherwise."""

    training: Training = Training()
    gate: Gate = Gate()
    deployment: Deployment = Deployment()
    tags: list[str] = []

    folder: Path = Field(default=Path(), exclude=True, strict=False)
    """Where the SQL files lie; set by load_pipeline, never written in the YAML."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        if self.end is not None and self.end < self.start:
            problems.append(f"end {self.end} is before start {self.start}")
        problems.extend(f"{name!r} is both a source and a reference" for name in self.sources if name in self.references)
        problems.extend(
            f"{name!r} is both a table and a lookup"
            for name in self.inputs.lookups
            if name in {**self.sources, **self.references}
        )
        if self.label.column in self.inputs.request:
            problems.append(f"the label {self.label.column!r} is also a request field: the model would see the answer")
        problems.extend(
            f"gate.slices: {name!r} is not a request field of type category"
            for name in self.gate.slices
            if name not in self.inputs.texts
        )
        problems.extend(
            f"inputs.identifiers: {name!r} is not a request field of type category"
            for name in self.inputs.identifiers
            if name not in self.inputs.texts
        )
        if problems:
            raise ValueError("; ".join(problems))
        return self

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
        )

    @property
    def tables(self) -> dict[str, Reference]:
        """Return sources and references by name: every table that SQL may read."""
        return {**self.sources, **self.references}

    def sql(self, path: str) -> str:
        """Return the text of one of the pipeline's SQL files, e.g. 'features.sql'."""
        return (self.folder / path).read_text(encoding="utf-8")

    def sql_files(self, folder: str) -> dict[str, str]:
        """Return {name: text} of the SQL files in one of the folders sources, lookups, analysis, by name."""
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted((self.folder / folder).glob("*.sql"))}
