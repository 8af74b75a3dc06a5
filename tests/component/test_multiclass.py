"""A pipeline that predicts one of several classes, from its training to the answers of its server and its reports."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from lab import LAST, Lab, features_table
from steps import D2, D3, run_day

from perennial.config.candidates import Blend, default_candidates
from perennial.config.label import ClassesLabel
from perennial.config.pipeline import Floors
from perennial.deploy.deploy import deploy
from perennial.evaluate.chain_store import read_chain
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
CLASSES = ["cool", "warm", "on fire", "hot"]


def with_heat() -> pa.Table:
    """Return the features with a class that follows the temperature; none is on fire."""
    table = features_table()
    noisy = table["temperature"].to_numpy() + np.random.default_rng(8).normal(0, 4, table.num_rows)
    return table.append_column("heat", pa.array(np.array(["cool", "warm", "hot"])[np.digitize(noisy, [55, 70])].tolist()))


@pytest.fixture
def lake(lab: Lab) -> Lake:
    """The lake of a pipeline that predicts the heat."""
    lab.write_table("features", with_heat(), "date")
    # A network adds half a minute here: the tests of families train it.
    chosen = {name: default_candidates("multiclass", None)[name] for name in ("logistic", "boosted")}
    training = lab.pipeline.training.model_copy(update={"candidates": {**chosen, "blend": Blend(of=list(chosen))}})
    changes = {
        "task": "multiclass",
        "label": ClassesLabel(column="heat", classes=CLASSES),
        "training": training,
        "gate": lab.pipeline.gate.model_copy(update={"floors": Floors(rows=100, skill=0.2)}),
    }
    return replace(lab.lake, pipeline=lab.pipeline.model_copy(update=changes))


def check_all_that_reads_results(lake: Lake) -> None:
    report = walk_forward(lake, date.min, date.max)
    last = report.days[-1].scores
    assert last[CHAMPION].loss < 0.8 * last["constant forecast"].loss
    assert float(last[CHAMPION].roc_auc or 0) > 0.8
    assert last["constant forecast"].roc_auc == pytest.approx(0.5)
    html = page(report)
    for text in ("Log loss (lower is better)", "ROC AUC", "the share of each class in the window"):
        assert text in html
    record = track_records(lake, ["logistic"])["logistic"]
    assert record.metrics.keys() == {"log_loss", "roc_auc"}
    assert record.dates == 2
    policies = compare({"main": lake}, D2, LAST).policies
    assert policies[0].score.loss == pytest.approx(report.pooled[CHAMPION].loss, rel=0.5)
    champion = champion_row(lake).to_pylist()[0]
    assert len(champion["constant"]) == 4
    assert sum(champion["constant"]) == pytest.approx(1)
    predicted = prediction_rows(lake, D3, "logistic")
    assert predicted.column_names == ["date", "reading_id", "y", "p"]
    assert len(predicted["p"][0].as_py()) == 4
    assert decision_rows(lake).num_rows == 2


def test_classes_are_trained_judged_reported_released_and_served(lake: Lake, process_runtime: ProcessRuntime) -> None:
    first, second = run_day(lake, D2), run_day(lake, D3)
    assert first.decision == "PROMOTE", first.reasons
    assert [candidate["name"] for candidate in first.candidates] == ["logistic", "boosted", "blend"]
    assert all(0.2 < candidate["skill"] < 1 and candidate["roc_auc"] > 0.8 for candidate in first.candidates), first.candidates
    assert second.decision in ("PROMOTE", "HOLD"), second.reasons
    body = lake.objects.read_existing(read_chain(lake).entries[str(D3)].uri).json()
    assert body["gate"]["margin"] == {"skill": 0.03, "roc_auc": 0.02}
    assert body["gate"]["floors"] == {"rows": 100, "roc_auc": 0.6, "skill": 0.2}
    assert body["candidates"][0]["delta"].keys() == {"skill", "roc_auc"}
    assert body["opponents"][0]["metrics"]["skill"] > 0.2
    assert body["holdout"]["classes"]["on fire"] == 0
    assert sum(body["holdout"]["classes"].values()) == body["holdout"]["rows"]

    check_all_that_reads_results(lake)

    port = endpoint_url(lake.pipeline.name).rsplit(":", 1)[1]
    serving = child("perennial.serve", ["--pipeline", lake.pipeline.name, "--port", port], server_environment())
    with serving, process_runtime.endpoint() as client:
        deploy(lake, D3, process_runtime)
        hot, cold = client.post("/predict", json=[HOT, COLD]).json()["predictions"]
        assert (hot["class"], cold["class"]) == ("hot", "cool")
        assert list(hot["probabilities"]) == CLASSES
        assert sum(hot["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        assert 0 < hot["probabilities"]["on fire"] < 0.01
        described = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 4], "parameters": {"classes": CLASSES}}
        metadata = client.get(f"/v2/models/{lake.pipeline.name}").json()
        assert metadata["outputs"] == [
            described,
            {"name": "class", "datatype": "BYTES", "shape": [-1]},
            {"name": "unseen", "datatype": "BYTES", "shape": [-1]},
        ]
        kinds = {"temperature": "FP64", "pressure": "FP64", "machine": "BYTES", "mode": "BYTES"}
        inputs = [{"name": name, "shape": [2], "datatype": kind, "data": [HOT[name], COLD[name]]} for name, kind in kinds.items()]
        infer = client.post(f"/v2/models/{lake.pipeline.name}/infer", json={"inputs": inputs}).json()
        shares = [share for one in (hot, cold) for share in one["probabilities"].values()]
        assert infer["outputs"][:2] == [
            {**described, "shape": [2, 4], "data": shares},
            {"name": "class", "datatype": "BYTES", "shape": [2], "data": ["hot", "cool"]},
        ]
        only = client.post(f"/v2/models/{lake.pipeline.name}/infer", json={"inputs": inputs, "outputs": [{"name": "unseen"}]})
        assert [one["name"] for one in only.json()["outputs"]] == ["unseen"]


def test_a_champion_of_other_classes_is_not_compared(lake: Lake) -> None:
    one = lake.pipeline.training.model_copy(update={"candidates": {"logistic": lake.pipeline.training.candidates["logistic"]}})
    lake = replace(lake, pipeline=lake.pipeline.model_copy(update={"training": one}))
    assert run_day(lake, D2).decision == "PROMOTE"
    label = ClassesLabel(column="heat", classes=["hot", "warm", "cool"])
    decision = run_day(replace(lake, pipeline=lake.pipeline.model_copy(update={"label": label})), D3)
    assert decision.decision == "HOLD"
    assert any(
        "it predicts the class of heat among cool, warm, on fire, hot, and today's label is" in one for one in decision.reasons
    )
