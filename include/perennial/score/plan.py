"""The plan and the result of a scoring job: the rows of some dates, answered by one release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, cast

import pyarrow as pa

from perennial.config.answers import BOUNDS
from perennial.config.inputs import Inputs
from perennial.config.load import load_pipeline
from perennial.deploy.golden import model_table
from perennial.deploy.named_release import read_named_release
from perennial.deploy.protocol import read_golden
from perennial.errors import PerennialError, RefusedError, did_you_mean
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import Fingerprint, library_versions, make_fingerprint
from perennial.fingerprints.recipes import keep_recipes
from perennial.lake.lake import Lake, open_lake
from perennial.lake.manifests import ReleaseManifest
from perennial.lake.result import Outcome, Result
from perennial.lake.sample import SAMPLE
from perennial.lake.tables import Partition, TableState
from perennial.score.job_file import DayToScore, PinnedRelease, ScoreJob, StoredFile
from perennial.spark.submit import SPARK_VERSION, SparkPlan, plan_job
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json

FEATURES = "features"
OWN_COLUMNS = ("release", "p", *BOUNDS, "class", "unseen")
"""The columns that a table of scores has beside the date and the row key."""

MAX_INTERPRETED_ROWS = 100_000
"""The maximum of rows for which Spark interprets its plans: compiling them costs more."""


@dataclass(frozen=True, slots=True)
class Scored(Result):
    """
    The scores of some dates.

    :param release: the release that answered
    :param table: the table whose rows it answered
    :param rows: by date, number of scores; `digests` likewise
    :param gaps: dates without rows in the table, with the reason
    """

    SHOWN: ClassVar[frozenset[str]] = frozenset({"release", "table", "rows", "gaps"})

    release: str
    version: str
    table: str
    rows: dict[str, int]
    digests: dict[str, str]
    gaps: dict[str, str]


@dataclass(frozen=True, slots=True)
class Scorable:
    """
    A table whose rows can be scored.

    :param name: its name for a user: `<pipeline>.<table>` if it belongs to another pipeline than the release
    :param lake: the lake of the pipeline that makes it
    :param table: its name there
    :param row_key: its columns that, with the date, identify a row
    :param scores: the table of its scores, which belongs to the pipeline of the release
    """

    name: str
    lake: Lake
    table: str
    row_key: tuple[str, ...]
    scores: str


@dataclass(frozen=True, slots=True)
class Scoring:
    """
    Rows to score, and the release that scores them.

    :param state: the table of the rows
    :param days: by day, the partition of its rows
    """

    lake: Lake
    rows: Scorable
    state: TableState
    days: Mapping[date, Partition]
    gaps: tuple[date, ...]
    release: ReleaseManifest

    @property
    def inputs(self) -> Inputs:
        """Return the inputs of the release's model."""
        return Inputs.model_validate(self.release["inputs"])

    def place(self, day: date) -> str:
        """Return the name of the partition of a date's scores."""
        return f"{day}/{self.release['release']}"

    def is_scored(self, day: date) -> bool:
        """Return whether a date has its scores."""
        held = self.lake.tables.state(self.rows.scores).partitions.get(self.place(day))
        return held is not None and held.key == self.key(day)

    def key(self, day: date) -> Fingerprint:
        """Return the fingerprint of a date's scores."""
        return make_fingerprint(
            "scores",
            of={"table": self.rows.name, "date": day.isoformat(), "release": self.release["release"]},
            code=code_digest("score"),
            data={"rows": self.days[day].digest},
            configuration={"row_key": list(self.rows.row_key)},
            libraries={"spark": SPARK_VERSION, **library_versions("onnxruntime")},
            dependencies={"release": sha256(canonical_json(cast(Json, self.release)))},
        )


def scores_table(table: str) -> str:
    """Return the table of the scores of the rows of a pipeline's own table."""
    return "scores" if table == FEATURES else f"scores_{table}"


def find_scorable(lake: Lake, name: str) -> Scorable:
    """
    Return a table whose rows a release of a pipeline can score.

    :param lake: the lake of the pipeline of the release
    :param name: `<table>`, or `<pipeline>.<table>` for a table that another pipeline makes
    """
    other, _, table = name.rpartition(".")
    owner = open_lake(load_pipeline(other), lake.layout.space) if other not in ("", lake.pipeline.name) else lake
    pipeline = owner.pipeline
    clean = {f"clean_{source}": tuple(spec.key) for source, spec in pipeline.sources.items()}
    keys = {FEATURES: tuple(pipeline.row_key), **clean}
    if table not in keys:
        what = f"Pipeline {pipeline.name!r} has no table {table!r} with rows to score.{did_you_mean(table, keys)}"
        raise RefusedError(what, remedy=f"Choose {', '.join(keys)}.")
    if owner is lake:
        return Scorable(table, owner, table, keys[table], scores_table(table))
    # Names of own tables of scores begin with scores_clean_, so that no other one is equal to these.
    return Scorable(f"{pipeline.name}.{table}", owner, table, keys[table], f"scores_of_{pipeline.name}__{table}")


