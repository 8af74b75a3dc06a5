"""The Spark job of the stage score: every row of some dates gets the answer of a release, one commit a date."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from perennial.spark.lean import allow_libraries

from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.analyse.partitions import find_duplicates
from perennial.config.answers import BOUNDS, INTERVAL
from perennial.config.inputs import Inputs
from perennial.errors import PerennialError, RefusedError
from perennial.lake.tables import Partition
from perennial.score.job_file import DayToScore, PinnedRelease, ScoreJob
from perennial.serve.lookups import closed_lookup, read_lookup
from perennial.spark.columns import load_table
from perennial.spark.digest import empty_content, partition_contents
from perennial.spark.job import read_file, run_job, send_file
from perennial.spark.size import ROWS_A_TASK
from perennial.spark.sql import FIELD_TYPES, quoted, require_columns, text_literal
from perennial.spark.tables import Stopwatch, commit, days_filter, read_table, table_name

if TYPE_CHECKING:
    import pyarrow as pa

    from perennial.score.worker import Scorer

log = logging.getLogger("perennial.spark")
MAX_PROBLEMS = 5
_PREDICTED = {
    "number": [T.StructField("p", T.FloatType())],
    "interval": [T.StructField(name, T.FloatType()) for name in ("p", *BOUNDS)],
    "classes": [T.StructField("p", T.ArrayType(T.FloatType())), T.StructField("class", T.StringType())],
}
"""The columns of a prediction: of one number, of a number with its interval, or of several classes."""

SPLIT_BYTES = 16 * 2**20
"""The part of a table's files that is one task: some 200,000 rows, so that a day of a million rows uses several cores."""


def score(spark: SparkSession, job: ScoreJob) -> None:
    """Score the dates of a job, one after another: a job that is killed keeps the dates that it has committed."""
    allow_libraries()
    send_functions()
    from perennial.score.worker import make_scorer

    name = table_name(job.owner, job.table)
    load_table(spark, name)  # it refuses metadata that leads out of the lake
    scorer = open_scorer(spark, job)
    predicted = _PREDICTED["classes" if scorer.classes else "interval" if scorer.has_interval else "number"]
    score_batches = make_scorer(scorer)
    for day, wanted in sorted(job.days.items()):
        _score_day(spark, job, day, wanted, score_batches, predicted)


def send_functions() -> None:
    """Send the functions themselves to workers: on other machines, this package is not installed."""
    cloudpickle.register_pickle_by_value(sys.modules["perennial"])  # type: ignore[no-untyped-call]


def open_scorer(spark: SparkSession, job: ScoreJob) -> Scorer:
    """Read the files of the release, verify their digests, and return what a worker needs."""
    import onnxruntime

    from perennial.score.worker import Columns, Scorer
    from perennial.serve.model import known_categories, read_metadata

    release = job.release
    inputs = Inputs.model_validate(release.inputs)
    graph = read_file(spark, release.graph.uri, release.graph.sha256)
    lookups = {}
    for name, spec in sorted(inputs.lookups.items()):
        if file := release.large_lookups.get(name):
            send_file(spark, file.uri, file.sha256)
            lookups[name] = closed_lookup(spec, inputs), spec.values
        else:
            file = release.lookups[name]
            document = json.loads(read_file(spark, file.uri, file.sha256))
            lookups[name] = read_lookup(name, document, spec, inputs), spec.values
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return Scorer(
        graph=graph,
        columns=Columns(inputs.numbers, inputs.texts),
        request={name: (field.type, field.nullable) for name, field in inputs.request.items()},
        lookups=lookups,
        files={name: file.sha256 for name, file in release.large_lookups.items()},
        known={name: known for _, name, known in known_categories(session, inputs)},
        golden=_golden_rows(release, inputs),
        answers=release.answers,
        classes=read_metadata(session, "classes", []),
        has_interval=any(item.name == INTERVAL for item in session.get_outputs()),
        spread=release.spread,
        onnxruntime=release.onnxruntime,
        row_key=job.row_key,
    )


