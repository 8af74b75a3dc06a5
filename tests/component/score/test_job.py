"""The job of score in Spark: the answers of the model server, one commit a date, none for rows or releases that do not fit."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from scored_rows import ANSWER, CLASSES, FILES, GRAPH, GRAPH_OF_CLASSES, GRAPH_OF_INTERVALS, INPUTS, make_records, serve
from serve_release_builder import RECORD, large_file
from spark_job import run_jobs

from perennial.deploy.golden import model_table
from perennial.store.content_name import canonical_json, sha256
from stack.spark_archive import hadoop_catalog

DAY, NEXT = "2026-03-01", "2026-03-02"
ROWS, NEXT_ROWS = 2_000, 3
RELEASE, OTHER = "2026-02-28-0123456789ab", "2026-03-01-ba9876543210"
RECORDS = make_records(ROWS, DAY)
PROGRAM = """
import json, threading
from pyspark.sql import SparkSession
from perennial.errors import PerennialError
from perennial.score import job as score_job
from perennial.score.job_file import ScoreJob

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
spark.sql("CREATE NAMESPACE ice.lab")
SCHEMA = ("id bigint, date date, dep_time int, distance double, temp double, is_holiday boolean, "
          "carrier string, origin string, tailnum string, tail_rates__age double")
rows = spark.read.schema(SCHEMA).json("rows.json").repartition(3)
rows.writeTo("ice.lab.features").using("iceberg").partitionedBy("date").create()
others = "CAST(distance AS DECIMAL(20, 3)) distance", "CAST(dep_time AS BIGINT) dep_time"
rows.drop("distance", "dep_time").join(rows.selectExpr("id", *others), "id").writeTo("ice.lab.clean_flights").using(
    "iceberg"
).partitionedBy("date").create()
with open("job.json") as file:
    JOB = json.load(file)
TABLES = "features", "clean_flights"
SNAPSHOTS = {name: spark.sql(f"SELECT snapshot_id FROM ice.lab.{name}.snapshots").first()[0] for name in TABLES}
commit = score_job.commit


def run(table="features", **changes):
    try:
        score_job.score(spark, ScoreJob.from_json(JOB | {"table": table, "snapshot_id": SNAPSHOTS[table]} | changes))
    except PerennialError as error:
        return str(error)


def commits(table="scores"):
    found = spark.sql(f"SELECT summary FROM ice.lab.{table}.snapshots ORDER BY committed_at").collect()
    return [{key: json.loads(value) for key, value in row[0].items() if key.startswith("perennial.")} for row in found]


def scores(table="scores", *more):
    found = spark.table(f"ice.lab.{table}").orderBy("date", "release", "id").collect()
    return [[str(row.date), row.release, row.id, row.p, row.unseen, *(row[name] for name in more)] for row in found]


def days(day, **changes):
    return {"days": {day: JOB["days"][day] | changes}}


def release(**changes):
    return {"release": JOB["release"] | changes}


def kill(rows, name, **more):
    commit(rows, name, **more)
    raise PerennialError("killed")