def find_scoring(lake: Lake, release: str, rows: Scorable, days: Sequence[date]) -> Scoring:
    """
    Verify the signature of a release, and find the rows of some dates that it can score.

    :raises RefusedError: the table has no rows of these dates, or lacks columns that the release needs
    """
    what = f"Pipeline {lake.pipeline.name!r}: release {release} cannot score {rows.name}"
    manifest, state, row_key = read_named_release(lake, release), rows.lake.tables.state(rows.table), rows.row_key
    found = {day: partition for day in days if (partition := state.get_complete(day)) is not None}
    gaps = tuple(day for day in days if day not in found)
    if not found:
        raise RefusedError(
            f"{what}: it has no rows of {' to '.join(dict.fromkeys(map(str, (days[0], days[-1]))))}",
            remedy=f"A run makes them: `perennial run {rows.lake.pipeline.name} --date DATE`.",
        )
    request = Inputs.model_validate(manifest["inputs"]).request
    wanted = {name: "as a part of its key" for name in row_key} | {name: f"a {field.type}" for name, field in request.items()}
    missing = [f"column {name!r} is missing, expected {kind}" for name, kind in wanted.items() if name not in state.columns]
    problems = [] if row_key else ["it has no key, so a score could not name its row"]
    problems += [f"column {name!r} of its key has the name of a column of scores" for name in row_key if name in OWN_COLUMNS]
    if missing or problems:
        raise RefusedError(what, [*missing, *problems], _describe_columns(rows, state) if missing else "")
    return Scoring(lake, rows, state, found, gaps, manifest)


def _describe_columns(rows: Scorable, state: TableState) -> str:
    """Return the columns of a table that lacks some, and the way to the others."""
    found = ", ".join(name for name in state.columns if name != SAMPLE)
    return (
        f"{rows.name} has the columns {found}. Add the missing ones in pipeline {rows.lake.pipeline.name!r} and run its dates "
        "again, or choose another table with --table."
    )


def plan_scores(scoring: Scoring, *, recompute: bool = False) -> SparkPlan:
    """Plan one job for the dates that have no scores of this release and these rows; with `recompute`, for all."""
    lake, held = scoring.lake, scoring.lake.tables.state(scoring.rows.scores).partitions
    keys = {day: scoring.key(day) for day in scoring.days}
    made = {day: held[scoring.place(day)] for day in keys if scoring.place(day) in held}
    current = {day: partition.digest for day, partition in made.items() if partition.key == keys[day]}
    todo = {day: key for day, key in keys.items() if recompute or day not in current}
    if not todo:
        return plan_job(lake, "score", None, 0, (), rows=0)
    keep_recipes(lake, "score", {scoring.rows.scores: next(iter(todo.values()))})
    job = _make_job(scoring, {day: DayToScore(key, scoring.days[day].rows, current.get(day)) for day, key in todo.items()})
    rows = sum(scoring.days[day].rows for day in todo)
    dates = [day.isoformat() for day in todo]
    return plan_job(lake, "score", job, len(todo), dates, rows=rows, interpreted=rows <= MAX_INTERPRETED_ROWS)


def finish_scores(scoring: Scoring) -> Scored:
    """Return the scores of the dates; raise if a date has none."""
    held = scoring.lake.tables.state(scoring.rows.scores).partitions
    made = {day: held.get(scoring.place(day)) for day in scoring.days}
    stale = [f"{day} is missing or stale" for day, item in made.items() if item is None or item.key != scoring.key(day)]
    if stale:
        remedy = "The job did not finish, or another run changed the rows meanwhile. Score again."
        raise PerennialError(f"Pipeline {scoring.lake.pipeline.name!r}, {scoring.rows.scores}", stale, remedy)
    partitions = {day.isoformat(): partition for day, partition in made.items() if partition is not None}
    return Scored(
        Outcome.DONE,
        release=scoring.release["release"],
        version=scoring.release["version"],
        table=scoring.rows.name,
        rows={day: partition.rows for day, partition in partitions.items()},
        digests={day: partition.digest for day, partition in partitions.items()},
        gaps={day.isoformat(): f"no rows in {scoring.rows.name}" for day in scoring.gaps},
    )


def _make_job(scoring: Scoring, days: Mapping[date, DayToScore]) -> ScoreJob:
    rows = scoring.rows
    return ScoreJob(
        database=scoring.lake.layout.database,
        owner=rows.lake.layout.database,
        table=rows.table,
        snapshot_id=scoring.state.snapshot_id,
        name=rows.name,
        row_key=rows.row_key,
        scores=rows.scores,
        release=_pin(scoring),
        days={day.isoformat(): item for day, item in days.items()},
    )


def _pin(scoring: Scoring) -> PinnedRelease:
    lake, manifest, inputs = scoring.lake, scoring.release, scoring.inputs

    def file(name: str) -> StoredFile:
        digest = manifest["files"][name]["sha256"]
        return StoredFile(lake.layout.blob(digest), digest)

    def forms(ending: str) -> dict[str, StoredFile]:
        names = {name: f"lookups/{name}.{ending}" for name in inputs.lookups}
        return {name: file(stored) for name, stored in names.items() if stored in manifest["files"]}

    golden = read_golden(lake, manifest["release"])
    rows = model_table([dict(record) for record in golden.records], inputs, {})
    plain = [column.cast(pa.int32()) if pa.types.is_date(column.type) else column for column in rows.columns]
    return PinnedRelease(
        id=manifest["release"],
        graph=file("model.onnx"),
        lookups=forms("json"),
        large_lookups=forms("table"),
        inputs=manifest["inputs"],
        golden={name: column.to_pylist() for name, column in zip(rows.column_names, plain, strict=True)},
        answers=list(golden.expected.answers),
        spread=golden.expected.spread,
        onnxruntime=library_versions("onnxruntime")["onnxruntime"],
    )
