"""Candidates with parameters and blends, from the plan to the decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from authors import FOREST, NETWORK, TORCH_NETWORK
from lab import LAST, Lab, of_one_class
from scipy.special import expit, logit
from scripted_cluster import ScriptedCluster, runs_trainer

from perennial.config.pipeline import Training
from perennial.errors import PerennialError, RefusedError
from perennial.evaluate.evaluate import evaluate
from perennial.evaluate.holdout import read_predictions
from perennial.evaluate.track_record import track_records
from perennial.fingerprints.causes import explain
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.fingerprints.recipes import recipe_of
from perennial.lake.lake import Lake
from perennial.lake.result import Skipped
from perennial.runtime import environment, pod_training
from perennial.runtime.choice import open_trainer
from perennial.stages import Run, stages_of
from perennial.train import needs
from perennial.train.plan import plan_training
from perennial.train.trainings import read_model
from perennial.train.work import plan_work

OWN = {
    "forest": {
        "family": "sklearn",
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "params": {"n_estimators": 10, "min_samples_leaf": 5},
    },
    "net": {"family": "keras", "epochs": 2},
    "own": {"family": "file"},
    "blend": None,
}
CANDIDATES = {"logistic": None, "boosted": {"trees": 20}, "blend": None}


@pytest.fixture
def lake_with(lab: Lab) -> Callable[[Any], Lake]:
    def make(candidates: Any) -> Lake:
        chosen = Training.model_validate({"candidates": candidates}).candidates
        training = lab.pipeline.training.model_copy(update={"candidates": chosen})
        return replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"training": training}))

    return make


@pytest.fixture
def own_lake(lab: Lab, lake_with: Callable[[Any], Lake]) -> Lake:
    """Return a lake whose pipeline has candidates of scikit-learn, Keras and an author's file."""
    folder = lab.pipeline.folder / "candidates"
    folder.mkdir()
    (folder / "net.py").write_text(NETWORK)
    (folder / "own.py").write_text(FOREST)
    return lake_with(OWN)


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


def test_a_blend_of_skipped_parts_is_skipped_for_their_reason(lab: Lab, own_lake: Lake) -> None:
    lab.write_table("features", of_one_class(LAST), "date")
    results = run_stages(own_lake)
    assert all(isinstance(result, Skipped) for result in results.values()), results
    assert len({result.reason for result in results.values()}) == 1


def test_trees_and_blends_give_the_same_bits_again(lake_with: Callable[[Any], Lake]) -> None:
    lake = lake_with(CANDIDATES)
    first = run_stages(lake)
    again = run_stages(lake, recompute=True)  # refused, should a bit differ
    assert [result.version for result in again.values()] == [result.version for result in first.values()]


@pytest.mark.tensorflow
def test_candidates_of_other_libraries_are_trained_and_blended(own_lake: Lake) -> None:
    first = run_stages(own_lake)
    assert list(first) == list(OWN)
    manifests = {name: read_model(own_lake, result.manifest) for name, result in first.items()}
    assert {tuple(manifest["files"]) for manifest in manifests.values()} == {("model.onnx", "predictions.parquet")}
    parts = np.array([read_predictions(own_lake, manifests[name])["p"].to_numpy() for name in ("forest", "net", "own")])
    found = read_predictions(own_lake, manifests["blend"])["p"].to_numpy()
    is_far = (np.abs(parts - 0.5) < 0.499).all(axis=0)  # a stored probability near 0 or 1 has lost the digits of its odds
    assert is_far.mean() > 0.9
    np.testing.assert_allclose(found[is_far], expit(logit(parts[:, is_far]).mean(axis=0)), atol=1e-5)


@pytest.fixture
def torch_lake(lab: Lab, lake_with: Callable[[Any], Lake]) -> Lake:
    """Return a lake whose pipeline has a candidate of PyTorch."""
    folder = lab.pipeline.folder / "candidates"
    folder.mkdir()
    (folder / "net.py").write_text(TORCH_NETWORK)
    return lake_with({"logistic": None, "net": {"family": "pytorch"}, "blend": None})