def _golden_rows(release: PinnedRelease, inputs: Inputs) -> pa.Table:
    import pyarrow as pa

    types = {"number": pa.float64(), "category": pa.string(), "time": pa.int32(), "date": pa.int32(), "boolean": pa.bool_()}
    columns = {name: pa.array(values, types[inputs.request[name].type]) for name, values in release.golden.items()}
    dates = {name: columns[name].cast(pa.date32()) for name, field in inputs.request.items() if field.type == "date"}
    return pa.table({**columns, **dates})


def _score_day(
    spark: SparkSession,
    job: ScoreJob,
    day: str,
    wanted: DayToScore,
    score_batches: Callable[[Any], Any],
    predicted: Sequence[T.StructField],
) -> None:
    """
    Score a date and replace its partition in one commit. Nothing is committed unless each row has exactly one score.

    :param predicted: the columns of a prediction
    """
    watch, release, what = Stopwatch(), job.release, f"{job.name} of {day}, scored by release {job.release.id}"
    rows = _request_rows(spark, job, day, what)
    key = [name for name in job.row_key if name != "date"]
    returned = [field for field in rows.schema if field.name in job.row_key]
    schema = T.StructType(
        [
            *(T.StructField(field.name, field.dataType) for field in returned),
            *predicted,
            T.StructField("unseen", T.StringType()),
            T.StructField("__problem", T.StringType()),
        ]
    )
    scored = rows.mapInArrow(score_batches, schema).persist()
    _refuse_failures(scored, what)
    scores = scored.selectExpr(
        f"DATE '{day}' AS date",
        f"{text_literal(release.id)} AS release",
        *map(quoted, key),
        *(field.name for field in predicted),
        "unseen",
    )
    content = partition_contents(scores, "date", ["date", *key], is_big=wanted.rows > ROWS_A_TASK).get(
        day, empty_content(scores.schema)
    )
    if content.rows != wanted.rows:
        raise PerennialError(f"{what}: {content.rows} scores for {wanted.rows} rows. Nothing was committed. Run it again.")
    if content.keys < content.rows and (duplicates := find_duplicates(scores, "date", key)):
        raise RefusedError(f"{what}: several rows have the same key", duplicates, "A score must name its row.")
    if wanted.held not in (None, content.digest):
        raise RefusedError(
            f"{what}: the same release gives other scores: digest {content.digest[:12]}, before {str(wanted.held)[:12]}",
            remedy="The table was not changed. Processors of another kind may round differently: score on the former kind.",
        )
    commit(
        scores,
        table_name(job.database, job.scores),
        replaces=days_filter("date", [day]) & (F.col("release") == release.id),
        partitioned_by=("date", "release"),
        partitions={f"{day}/{release.id}": Partition(wanted.key, content.digest, content.rows)},
    )
    scored.unpersist()
    log.info("%s: %s, %s rows, %.1f s", job.scores, day, f"{content.rows:,}", watch.seconds)


def _request_rows(spark: SparkSession, job: ScoreJob, day: str, what: str) -> DataFrame:
    """Return the columns of a date's rows that the score needs: the row key, and the request fields in their types."""
    table = read_table(spark, table_name(job.owner, job.table), job.snapshot_id, SPLIT_BYTES).where(days_filter("date", [day]))
    found = {field.name: field.dataType for field in table.schema}
    request = {name: FIELD_TYPES[field.type] for name, field in Inputs.model_validate(job.release.inputs).request.items()}
    names = list(dict.fromkeys([*job.row_key, *request]))
    expected = {name: request[name][0] if name in request else found[name] for name in names}
    accepts = {name: accepted for name, (_, accepted) in request.items()}
    try:
        return require_columns(table.select(*map(quoted, names)), job.name, expected, accepts)
    except RefusedError as error:
        remedy = f"Change the types of {job.name} in its pipeline, or score another table (docs/reference/sql-types.md)."
        raise RefusedError(what, error.problems, remedy) from None


def _refuse_failures(scored: DataFrame, what: str) -> None:
    failed = scored.where(F.col("__problem").isNotNull()).select("__problem").distinct().limit(MAX_PROBLEMS).collect()
    if failed:
        raise RefusedError(what, sorted(row["__problem"] for row in failed), "Nothing was committed.")


def main(arguments: list[str]) -> None:
    """Run the job file whose address is the only argument."""
    run_job("score", arguments, ScoreJob.from_json, score)


if __name__ == "__main__":
    main(sys.argv[1:])
