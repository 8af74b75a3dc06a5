"""Evaluating dates on real tables and graphs: what is decided, recorded, repeated, and refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lab import LAST, START, Lab

from perennial.config.pipeline import Inputs
from perennial.errors import PerennialError, RefusedError
from perennial.evaluate import evaluate as module
from perennial.evaluate import gather
from perennial.evaluate.chain import Intervention, intervene
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.evaluate.evaluate import evaluate, evaluate_ahead
from perennial.evaluate.holdout import Part, read_holdout
from perennial.evaluate.opponents import Scorer, unfit
from perennial.evaluate.recorded import is_current
from perennial.lake.result import Outcome
from perennial.store import scratch
from perennial.train.history import split_of
from perennial.train.plan import plan_training
from perennial.train.trainings import read_model

DAY = LAST - timedelta(days=1)
GOOD, OFF, BAD = 0.1, 0.02, -0.05
DAY_BEFORE = DAY - timedelta(days=1)


def both(lab: Lab, day: date, mlp: float = GOOD, logistic: float = 0.06) -> tuple[str, str]:
    return lab.train("mlp", day, mlp), lab.train("logistic", day, logistic)


def test_the_first_date_is_decided_by_the_floors(lab: Lab):
    mlp, _ = both(lab, DAY)
    assert not is_current(lab.lake, DAY)
    found = evaluate(lab.lake, DAY, run_id="run-1")
    assert found.outcome == "done"
    assert (found.decision, found.champion, found.incumbent) == ("PROMOTE", mlp, None), found.reasons
    assert [c["name"] for c in found.candidates] == ["mlp", "logistic"]
    assert set(found.candidates[0]) >= {
        "roc_auc",
        "pr_auc",
        "log_loss",
        "accuracy",
        "brier",
        "calibration_error",
        "delta",
        "reasons",
    }
    assert is_current(lab.lake, DAY)


def test_an_unchanged_date_is_not_judged_again(lab: Lab):
    both(lab, DAY)
    first = evaluate(lab.lake, DAY, run_id="run-1")
    uri = read_chain(lab.lake).entries[str(DAY)].uri
    again = evaluate(lab.lake, DAY, run_id="run-2")
    assert again == replace(first, outcome=Outcome.UNCHANGED)
    entry = read_chain(lab.lake).entries[str(DAY)]
    assert (entry.uri, entry.run_id, entry.revision) == (uri, "run-1", 1)


def test_the_next_date_is_judged_against_the_champion_and_says_by_how_much(lab: Lab):
    first, _ = both(lab, DAY_BEFORE)
    evaluate(lab.lake, DAY_BEFORE, run_id="run-1")
    both(lab, DAY, mlp=OFF, logistic=BAD)
    found = evaluate(lab.lake, DAY, run_id="run-2")
    assert (found.decision, found.champion, found.incumbent) == ("REJECT", first, first)
    low, mid, high = found.candidates[0]["delta"]["log_loss"]
    assert low < mid < high < 0
    assert read_chain(lab.lake).entries[str(DAY)].champion == read_chain(lab.lake).entries[str(DAY_BEFORE)].champion


def test_a_date_with_too_little_history_is_skipped_and_that_is_current(lab: Lab):
    early = START + timedelta(days=5)
    assert evaluate(lab.lake, early, run_id="r").reason == "6 of 8 days"
    assert is_current(lab.lake, early)


def test_a_candidate_that_is_not_trained_is_an_error(lab: Lab):
    lab.train("logistic", DAY, GOOD)
    with pytest.raises(PerennialError, match="mlp not trained"):
        evaluate(lab.lake, DAY, run_id="r")


def test_dates_ahead_are_judged_in_order_up_to_the_first_that_is_not_trained(lab: Lab):
    dates = [DAY - timedelta(days=back) for back in (3, 2, 1, 0)]
    for day in (dates[0], dates[1], dates[3]):
        both(lab, day)
    first = evaluate(lab.lake, dates[0], run_id="ours")
    evaluate_ahead(lab.lake, dates[0], dates[-1], run_id="ours")
    chain = read_chain(lab.lake)
    assert chain.days == dates[:2]
    assert chain.entries[str(dates[1])].incumbent == first.champion
    assert chain.entries[str(dates[1])].run_id == "ours"


def test_two_evaluations_at_once_end_with_one_decision(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    both(lab, DAY)
    meet, decide = Barrier(2, timeout=60), module.decide

    def decide_together(*args: Any) -> Any:
        decided = decide(*args)
        meet.wait()  # neither has found a decision of the other
        return decided

    monkeypatch.setattr(module, "decide", decide_together)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda run: evaluate(lab.lake, DAY, run_id=run), ("run-1", "run-2")))
    assert replace(found[0], outcome=found[1].outcome) == found[1]
    assert sorted(item.outcome for item in found) == ["done", "unchanged"]
    assert read_chain(lab.lake).entries[str(DAY)].revision == 1


def test_an_incumbent_that_moves_meanwhile_is_judged_anew(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    both(lab, DAY_BEFORE)
    both(lab, DAY, mlp=OFF, logistic=BAD)
    decide = module.decide

    def decide_while_the_day_before_is_decided(*args: Any) -> Any:
        decided = decide(*args)
        if not read_chain(lab.lake).entries:
            monkeypatch.setattr(module, "decide", decide)
            evaluate(lab.lake, DAY_BEFORE, run_id="other")
        return decided

    monkeypatch.setattr(module, "decide", decide_while_the_day_before_is_decided)
    found = evaluate(lab.lake, DAY, run_id="ours")
    assert found.incumbent is not None
    assert not read_chain(lab.lake).entries[str(DAY)].stale


def test_a_forced_decision_stands_and_another_force_replaces_it(lab: Lab):
    both(lab, DAY)
    held = evaluate(lab.lake, DAY, run_id="r1", force_decision="HOLD", force_reason="release freeze")
    assert (held.decision, held.champion) == ("HOLD", None)
    assert held.reasons[0].startswith("forced to HOLD: release freeze (the gate says PROMOTE)")
    assert is_current(lab.lake, DAY)
    assert evaluate(lab.lake, DAY, run_id="r2").outcome == "unchanged", "a plain rerun does not undo what a person decided"
    again = evaluate(lab.lake, DAY, run_id="r3", force_decision="HOLD", force_reason="release freeze")
    assert again.outcome == "unchanged"
    promoted = evaluate(lab.lake, DAY, run_id="r4", force_decision="PROMOTE", force_reason="the freeze is over")
    assert promoted.decision == "PROMOTE"
    entry = read_chain(lab.lake).entries[str(DAY)]
    assert (entry.revision, entry.run_id) == (2, "r4")


def test_a_forced_decision_names_its_person_and_a_repetition_by_another_one_changes_nothing(lab: Lab):
    both(lab, DAY)
    force = {"force_decision": "HOLD", "force_reason": "release freeze"}
    held = evaluate(lab.lake, DAY, run_id="r1", by="ann", **force)
    entry = read_chain(lab.lake).entries[str(DAY)]
    assert held.forced == {"decision": "HOLD", "reason": "release freeze", "by": "ann"}
    for run_id, by in (("r1", "ann"), ("r2", "bob"), ("r3", None)):
        again = evaluate(lab.lake, DAY, run_id=run_id, by=by, **force)
        assert (again.outcome, again.forced) == ("unchanged", held.forced)
    assert evaluate(lab.lake, DAY, run_id="r4", by="bob").forced == held.forced
    assert read_chain(lab.lake).entries[str(DAY)] == entry
    other = evaluate(lab.lake, DAY, run_id="r5", by="bob", force_decision="HOLD", force_reason="another reason")
    assert other.forced == {"decision": "HOLD", "reason": "another reason", "by": "bob"}
    assert read_chain(lab.lake).entries[str(DAY)].key == entry.key, "a person is no part of a fingerprint"


def test_a_decision_of_the_gate_names_no_person(lab: Lab):
    both(lab, DAY)
    assert evaluate(lab.lake, DAY, run_id="r1", by="ann").forced is None
    assert b"ann" not in lab.lake.objects.read_existing(read_chain(lab.lake).entries[str(DAY)].uri).body


def test_a_forced_decision_of_an_earlier_version_holds_no_name_and_stays(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    both(lab, DAY)
    force = {"force_decision": "HOLD", "force_reason": "release freeze"}
    with monkeypatch.context() as earlier:
        earlier.setattr("perennial.evaluate.evaluate._with_person", lambda body, by: body)
        evaluate(lab.lake, DAY, run_id="r1", **force)
    again = evaluate(lab.lake, DAY, run_id="r2", by="bob", **force)
    assert (again.outcome, again.forced) == ("unchanged", {"decision": "HOLD", "reason": "release freeze"})


def test_after_a_rollback_the_result_names_the_champion_that_is_left_and_a_force_takes_another(lab: Lab):
    both(lab, DAY)
    first = evaluate(lab.lake, DAY, run_id="r1")
    item = Intervention(str(DAY), None, first.champion, "ann", "it flags every machine", "2026-03-12T00:00:00")
    update_chain(lab.lake, lambda chain: intervene(chain, item))
    again = evaluate(lab.lake, DAY, run_id="r2")
    assert (again.outcome, again.champion) == ("unchanged", None)
    forced = evaluate(lab.lake, DAY, run_id="r3", force_decision="PROMOTE", force_reason="better than nothing")
    assert forced.decision == "PROMOTE"
    assert forced.champion not in (None, first.champion)


def test_a_rerun_of_an_old_date_that_decides_otherwise_marks_the_later_ones(lab: Lab):
    both(lab, DAY_BEFORE)
    evaluate(lab.lake, DAY_BEFORE, run_id="r1")
    both(lab, DAY)
    evaluate(lab.lake, DAY, run_id="r2")
    lab.correct(split_of(lab.lake, DAY_BEFORE).window[0])  # which no later date reads
    both(lab, DAY_BEFORE, mlp=0.08, logistic=BAD)
    evaluate(lab.lake, DAY_BEFORE, run_id="r3")
    assert read_chain(lab.lake).entries[str(DAY)].stale
    assert not is_current(lab.lake, DAY)


def test_a_barred_version_is_not_the_incumbent(lab: Lab):
    first, _ = both(lab, DAY_BEFORE)
    evaluate(lab.lake, DAY_BEFORE, run_id="r1")
    item = Intervention(DAY_BEFORE.isoformat(), "x", first, "ann", "it lied", "2026-03-14T00:00:00")
    update_chain(lab.lake, lambda chain: intervene(chain, item))
    both(lab, DAY)
    assert evaluate(lab.lake, DAY, run_id="r2").incumbent is None


def test_a_challenger_that_saw_the_holdout_is_an_error(lab: Lab):
    lab.train("logistic", DAY, GOOD)
    lab.train("mlp", DAY, GOOD, window=[(DAY - timedelta(days=6)).isoformat()])
    with pytest.raises(RefusedError, match="trained on 1 days of its own holdout"):
        evaluate(lab.lake, DAY, run_id="r")


def test_an_incumbent_that_saw_the_holdout_is_not_judged(lab: Lab):
    lab.train("logistic", DAY_BEFORE, BAD)
    lab.train("mlp", DAY_BEFORE, GOOD, window=[DAY.isoformat()])
    evaluate(lab.lake, DAY_BEFORE, run_id="r", force_decision="PROMOTE", force_reason="test")
    both(lab, DAY)
    evaluate(lab.lake, DAY, run_id="r")
    (incumbent,) = lab.lake.objects.read_existing(read_chain(lab.lake).entries[str(DAY)].uri).json()["opponents"]
    assert incumbent["why_not_judged"] == f"it was trained on 1 days of this holdout ({DAY})"
    assert incumbent["metrics"] == {}


def test_a_date_without_judged_rows_does_not_bar_an_incumbent_that_was_trained_on_it(lab: Lab):
    scorer = Scorer("incumbent", "v", 1, lab.pipeline.inputs, None, [DAY.isoformat()])
    p = np.array([0.5])
    assert scorer.judged(p, [DAY_BEFORE]).p is p
    assert scorer.judged(p, [DAY_BEFORE, DAY]).p is None


def test_a_gate_that_is_killed_leaves_no_file(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found, folder = [], tmp_path / "files"
    folder.mkdir()

    def spy(*arguments: Any) -> Iterator[Part]:
        found.append(list(folder.iterdir()))
        return read_holdout(*arguments)

    monkeypatch.setattr(scratch, "scratch_folder", lambda: folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(gather, "read_holdout", spy)
    both(lab, DAY)
    evaluate(lab.lake, DAY, run_id="r")
    assert found == [[]]


def test_candidates_that_were_judged_on_other_shares_of_the_rows_are_an_error(lab: Lab):
    lab.train("logistic", DAY, GOOD)
    lab.train("mlp", DAY, GOOD, judged_below=1 << 30)
    with pytest.raises(PerennialError, match=r"rows below None\. Train all candidates again|rows below 1073741824\. Train all"):
        evaluate(lab.lake, DAY, run_id="r")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.slice(1), "not predicted: date="),
        (lambda table: pa.concat_tables([table, table.slice(0, 1)]), "predicted twice: date="),
        (
            lambda table: pa.concat_tables([table, table.slice(0, 1).set_column(1, "reading_id", pa.array([-1]))]),
            "not in the holdout: date=",
        ),
        (
            lambda table: pa.concat_tables([table, table.slice(0, 1).set_column(0, "date", pa.array([date(2027, 1, 1)]))]),
            "not in the holdout: date=2027-01-01",
        ),
        (lambda table: table.set_column(3, "p", pa.array([float("nan")] * len(table))), "a probability outside"),
    ],
    ids=["missing row", "doubled row", "foreign rows", "a row of a foreign date", "not a probability"],
)
def test_predictions_must_fit_the_holdout_row_by_row(lab: Lab, change: Any, problem: str):
    lab.train("logistic", DAY, GOOD)
    lab.train("mlp", DAY, GOOD, change=change)
    with pytest.raises(RefusedError, match=problem):
        evaluate(lab.lake, DAY, run_id="r")


def test_candidates_must_agree_on_the_labels(lab: Lab):
    lab.train("mlp", DAY, GOOD)
    lab.train("logistic", DAY, GOOD, change=lambda t: t.set_column(2, "y", pa.array([0] * len(t))))
    with pytest.raises(RefusedError, match="labels differ"):
        evaluate(lab.lake, DAY, run_id="r")


def test_features_that_changed_since_training_are_noticed(lab: Lab):
    lab.train("logistic", DAY, GOOD)
    lab.train("mlp", DAY, GOOD, digests={(DAY - timedelta(days=back)).isoformat(): "0" * 64 for back in range(7)})
    with pytest.raises(PerennialError, match="changed since it was trained"):
        evaluate(lab.lake, DAY, run_id="r")


def test_an_altered_file_of_a_model_is_noticed(lab: Lab, s3: Any):
    both(lab, DAY)
    manifest = read_model(lab.lake, str(plan_training(lab.lake, DAY, "mlp").manifest_uri))
    s3.put(lab.lake.layout.blob(manifest["files"]["predictions.parquet"]["sha256"]), b"other bytes")
    with pytest.raises(RefusedError, match=r"predictions\.parquet has digest"):
        evaluate(lab.lake, DAY, run_id="r")


def test_an_incumbent_whose_inputs_are_gone_is_not_judged_and_holds(lab: Lab):
    inputs = lab.pipeline.inputs.model_dump(mode="json")
    inputs["request"]["vibration"] = {"type": "number", "nullable": True}
    assert Inputs.model_validate(inputs)
    lab.train("mlp", DAY_BEFORE, GOOD, inputs=inputs)
    lab.train("logistic", DAY_BEFORE, OFF)
    evaluate(lab.lake, DAY_BEFORE, run_id="r1")
    both(lab, DAY)
    found = evaluate(lab.lake, DAY, run_id="r2")
    assert found.decision == "HOLD"
    assert "cannot be judged: today's features lack vibration (number)" in found.reasons[0]


@pytest.mark.parametrize(("change", "today"), [({"positive": False}, "fault = false"), ({"column": "stops"}, "stops = true")])
def test_an_incumbent_of_another_label_is_not_judged(lab: Lab, change: dict[str, Any], today: str) -> None:
    both(lab, DAY)
    manifest = read_model(lab.lake, str(plan_training(lab.lake, DAY, "mlp").manifest_uri))
    assert unfit(manifest, lab.pipeline.inputs, lab.pipeline) == ""
    label = lab.pipeline.label.model_copy(update=change)
    edited = lab.pipeline.model_copy(update={"label": label})
    assert unfit(manifest, edited.inputs, edited) == f"it predicts fault = true, and today's label is {today}"


def test_another_gate_decides_again(lab: Lab):
    both(lab, DAY)
    evaluate(lab.lake, DAY, run_id="r1")
    stricter = lab.pipeline.gate.model_copy(update={"max_age_days": 3})
    lake = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"gate": stricter}))
    assert is_current(lab.lake, DAY)
    assert not is_current(lake, DAY)
    assert evaluate(lake, DAY, run_id="r2").outcome == "done"
    assert is_current(lake, DAY)
