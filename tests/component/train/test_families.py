"""Candidates with parameters and blends, from the plan to the decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from lab import LAST, Lab, of_one_class

from perennial.config.pipeline import Training
from perennial.errors import PerennialError
from perennial.evaluate.evaluate import evaluate
from perennial.evaluate.holdout import read_predictions
from perennial.evaluate.track_record import track_records
from perennial.lake.lake import Lake
from perennial.lake.result import Skipped
from perennial.runtime.choice import open_trainer
from perennial.stages import Run, stages_of
from perennial.train.plan import plan_training, read_model
from perennial.train.work import plan_work

CANDIDATES = {"logistic": None, "boosted": {"trees": 20}, "blend": None}


@pytest.fixture
def lake_with(lab: Lab) -> Callable[[Any], Lake]:
    def make(candidates: Any) -> Lake:
        chosen = Training.model_validate({"candidates": candidates}).candidates
        training = lab.pipeline.training.model_copy(update={"candidates": chosen})
        return replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"training": training}))

    return make


def run_stages(lake: Lake, *, recompute: bool = False) -> dict[str, Any]:
    """Run train and blend of the last date as the DAG does, and return the results by candidate."""
    run = Run(lake, LAST, "test", recompute=recompute)
    stages = [stage for stage in stages_of(lake.pipeline) if stage.name in ("train", "blend")]
    return {name: stage.run(run, name) for stage in stages for name in stage.candidates(lake.pipeline)}


def test_a_blend_is_trained_after_its_parts_and_judged_beside_them(lake_with: Callable[[Any], Lake]) -> None:
    lake = lake_with(CANDIDATES)
    assert [stage.name for stage in stages_of(lake.pipeline)][3:6] == ["train", "blend", "evaluate"]
    results = run_stages(lake)
    assert list(results) == ["logistic", "boosted", "blend"]
    manifests = {name: read_model(lake, result.manifest) for name, result in results.items()}
    parts = [read_predictions(lake, manifests[name])["p"].to_numpy() for name in ("logistic", "boosted")]
    found = read_predictions(lake, manifests["blend"])["p"].to_numpy()
    np.testing.assert_allclose(np.log(found / (1 - found)), np.mean([np.log(p / (1 - p)) for p in parts], axis=0), atol=1e-5)
    assert manifests["blend"]["rows"] == manifests["logistic"]["rows"]
    assert manifests["blend"]["constant"] == manifests["logistic"]["constant"]
    assert {name: list(manifest["files"]) for name, manifest in manifests.items()} == {
        "logistic": ["model.onnx", "predictions.parquet", "weights.safetensors"],
        "boosted": ["model.onnx", "predictions.parquet"],
        "blend": ["model.onnx", "predictions.parquet"],
    }
    decision = evaluate(lake, LAST, run_id="test")
    assert [candidate["name"] for candidate in decision.candidates] == ["logistic", "boosted", "blend"]
    assert {name: record.dates for name, record in track_records(lake, [*CANDIDATES, "other"]).items()} == {
        "logistic": 1,
        "boosted": 1,
        "blend": 1,
        "other": 0,
    }
    again = Run(lake, LAST, "again")
    assert all(stage.find(again, lake) is not None for stage in stages_of(lake.pipeline) if stage.name in ("train", "blend"))


def test_a_model_that_loses_to_the_constant_forecast_says_so(lake_with: Callable[[Any], Lake]) -> None:
    good, wild = {"family": "logistic", "C": 0.03}, {"family": "xgboost", "learning_rate": 1.0, "trees": 300, "reg_lambda": 0.0}
    results = run_stages(lake_with({"good": good, "wild": {**wild, "min_child_weight": 0.0, "max_depth": 12}}))
    assert results["good"].warnings == []
    (warning,) = results["wild"].warnings
    assert "that of the constant forecast of the window, 0." in warning


def test_a_parameter_makes_its_own_candidate_and_the_blend_stale(lake_with: Callable[[Any], Lake]) -> None:
    def keys(candidates: Any) -> dict[str, str | None]:
        lake = lake_with(candidates)
        return {name: plan_training(lake, LAST, name).key for name in lake.pipeline.training.candidates}

    before, after = keys(CANDIDATES), keys({**CANDIDATES, "boosted": {"trees": 21}})
    assert [name for name in before if before[name] != after[name]] == ["boosted", "blend"]
    assert keys(["logistic", "boosted", "blend"]) == keys({"logistic": {}, "boosted": {"family": "xgboost"}, "blend": {}})


def test_a_blend_of_a_part_that_is_not_trained_says_which(lake_with: Callable[[Any], Lake]) -> None:
    lake = lake_with(CANDIDATES)
    blend = next(stage for stage in stages_of(lake.pipeline) if stage.name == "blend")
    with pytest.raises(PerennialError, match=r"candidate 'logistic' of .* is not trained"):
        blend.run(Run(lake, LAST, "test"), "blend")


def test_a_batch_of_a_blend_leaves_out_dates_whose_parts_are_not_trained(lake_with: Callable[[Any], Lake]) -> None:
    lake, before = lake_with(CANDIDATES), LAST - timedelta(days=1)
    for name in ("logistic", "boosted"):
        _, work = plan_work(lake, before, name)
        assert work is not None
        open_trainer(lake).train(work)
    _, work = plan_work(lake, before, "blend", until=LAST)
    assert work is not None
    assert len(work.jobs) == 1


def test_a_blend_of_skipped_parts_is_skipped_for_their_reason(lab: Lab, lake_with: Callable[[Any], Lake]) -> None:
    lab.write_table("features", of_one_class(LAST), "date")
    results = run_stages(lake_with(CANDIDATES))
    assert all(isinstance(result, Skipped) for result in results.values()), results
    assert len({result.reason for result in results.values()}) == 1


def test_trees_and_blends_give_the_same_bits_again(lake_with: Callable[[Any], Lake]) -> None:
    lake = lake_with(CANDIDATES)
    first = run_stages(lake)
    again = run_stages(lake, recompute=True)  # refused, should a bit differ
    assert [result.version for result in again.values()] == [result.version for result in first.values()]
