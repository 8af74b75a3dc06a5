"""Serving and training see the same: raw records sent to the endpoint get the probabilities of the training path."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from command_line import perennial

from perennial.analyse.plan import plan_analyse
from perennial.calendar import DAY
from perennial.clean.plan import plan_clean
from perennial.collect.collect import collect
from perennial.config.pipeline import Inputs
from perennial.demo.feed import feed
from perennial.deploy.release import read_release
from perennial.evaluate.holdout import read_file
from perennial.frames.pipeline_data import open_data
from perennial.lake.lake import Lake
from perennial.lake.tables import read_rows
from perennial.models.scoring import score
from perennial.spark.submit import submit
from stack.config import REPO
from stack.demo_flight import Record, flight_records

PIPELINE = "flight_delays"
FIRST, RELEASED = date(2013, 11, 22), date(2013, 12, 1)
NEXT = RELEASED + DAY
"""One of the busiest days of the year: 998 of its flights arrived."""
TOLERANCE = 1e-5
UNSEEN_OF_EACH = 20


@dataclass(frozen=True, slots=True)
class Case:
    """A release, the rows of the next day as training would read them, and the same flights as raw records."""

    lake: Lake
    release: dict[str, Any]
    features: pa.Table
    records: list[Record]


@pytest.fixture(scope="module")
def case(stack) -> Case:
    lake = stack.lake(PIPELINE)
    feed(lake, FIRST, RELEASED)
    stack.airflow.wait_for_dag(f"retrain_{PIPELINE}")
    stack.airflow.unpause(f"retrain_{PIPELINE}")
    run_id = stack.airflow.trigger(f"retrain_{PIPELINE}", {"date": RELEASED.isoformat()})
    state, tasks = stack.airflow.wait(f"retrain_{PIPELINE}", run_id, 900)
    assert state == "success", tasks
    released = stack.airflow.result(f"retrain_{PIPELINE}", run_id, "deploy")["released"]

    feed(lake, NEXT, NEXT)
    collect(lake, NEXT)
    assert submit(plan_clean(lake, NEXT))
    assert submit(plan_analyse(lake, NEXT))
    records = {_key(row): record for row, record in flight_records(NEXT)}
    features = _features_of(lake, NEXT)
    return Case(lake, read_release(lake, released), features, [records[_key(row)] for row in features.to_pylist()])


def test_a_days_raw_records_get_the_probabilities_of_training(stack, case: Case) -> None:
    answers = _ask(stack, case.records)

    expected = score(_model(case), case.features, _inputs(case))
    assert len(expected) >= 990
    np.testing.assert_allclose([one["probability"] for one in answers], expected, rtol=0, atol=TOLERANCE)
    assert np.std(expected) > 0.02  # a constant would agree with anything
    # The day brings aircraft that no lookup has seen, so the table itself says what an unseen key must give.
    assert case.features["tail_rates__late_logit"].null_count > 0


def test_a_days_scores_are_the_answers_of_the_endpoint_to_the_bit(stack, case: Case) -> None:
    answers = {_key(row): answer for row, answer in zip(case.features.to_pylist(), _ask(stack, case.records), strict=True)}

    scored = perennial("score", PIPELINE, "--date", NEXT.isoformat())

    assert (scored["outcome"], scored["release"]) == ("done", case.release["release"])
    assert scored["rows"] == {NEXT.isoformat(): len(answers)}
    frame = open_data(PIPELINE).scores(NEXT)
    found = {_key(row): [row["p"], row["unseen"]] for row in frame.to_dict("records")}
    assert found == {key: [answer["probability"], ",".join(answer["unseen"])] for key, answer in answers.items()}
    assert perennial("score", PIPELINE, "--date", NEXT.isoformat())["outcome"] == "unchanged"


def test_the_notebook_and_the_page_about_python_run_on_these_flights(
    stack, case: Case, documented: Callable[[str, str], list[str]]
) -> None:
    """They find the stack as the command line does: by the file in its state folder."""
    notebook = json.loads((REPO / "docs/notebooks/look-at-a-pipeline.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 8
    shown = "print(len(decisions), len(features), len(predictions), sorted(set(predictions['y'])))"
    environment = {"PERENNIAL_VAR": str(stack.config.var), "PYTHONPATH": str(REPO / "include"), "PATH": "/usr/bin:/bin"}
    for code in ("\n".join(cells), "\n".join(documented("docs/how-to/use-python.md", "python"))):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", f"{code}\n{shown}"],
            env=environment, cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        decided, rows, predicted, classes = done.stdout.split(maxsplit=3)
        assert (int(decided), classes.strip()) == (1, "[0, 1]")
        assert int(rows) > 500
        assert int(predicted) > 500


@pytest.mark.parametrize(
    "lookup", ["carrier_rates", "dest_rates", "origin_carrier_rates", "flight_rates", "tail_rates", "planes_known"]
)
def test_a_key_unseen_in_a_lookup_gets_what_training_would_give(stack, case: Case, lookup: str) -> None:
    inputs = _inputs(case)
    assert set(inputs.lookups) >= {lookup}
    keys = inputs.lookups[lookup].key
    table, records = case.features.slice(0, UNSEEN_OF_EACH), case.records[:UNSEEN_OF_EACH]
    unseen = [{**record, **dict.fromkeys(keys, "~never~")} for record in records]
    touched = [name for name, spec in inputs.lookups.items() if set(spec.key) & set(keys)]
    for name in keys:
        table = _set(table, name, pa.array(["~never~"] * len(table)))
    for name in touched:
        for value in inputs.lookups[name].values:
            table = _set(table, f"{name}__{value}", pa.nulls(len(table), pa.float64()))

    answers = _ask(stack, unseen)

    np.testing.assert_allclose(
        [one["probability"] for one in answers], score(_model(case), table, inputs), rtol=0, atol=TOLERANCE
    )


def test_the_answer_says_which_release_and_which_data(stack, case: Case) -> None:
    body = _post(stack, case.records[:1])

    assert (body["model_version"], body["as_of"]) == (case.release["version"], NEXT.isoformat())


def _ask(stack, records: list[Record]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _post(stack, records)["predictions"]
    return found


def _post(stack, records: list[Record]) -> dict[str, Any]:
    answer = httpx.post(f"{stack.endpoint(PIPELINE)}/predict", json=records, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _features_of(lake: Lake, day: date) -> pa.Table:
    state = lake.tables.state("features")
    inputs = lake.pipeline.inputs
    columns = list(dict.fromkeys(["date", *lake.pipeline.row_key, *inputs.numbers, *inputs.texts]))
    return read_rows(state.metadata_location, state.snapshot_id, [day], columns)


def _key(row: dict[str, Any]) -> tuple[str, str, str, int]:
    """Return a flight's row key; a drop writes the time as hhmm text, the table as minutes since midnight."""
    time = row["sched_dep_time"]
    minutes = time if isinstance(time, int) else int(time) // 100 * 60 + int(time) % 100
    return row["carrier"], str(row["flight"]), row["origin"], minutes


def _model(case: Case) -> bytes:
    return read_file(case.lake, case.release, "model.onnx")


def _inputs(case: Case) -> Inputs:
    return Inputs.model_validate(case.release["inputs"])


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
