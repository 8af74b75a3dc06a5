"""Results of tasks as a person reads them: a headline that fits Airflow's column, and log lines that are not clipped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.definitions.context import Context
from airflow.sdk.execution_time import task_runner

from perennial.display.showable import make_showable
from perennial_airflow.operators.plan_run import PlanRunOperator
from perennial_airflow.summary import (
    HEADLINE,
    HEADLINE_TEMPLATE,
    MAX_CHARACTERS,
    describe_plan,
    describe_result,
    to_lines,
)

DECISION: dict[str, Any] = {
    "outcome": "done",
    "date": "2026-03-09",
    "decision": "HOLD",
    "reasons": ["mlp: log loss 0.4012 is 0.0041 above the incumbent's, the limit is 0.002 " * 3],
    "forced": None,
    "note": "",
    "barred": [],
    "candidates": [
        {"log_loss": 0.401234, "name": "mlp", "roc_auc": 0.731249, "version": "mlp-2026-03-09-ab"},
        {"name": "logistic", "version": "logistic-2026-03-09-cd", "roc_auc": None, "log_loss": 0.5},
    ],
}


def test_a_decision_is_told_with_the_main_metrics_of_each_candidate() -> None:
    assert describe_result("evaluate", DECISION) == "HOLD; mlp ROC AUC 0.7312 log loss 0.4012; logistic log loss 0.5000"
    assert describe_result("evaluate", {"outcome": "skipped", "reason": "6 of 8 days"}) == "skipped: 6 of 8 days"


def test_a_forced_decision_is_told_with_its_person() -> None:
    forced = {**DECISION, "forced": {"decision": "HOLD", "reason": "freeze", "by": "ann"}}
    assert describe_result("evaluate", forced).startswith("HOLD; forced by ann; mlp ROC AUC 0.7312")


def test_no_text_of_a_result_steers_the_page_or_the_log() -> None:
    reason = "a\x1b[2J\u202eb\nc\u200b"
    assert describe_result("evaluate", {"outcome": "skipped", "reason": reason}) == "skipped: a\\x1b[2J\\u202eb c\\u200b"
    for line in to_lines({"reason": reason, reason: [reason]}):
        assert make_showable(line) == line


def test_a_release_or_the_reason_for_none_is_told() -> None:
    assert describe_result("deploy", {"released": "2026-03-09-ab", "reason": ""}) == "2026-03-09-ab serves"
    assert describe_result("deploy", {"released": None, "reason": "not the newest"}) == "not released: not the newest"
    assert describe_result("collect", {"outcome": "done"}) == ""


def test_the_first_task_tells_the_date_and_the_decision_of_an_unchanged_run() -> None:
    assert describe_plan({"date": "2026-03-09", "outcome": "done"}) == "2026-03-09"
    plan = {"date": "2026-03-09", "stages": {"evaluate": DECISION}}
    assert describe_plan(plan) == f"2026-03-09, unchanged: {describe_result('evaluate', DECISION)}"


def test_a_headline_fits_airflows_column() -> None:
    column = TaskInstance.__table__.columns["rendered_map_index"]
    assert column.type.length > MAX_CHARACTERS
    assert len(describe_result("evaluate", {"reason": "x" * 1000})) == MAX_CHARACTERS


def test_a_result_is_logged_in_readable_lines() -> None:
    lines = to_lines(DECISION)
    assert lines[:3] == ["outcome: done", "date: '2026-03-09'", "decision: HOLD"]
    assert lines[lines.index("candidates:") + 1] == "- name: mlp"
    assert "  roc_auc: 0.7312" in lines
    assert max(map(len, lines)) <= 125
    assert [line for line in lines if line.startswith(("forced", "note", "barred"))] == []


@pytest.mark.parametrize("headline", [None, "2026-03-09"])
def test_airflow_renders_the_headline_that_a_task_sets_although_it_is_not_mapped(headline: str | None) -> None:
    """Airflow renders it once before the task, when there is none, and once after."""
    from airflow.sdk import DAG

    with DAG("any", schedule=None):
        task = PlanRunOperator(task_id="plan_run", pipeline="any")
    assert task.map_index_template == HEADLINE_TEMPLATE
    context = Context(map_index_template=task.map_index_template)
    if headline:
        context[HEADLINE] = headline  # type: ignore[literal-required]

    found = task_runner._render_map_index(
        context, ti=SimpleNamespace(task=task), log=SimpleNamespace(debug=lambda *_, **__: None)
    )  # type: ignore[arg-type]

    assert found == (headline or "")
