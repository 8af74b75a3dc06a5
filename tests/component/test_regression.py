"""A pipeline that predicts a number, from its training to the answers of its server, and in all that reads its results."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from lab import LAST, Lab, features_table
from steps import D2, D3, run_day

from perennial.config.candidates import Blend, Linear, default_candidates
from perennial.config.pipeline import Floors, NumberLabel
from perennial.deploy.deploy import deploy
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.evaluate import evaluate
from perennial.evaluate.track_record import track_records
from perennial.experiments.compare import compare
from perennial.frames.decisions import champion_row, decision_rows, prediction_rows
from perennial.lake.lake import Lake
from perennial.report.page import page
from perennial.report.walk_forward import CHAMPION, walk_forward
from perennial.runtime.child_process import child
from perennial.runtime.endpoints import endpoint_url
from perennial.runtime.process_serving import ProcessRuntime
from perennial.settings import server_environment

HOT = {"temperature": 85.0, "pressure": 8.0, "machine": "M07", "mode": "boost"}
COLD = {**HOT, "temperature": 40.0, "pressure": None}


def with_wear() -> pa.Table:
    """Return the features with a number that grows with the temperature."""
    table = features_table()
    noise = np.random.default_rng(8).gamma(1.0, 4.0, table.num_rows)
    return table.append_column("wear", pa.array(1000 + 2 * table["temperature"].to_numpy() + noise))


@pytest.fixture
def lake(lab: Lab) -> Lake:
    """The lake of a pipeline that predicts the mean wear."""
    lab.write_table("features", with_wear(), "date")
    candidates = default_candidates("regression", "mean")
    # A network adds half a minute here: the tests of families train it.
    chosen = {
        "linear": candidates["linear"],
        "boosted": candidates["boosted"],
        "blend": Blend(of=["linear", "boosted"]),
    }
    training = lab.pipeline.training.model_copy(update={"candidates": chosen})
    changes = {
        "task": "regression",
        "label": NumberLabel(column="wear", predict="mean", interval=0.8),
        "training": training,
        "gate": lab.pipeline.gate.model_copy(update={"floors": Floors(rows=100, skill=0.5)}),
    }
    return replace(lab.lake, pipeline=lab.pipeline.model_copy(update=changes))


def check_all_that_reads_results(lake: Lake) -> None:
    report = walk_forward(lake, date.min, date.max)
    last = report.days[-1].scores
    assert last[CHAMPION].loss < 0.2 * last["constant forecast"].loss
    assert last[CHAMPION].roc_auc is None
    html = page(report)
    for text in ("Squared error (lower is better)", "Skill", "the mean, median or quantile of the window"):
        assert text in html
    assert report.days[-1].held is not None
    assert 0.6 < report.days[-1].held / report.days[-1].labelled < 0.95
    assert "Intervals of the champions held" in html
    assert "ROC AUC" not in html
    record = track_records(lake, ["linear"])["linear"]
    assert record.metrics.keys() == {"squared_error", "skill"}
    assert record.dates == 2
    policies = compare({"main": lake}, D2, LAST).policies
    assert policies[0].score.loss == pytest.approx(report.pooled[CHAMPION].loss, rel=0.5)
    champion = champion_row(lake).to_pylist()[0]
    assert 1100 < champion["constant"] < 1140
    assert champion["skill"] > 0.5
    predicted = prediction_rows(lake, D3, "linear")
    assert predicted.column_names == ["date", "reading_id", "y", "p", "low", "high"]
    assert np.corrcoef(predicted["y"].to_numpy(), predicted["p"].to_numpy())[0, 1] > 0.9
    assert decision_rows(lake).num_rows == 2


def test_a_number_is_trained_judged_reported_released_and_served(lake: Lake, process_runtime: ProcessRuntime) -> None:
    first, second = run_day(lake, D2), run_day(lake, D3)
    assert first.decision == "PROMOTE", first.reasons
    assert [candidate["name"] for candidate in first.candidates] == ["linear", "boosted", "blend"]
    assert all(0.5 < candidate["skill"] < 1 and "roc_auc" not in candidate for candidate in first.candidates), first.candidates
    assert all(0.7 < candidate["interval_coverage"] < 0.9 for candidate in first.candidates), first.candidates
    widths = [candidate["interval_width"] for candidate in first.candidates]
    assert max(widths) < 1.02 * min(widths)  # the quantiles are those of the date, and each interval holds the candidate's value
    assert second.decision in ("PROMOTE", "HOLD"), second.reasons
    assert any("skill" in reason for reason in second.reasons)
    body = lake.objects.read_existing(read_chain(lake).entries[str(D3)].uri).json()
    assert body["gate"]["margin"] == {"skill": 0.1}
    assert body["gate"]["floors"] == {"rows": 100, "skill": 0.5}
    assert body["candidates"][0]["delta"].keys() == {"skill"}
    assert body["opponents"][0]["metrics"]["skill"] > 0.5
    assert 1100 < body["holdout"]["mean_label"] < 1140

    check_all_that_reads_results(lake)

    port = endpoint_url(lake.pipeline.name).rsplit(":", 1)[1]
    serving = child("perennial.serve", ["--pipeline", lake.pipeline.name, "--port", port], server_environment())
    with serving, process_runtime.endpoint() as client:
        deploy(lake, D3, process_runtime)
        answer = client.post("/predict", json=[HOT, COLD]).json()
        hot, cold = (one["value"] for one in answer["predictions"])
        assert (hot, cold) == (pytest.approx(1174, abs=6), pytest.approx(1084, abs=6))
        assert all(one["low"] <= one["value"] <= one["high"] < one["low"] + 60 for one in answer["predictions"])
        metadata = client.get(f"/v2/models/{lake.pipeline.name}").json()
        assert metadata["outputs"] == [
            {"name": "value", "datatype": "FP32", "shape": [-1]},
            {"name": "low", "datatype": "FP32", "shape": [-1]},
            {"name": "high", "datatype": "FP32", "shape": [-1]},
            {"name": "unseen", "datatype": "BYTES", "shape": [-1]},
        ]
        kinds = {"temperature": "FP64", "pressure": "FP64", "machine": "BYTES", "mode": "BYTES"}
        inputs = [{"name": name, "shape": [1], "datatype": kind, "data": [HOT[name]]} for name, kind in kinds.items()]
        infer = client.post(
            f"/v2/models/{lake.pipeline.name}/infer", json={"inputs": inputs, "outputs": [{"name": "value"}, {"name": "high"}]}
        )
        assert infer.json()["outputs"] == [
            {"name": "value", "datatype": "FP32", "shape": [1], "data": [hot]},
            {"name": "high", "datatype": "FP32", "shape": [1], "data": [answer["predictions"][0]["high"]]},
        ]
        refused = client.post(
            f"/v2/models/{lake.pipeline.name}/infer", json={"inputs": inputs, "outputs": [{"name": "probability"}]}
        )
        assert refused.status_code == 422
        assert "expected one of value, low, high, unseen" in refused.text


def test_a_champion_of_another_task_is_not_compared(lab: Lab, lake: Lake) -> None:
    lab.train("mlp", D2, 0.1)
    lab.train("logistic", D2, -0.05)
    evaluate(lab.lake, D2, run_id="test", force_decision="PROMOTE", force_reason="test")
    linear = lake.pipeline.training.model_copy(update={"candidates": {"linear": Linear()}})
    alone = replace(lake, pipeline=lake.pipeline.model_copy(update={"training": linear}))
    decision = run_day(alone, D3)
    assert decision.decision == "HOLD"
    assert any("it predicts fault = true, and today's label is the mean of wear" in reason for reason in decision.reasons)
