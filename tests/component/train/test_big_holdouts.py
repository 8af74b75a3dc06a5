"""A holdout that is read in many parts gets the decision and the report of one that is read at once."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from lab import HOLDOUT, ROWS, Lab, features_table
from steps import D1, D2

from perennial.config.candidates import Logistic
from perennial.config.pipeline import Pipeline
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.decision import decision_fingerprint
from perennial.evaluate.evaluate import evaluate
from perennial.evaluate.holdout import read_file
from perennial.lake import parts, sample
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.lake.sample import ALL
from perennial.report.walk_forward import walk_forward
from perennial.train.__main__ import run_job
from perennial.train.plan import plan_training
from perennial.train.trainings import read_model

UNKNOWN = D1 - timedelta(days=2)
"""The date of which a range has no labels."""

CHANGES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "all rows": ({}, {}),
    "a share of the rows": ({"max_rows": 300}, {}),
    "labels of their own": ({}, {"known_after_days": 1}),
    "a share of the rows with labels of their own": ({"max_rows": 300}, {"known_after_days": 1}),
}


def edited(pipeline: Pipeline, gate: dict[str, Any], label: dict[str, Any]) -> Pipeline:
    training = pipeline.training.model_copy(update={"candidates": {"logistic": Logistic()}})
    return pipeline.model_copy(
        update={
            "training": training,
            "gate": pipeline.gate.model_copy(update=gate),
            "label": pipeline.label.model_copy(update=label),
        }
    )


def run_dates(lake: Lake) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train and judge two dates, of which the first one promotes, and return the decisions and the report."""
    for day in (D1, D2):
        for job in plan_training(lake, day, "logistic").jobs:
            run_job(lake.objects, job)
        force = {"force_decision": "PROMOTE", "force_reason": "test"} if day == D1 else {}
        evaluate(lake, day, run_id="r", **force)  # type: ignore[arg-type]
    decisions = [lake.objects.read_existing(entry.uri).json() for entry in read_chain(lake).entries.values()]
    report = walk_forward(lake, date.min, date.max)
    scores = [day.scores for day in report.days] + [report.pooled]
    values = {f"{at} {name}": asdict(score) for at, found in enumerate(scores) for name, score in found.items()}
    return decisions, values


def model_of_second_date(lake: Lake) -> ModelManifest:
    return read_model(lake, str(plan_training(lake, D2, "logistic").manifest_uri))


def count_rows(lake: Lake) -> list[Any]:
    manifest = model_of_second_date(lake)
    return [manifest["rows"], manifest.get("unlabelled_rows"), manifest.get("unmatched_labels")]


def count_parts(lake: Lake) -> int:
    """Return the number of parts in which the predictions of the second date were written."""
    manifest = model_of_second_date(lake)
    return int(pq.ParquetFile(io.BytesIO(read_file(lake, manifest, "predictions.parquet"))).num_row_groups)


def forget(lake: Lake) -> None:
    """Delete all results, but not the tables."""
    for uri in list(lake.objects.list(f"{lake.layout.root}/")):
        if "/lab/" not in uri:
            lake.objects.delete(uri)


def _is_in_the_middle(hashes: Any) -> Any:
    """Return whether hashes lie in the second of three ranges."""
    return pc.and_(pc.greater_equal(hashes, ALL // 3), pc.less(hashes, ALL * 2 // 3))


@pytest.mark.parametrize(("gate", "label"), CHANGES.values(), ids=CHANGES)
def test_parts_decide_what_the_whole_decides(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, gate: dict[str, Any], label: dict[str, Any]
) -> None:
    if label:
        table = features_table()
        known = table.filter(pc.not_equal(pc.bit_wise_and(table["reading_id"], 15), 0))
        known = known.filter(pc.invert(pc.and_(pc.equal(known["date"], UNKNOWN), _is_in_the_middle(known["__sample"]))))
        lab.write_table("labels", known.select(["date", "reading_id", "fault", "__sample"]), "date")
    lake = replace(lab.lake, pipeline=edited(lab.pipeline, gate, label))
    monkeypatch.setattr(sample, "MIN_JUDGED", 10)
    whole, report = run_dates(lake)
    assert count_parts(lake) == 1
    facts = count_rows(lake)
    forget(lake)
    monkeypatch.setattr(parts, "MAX_READ", 50)
    divided, report_of_parts = run_dates(lake)
    assert count_parts(lake) == (HOLDOUT if gate else HOLDOUT * 3 - bool(label))
    assert count_rows(lake) == facts
    assert divided == whole
    assert report_of_parts == {name: pytest.approx(values, abs=1e-12) for name, values in report.items()}
    holdout = whole[-1]["holdout"]
    assert whole[-1]["candidates"][0]["comparisons"][0]["rows"] == holdout["rows"]
    assert len(holdout["days"]) == HOLDOUT, "no day is left out"
    if gate:
        assert 220 < holdout["rows"] < 380
        assert holdout["of_rows"] == HOLDOUT * ROWS
        assert whole[-1]["gate"]["max_rows"] == 300
    else:
        assert "of_rows" not in holdout
        assert "max_rows" not in whole[-1]["gate"]
        assert np.isclose(holdout["rows"], HOLDOUT * ROWS, rtol=0.15)


def test_a_bound_trains_and_judges_again_only_if_it_leaves_rows_out(lab: Lab) -> None:
    keys, decisions = [], []
    for gate in ({}, {"max_rows": HOLDOUT * ROWS}, {"max_rows": HOLDOUT * ROWS - 1}, {"max_rows": 300}):
        lake = replace(lab.lake, pipeline=edited(lab.pipeline, gate, {}))
        plan = plan_training(lake, D1, "logistic")
        keys.append(plan.key)
        decisions.append(decision_fingerprint(lake, D1, read_chain(lake), {"logistic": str(plan.manifest_uri)}))
    for fingerprints in (keys, decisions):
        assert fingerprints[0] == fingerprints[1]
        assert len(set(fingerprints)) == 3