score_job.commit = kill
said = {"killed": [run(), commits()]}
score_job.commit = commit
said["first"] = [run(**days("2026-03-02")), scores(), commits()]
digest = said["first"][2][0]["perennial.2026-03-01/" + JOB["release"]["id"]]["digest"]
refusals = {
    "held": days("2026-03-01", held="0" * 64),
    "rows": days("2026-03-01", rows=JOB["days"]["2026-03-01"]["rows"] + 1),
    "key": {"row_key": ["carrier"]},
    "golden": release(answers=[0.123]),
    "graph": release(graph={**JOB["release"]["graph"], "sha256": "0" * 64}),
    "lookup": release(lookups={name: {**file, "sha256": "0" * 64} for name, file in JOB["release"]["lookups"].items()}),
    "type": release(
        inputs={"request": {**JOB["release"]["inputs"]["request"], "carrier": {"type": "number", "nullable": False}}},
        golden={**JOB["release"]["golden"], "carrier": [1.0]},
    ),
}
said["refusals"] = {name: run(**changes) for name, changes in refusals.items()}
said["after refusals"] = [scores() == said["first"][1], len(commits())]
said["again"] = [run(**days("2026-03-01", held=digest)), scores() == said["first"][1]]
threads = [threading.Thread(target=run) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
said["two at once"] = scores() == said["first"][1]
large = {"large_lookups": JOB["large_lookups"], "lookups": {}}
said["large"] = [run(**release(**large, id="large")), [row for row in scores() if row[1] == "large"]]
damaged = {name: {**file, "sha256": "0" * 64} for name, file in JOB["large_lookups"].items()}
said["refusals"]["large lookup"] = run(**release(**large | {"large_lookups": damaged}, id="large"))
said["other"] = [run(**release(id="2026-03-01-ba9876543210"), **days("2026-03-02")), scores()]
said["clean"] = [run("clean_flights", scores="scores_clean_flights", **days("2026-03-01")), scores("scores_clean_flights")]
spark.sql("CREATE NAMESPACE ice.other")
spark.table("ice.lab.clean_flights").writeTo("ice.other.clean_flights").using("iceberg").partitionedBy("date").create()
SNAPSHOTS["clean_flights"] = spark.sql("SELECT snapshot_id FROM ice.other.clean_flights.snapshots").first()[0]
spark.sql("DROP TABLE ice.lab.clean_flights")
of_other = {"owner": "other", "name": "other.clean_flights", "scores": "scores_of_other__clean_flights", **days("2026-03-01")}
said["refusals"]["type of other"] = run("clean_flights", **of_other | refusals["type"])
said["of other"] = [run("clean_flights", **of_other), scores(of_other["scores"])]
of_classes = {"scores": "scores_of_classes", **days("2026-03-01"), **release(**JOB["of_classes"])}
said["of classes"] = [run(**of_classes), scores("scores_of_classes", "class")]
said["of classes again"] = [run(**of_classes), scores("scores_of_classes", "class") == said["of classes"][1]]
of_intervals = {"scores": "scores_of_intervals", **days("2026-03-01"), **release(**JOB["of_intervals"])}
said["of intervals"] = [run(**of_intervals), scores("scores_of_intervals", "low", "high")]
wrong = JOB["of_classes"] | {"answers": [[0.2, 0.4, 0.4]]}
said["refusals"]["golden of classes"] = run(**of_classes | release(**wrong))
print("SAID " + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what the program said of all that it did."""
    folder = tmp_path_factory.mktemp("score")
    write_rows(folder)
    (folder / "job.json").write_text(json.dumps(make_job(folder)))
    (found,) = run_jobs(folder, PROGRAM, hadoop_catalog(folder))
    return found


def write_rows(folder: Path) -> None:
    """Write the records as rows of features, some of them of the next date too. A lookup has another value than the release."""
    with (folder / "rows.json").open("w") as file:
        for number, record in enumerate([*RECORDS, *RECORDS[:NEXT_ROWS]]):
            hours, minutes = map(int, record["dep_time"].split(":"))
            day = DAY if number < ROWS else NEXT
            row = {**record, "date": day, "id": number, "dep_time": hours * 60 + minutes, "tail_rates__age": 77.5}
            file.write(json.dumps(row) + "\n")


def make_job(folder: Path) -> dict[str, Any]:
    """Return the job for both dates; the files of its release are in the folder."""

    def stored(body: bytes) -> dict[str, str]:
        (folder / sha256(body)).write_bytes(body)
        return {"uri": f"file://{folder}/{sha256(body)}", "sha256": sha256(body)}

    rows = model_table([RECORD], INPUTS, {})
    golden = {name: rows[name].to_pylist() for name in rows.column_names}
    golden["date"] = [(value - date(1970, 1, 1)).days for value in golden["date"]]
    return {
        "of_classes": {"graph": stored(GRAPH_OF_CLASSES), "answers": serve([RECORD], GRAPH_OF_CLASSES).predictions},
        "of_intervals": {"graph": stored(GRAPH_OF_INTERVALS), "answers": serve([RECORD], GRAPH_OF_INTERVALS).predictions},
        "large_lookups": {name: stored(large_file(table)) for name, table in FILES.items()},
        "database": "lab",
        "owner": "lab",
        "name": "features",
        "row_key": ["id"],
        "scores": "scores",
        "release": {
            "id": RELEASE,
            "graph": stored(GRAPH),
            "lookups": {name: stored(canonical_json(document)) for name, document in FILES.items()},
            "inputs": INPUTS.model_dump(mode="json"),
            "golden": golden,
            "answers": [ANSWER],
            "spread": 1.0,
            "onnxruntime": onnxruntime.__version__,
        },
        "days": {
            DAY: {"key": "k1", "rows": ROWS, "held": None},
            NEXT: {"key": "k2", "rows": NEXT_ROWS, "held": None},
        },
    }


def test_each_row_gets_the_answer_of_the_model_server_to_the_bit(said: Any) -> None:
    problem, scores, _ = said["first"]
    assert problem is None
    first, served = [row for row in scores if row[0] == DAY], serve(RECORDS)
    assert [row[:3] for row in first] == [[DAY, RELEASE, number] for number in range(ROWS)]
    assert np.array([row[3] for row in first], np.float32).tobytes() == np.array(served.predictions, np.float32).tobytes()
    assert [row[4] for row in first] == [",".join(fields) for fields in served.unseen]


def test_a_killed_job_keeps_the_dates_that_it_has_committed_and_the_next_one_goes_on(said: Any) -> None:
    problem, commits = said["killed"]
    assert problem == "killed"
    assert [list(commit) for commit in commits] == [[f"perennial.{DAY}/{RELEASE}"]]
    _, scores, commits = said["first"]
    assert [list(commit) for commit in commits] == [[f"perennial.{DAY}/{RELEASE}"], [f"perennial.{NEXT}/{RELEASE}"]]
    assert len(scores) == ROWS + NEXT_ROWS


def test_a_commit_records_key_digest_and_rows(said: Any) -> None:
    partitions = [partition for commit in said["first"][2] for partition in commit.values()]
    assert [(one["key"], one["rows"], len(one["digest"])) for one in partitions] == [("k1", ROWS, 64), ("k2", NEXT_ROWS, 64)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("held", "the same release gives other scores"),
        ("rows", f"{ROWS} scores for {ROWS + 1} rows"),
        ("key", "several rows have the same key"),
        ("golden", "1 of 1 golden answers differ"),
        ("golden of classes", "1 of 1 golden answers differ"),
        ("graph", "expected 000000000000"),
        ("lookup", "expected 000000000000"),
        ("large lookup", "expected 000000000000"),
        ("type", f"features of {DAY}, scored by release {RELEASE}: column 'carrier': expected double, found string. Change"),
        ("type of other", f"other.clean_flights of {DAY}, scored by release {RELEASE}: column 'carrier': expected double, found"),
    ],
)
def test_what_does_not_fit_is_refused_and_commits_nothing(said: Any, name: str, text: str) -> None:
    assert text in str(said["refusals"][name])
    assert said["after refusals"] == [True, 2]


def test_scores_are_the_same_again_and_by_two_jobs_at_once(said: Any) -> None:
    assert said["again"] == [None, True]
    assert said["two at once"] is True


def test_the_scores_of_another_release_stand_beside(said: Any) -> None:
    problem, scores = said["other"]
    assert problem is None
    assert [row[3] for row in scores if row[1] == OTHER] == [row[3] for row in scores if row[:2] == [NEXT, RELEASE]]
    assert len([row for row in scores if row[1] != "large"]) == ROWS + 2 * NEXT_ROWS


def test_the_scores_of_several_classes_are_all_probabilities_and_the_likeliest_class(said: Any) -> None:
    problem, scores = said["of classes"]
    assert problem is None
    assert said["of classes again"] == [None, True]
    served = np.array(serve(RECORDS, GRAPH_OF_CLASSES).predictions, np.float32)
    assert np.array([row[3] for row in scores], np.float32).tobytes() == served.tobytes()
    assert [row[5] for row in scores] == [CLASSES[place] for place in served.argmax(axis=1)]


def test_the_scores_of_numbers_have_the_bounds_of_their_intervals(said: Any) -> None:
    problem, scores = said["of intervals"]
    assert problem is None
    served = np.array(serve(RECORDS, GRAPH_OF_INTERVALS).predictions, np.float32)
    assert np.array([[row[3], *row[5:]] for row in scores], np.float32).tobytes() == served.tobytes()


def test_lookups_in_mapped_files_give_the_same_scores(said: Any) -> None:
    problem, scores = said["large"]
    assert problem is None
    assert [[row[0], *row[2:]] for row in scores] == [[row[0], *row[2:]] for row in said["first"][1]]


def test_rows_of_another_database_are_scored_into_the_own_one(said: Any) -> None:
    assert said["of other"] == said["clean"]


def test_rows_of_a_clean_table_are_cast_to_the_request(said: Any) -> None:
    problem, scores = said["clean"]
    assert problem is None
    rounded = [{**record, "distance": round(record["distance"], 3)} for record in RECORDS]
    assert np.allclose([row[3] for row in scores], serve(rounded).predictions, rtol=0, atol=1e-6)
