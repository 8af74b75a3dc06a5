"""
The page beside a run: the pipeline's current state, above the newest report.

It is escaped and sandboxed, and only users who may see the DAG get it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from perennial.deploy.active import move, read_active
from perennial.deploy.newest import Later
from perennial.deploy.standing import Standing
from perennial.evaluate.chain import Entry, Intervention, Model, enter, intervene
from perennial.evaluate.chain_store import update_chain
from perennial.lake.lake import Lake
from perennial.report.kept import keep
from perennial.store.content_name import canonical_json
from perennial_airflow import report_app
from perennial_airflow.report_app import app, report

D1, D2 = date(2026, 3, 9), date(2026, 3, 10)
DAG = "retrain_machine_faults"


@pytest.fixture
def lake(s3: Any, pipeline_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    found: Lake = s3.open_lake(pipeline_factory())
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    return found


def text(dag_id: str = DAG) -> tuple[int, str]:
    answer = report(dag_id)
    assert answer.headers["content-security-policy"] == "sandbox allow-scripts"
    return answer.status_code, bytes(answer.body).decode()


def roll_back(lake: Lake, reason: str) -> None:
    for day, version, was in ((D1, "mlp-1", None), (D2, "mlp-2", "mlp-1")):
        entry = Entry("PROMOTE", "s3://d", "k", Model(version, "s3://m"), was, None, False, "run", "2026-03-10T00:00:00Z")
        update_chain(lake, lambda chain, day=day, entry=entry: enter(chain, day, entry))  # type: ignore[misc]
    item = Intervention(str(D2), "r", "mlp-2", "ann", reason, "2026-03-11T01:00:00Z")
    update_chain(lake, lambda chain: intervene(chain, item))


def test_without_a_report_it_says_how_to_make_one(lake: Lake) -> None:
    status, html = text()
    assert status == 200
    assert "perennial report machine_faults --from DATE --to DATE" in html
    assert "champion: none yet" in html


def test_a_rollback_after_the_report_was_written_is_told_above_it(lake: Lake) -> None:
    keep(lake, D1, D2, "<!doctype html><html><body>\n<h1>the report</h1></body></html>")
    roll_back(lake, "<script>alert(1)</script>")
    status, html = text()
    assert status == 200
    assert html.index("champion: mlp-1: champion again") < html.index("<h1>the report</h1>")
    assert "rolled back by ann: &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>" not in html


@pytest.mark.parametrize("changed", ["decision", "release"])
def test_a_report_is_called_older_only_after_a_change(lake: Lake, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    roll_back(lake, "too slow")
    assert "<p>Current state:</p>" in text()[1], "there is no report"
    move(lake, read_active(lake), "r-1", None, soaked=True, runtime="process")
    monkeypatch.setattr(report_app, "read_standing", lambda _: Standing(None, (), "r-1", "mlp-1", Later(), ""))
    time.sleep(1.1)  # the store's clock counts seconds
    keep(lake, D1, D2, "<html><body></body></html>")
    assert "<p>Current state:</p>" in text()[1]
    time.sleep(1.1)
    if changed == "decision":
        roll_back(lake, "again")
    else:
        move(lake, read_active(lake), "r-2", "r-1", soaked=True, runtime="process")
    assert "<p>Current state (the report below is older):</p>" in text()[1]


def of_run(monkeypatch: pytest.MonkeyPatch, day: date | None) -> str:
    monkeypatch.setattr(report_app, "find_date", lambda *_: day)
    answer = report_app.run_report(DAG, "manual__2026-03-20T00:00:00+00:00")
    assert answer.headers["content-security-policy"] == "sandbox allow-scripts"
    return bytes(answer.body).decode()


def test_a_run_shows_the_decision_of_its_date_with_metrics(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [{"name": "mlp", "version": "mlp-1", "decision": "HOLD", "roc_auc": 0.73125, "log_loss": None}]
    body = {"format": 1, "date": str(D1), "decision": "HOLD", "reasons": ["mlp: <not> better"], "candidates": candidates}
    body["forced"] = {"decision": "HOLD", "reason": "x", "by": "ann\u202e <b>"}
    uri = lake.layout.decision(D1, "d")
    lake.objects.create(uri, canonical_json(body))
    entry = Entry("HOLD", uri, "k", None, None, None, False, "run", "2026-03-10T00:00:00Z")
    update_chain(lake, lambda chain: enter(chain, D1, entry))

    html = of_run(monkeypatch, D1)

    assert "Date of the data: <b>2026-03-09</b>. Decision: <b>HOLD</b>" in html
    assert "mlp: &lt;not&gt; better" in html
    assert "0.7312" in html
    assert "forced by ann\\u202e &lt;b&gt;" in html
    assert html.index("Decision:") < html.index("Current state")
    assert "It has no decision" in of_run(monkeypatch, D2)
    assert "plan_run determines it" in of_run(monkeypatch, None)


@pytest.mark.parametrize("dag_id", ["janitor", "retrain_no_such_pipeline", "retrain_<b>"])
def test_what_is_no_pipelines_dag_is_not_found(lake: Lake, dag_id: str) -> None:
    status, html = text(dag_id)
    assert status == 404
    assert "<b>" not in html


def test_it_asks_for_access_to_the_dag() -> None:
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(routes) == 2
    for route in routes:
        asked = [str(one.dependency.__qualname__) for one in route.dependencies if one.dependency]
        assert [name for name in asked if name.startswith("requires_access_dag")]
    assert report_app.app.openapi_url is None