@pytest.mark.torch
def test_a_network_of_pytorch_is_trained_in_its_own_environment_and_judged_beside_the_others(torch_lake: Lake) -> None:
    first = run_stages(torch_lake)
    manifests = {name: read_model(torch_lake, result.manifest) for name, result in first.items()}
    assert tuple(manifests["net"]["files"]) == ("model.onnx", "predictions.parquet")
    assert first["net"].metrics["roc_auc"] > 0.6
    decision = evaluate(torch_lake, LAST, run_id="test")
    assert [candidate["name"] for candidate in decision.candidates] == ["logistic", "net", "blend"]
    again = run_stages(torch_lake, recompute=True)  # refused, should a bit differ
    assert [result.version for result in again.values()] == [result.version for result in first.values()]


def test_a_training_without_the_environment_of_its_family_is_refused_before_it_starts(
    torch_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(environment.PYTHONS, environment.TORCH, torch_lake.pipeline.folder / "none")
    with pytest.raises(RefusedError, match=r"(?s)training\.candidates\.net: pytorch needs PyTorch, and .* Run `make torch`"):
        plan_work(torch_lake, LAST, "net")
    assert plan_work(torch_lake, LAST, "logistic")[1] is not None


def test_an_image_without_the_libraries_of_a_family_refuses_its_job(torch_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_RUNTIME", "kubernetes")
    monkeypatch.setenv("PERENNIAL_TORCH_TRAINER_IMAGE", "perennial-trainer:1")
    monkeypatch.setattr(pod_training, "Cluster", lambda _: ScriptedCluster([runs_trainer]))
    monkeypatch.setattr(pod_training, "POLL_SECONDS", 0.05)
    _, work = plan_work(torch_lake, LAST, "net")
    assert work is not None
    with pytest.raises(RefusedError, match=r"torch: no version is installed, the job needs 2\."):
        open_trainer(torch_lake).train(work)


def test_an_edit_of_a_file_makes_its_own_candidate_and_the_blend_stale(own_lake: Lake) -> None:
    def keys() -> dict[str, Any]:
        return {name: plan_training(own_lake, LAST, name).key for name in OWN}

    file = own_lake.pipeline.folder / "candidates" / "own.py"
    before = keys()
    assert "candidates/own.py" in before["own"].parts.configuration
    file.write_text(f'"""Trees."""\n{FOREST}    # a comment\n')
    assert keys() == before
    file.write_text(FOREST.replace("20", "21"))
    after = keys()
    assert [name for name in before if before[name] != after[name]] == ["own", "blend"]
    assert explain(after["own"], before["own"], [recipe_of(before["own"])]) == [
        StaleCause(Category.CONFIGURATION, "candidates/own.py changed")
    ]


def test_an_author_whose_file_fails_learns_file_and_line_from_the_refusal(own_lake: Lake) -> None:
    file = own_lake.pipeline.folder / "candidates" / "own.py"
    file.write_text("def fit(rows, task, seed):\n    return rows.nothing\n")
    _, work = plan_work(own_lake, LAST, "own")
    assert work is not None
    with pytest.raises(RefusedError, match=r"candidates/own\.py, line 2: AttributeError: .* in `return rows\.nothing`"):
        open_trainer(own_lake).train(work)


def test_settings_and_windows_that_cannot_be_trained_are_refused_by_the_plan(
    own_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "find_memory", lambda: 60_000)
    with pytest.raises(RefusedError, match=r"the training of own for .* does not fit: memory: .* rows of the window at once"):
        plan_work(own_lake, LAST, "own")
    monkeypatch.undo()
    chosen = own_lake.pipeline.training.candidates
    wrong = chosen["forest"].model_copy(update={"params": {"n_estimator": 10}})
    training = own_lake.pipeline.training.model_copy(update={"candidates": {**chosen, "forest": wrong}})
    lake = replace(own_lake, pipeline=own_lake.pipeline.model_copy(update={"training": training}))
    with pytest.raises(RefusedError, match=r"training\.candidates\.forest\.params\.n_estimator: unknown parameter"):
        plan_work(lake, LAST, "forest")
    assert plan_work(lake, LAST, "net")[1] is not None
