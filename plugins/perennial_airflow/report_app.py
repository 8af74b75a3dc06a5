"""A page in Airflow's UI beside each run: the decision of its date, the current state of its pipeline, the newest report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from perennial.deploy.standing import Standing, read_standing
from perennial.display.forced import describe_force
from perennial.display.metrics import found_in, label_of
from perennial.display.showable import make_html
from perennial.errors import PerennialError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.report.kept import newest
from perennial_airflow.lake import lake_of
from perennial_airflow.summary import DIGITS, METRICS

PREFIX = "retrain_"
# The page draws with its own scripts. The sandbox keeps them apart from Airflow's pages and cookies.
SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts", "X-Content-Type-Options": "nosniff"}

app = FastAPI(title="Perennial", openapi_url=None)


@app.get("/report/{dag_id}", dependencies=[Depends(requires_access_dag("GET"))])
def report(dag_id: str) -> HTMLResponse:
    """Return the current state of a DAG's pipeline, above its newest report or above the command that creates one."""
    return _render(dag_id, None)


@app.get("/report/{dag_id}/{run_id}", dependencies=[Depends(requires_access_dag("GET"))])
def run_report(dag_id: str, run_id: str) -> HTMLResponse:
    """Return the decision of a run's date, above the same."""
    return _render(dag_id, run_id)


def _render(dag_id: str, run_id: str | None) -> HTMLResponse:
    name = dag_id.removeprefix(PREFIX)
    if name == dag_id:
        return _render_message(f"{dag_id} is not the DAG of a pipeline, so it has no report.")
    try:
        lake = lake_of(name)
        above = "" if run_id is None else _format_run(lake, find_date(dag_id, run_id))
        kept = newest(lake)
        now = above + _format_standing(read_standing(lake), is_later=kept is not None and _has_changed_since(lake, kept.at))
    except PerennialError as error:
        return _render_message(str(error))
    if kept is None:
        text = f"There is no report yet. Create one with: perennial report {name} --from DATE --to DATE"
        return _render_message(text, now, status_code=200)
    head, body, rest = kept.page.partition("<body>")
    return HTMLResponse(f"{head}{body}{now}{rest}", headers=SANDBOX)


def find_date(dag_id: str, run_id: str) -> date | None:
    """Return the date that a run's first task determined, or None if it has not determined one."""
    query = XComModel.get_many(dag_ids=dag_id, run_id=run_id, task_ids="plan_run", key="return_value", limit=1)
    with create_session() as session:
        found = session.scalar(query)
        return None if found is None else date.fromisoformat(XComModel.deserialize_value(found)["date"])


def _format_run(lake: Lake, day: date | None) -> str:
    """Format the decision of a run's date as HTML."""
    if day is None:
        return "<p>This run has no date yet: its task plan_run determines it.</p>"
    entry = read_chain(lake).get(day)
    if entry is None:
        return f"<p>Date of the data: <b>{day}</b>. It has no decision.</p>"
    body = lake.objects.read_existing(entry.uri).json()
    lines = filter(None, (describe_force(body.get("forced")), *body["reasons"]))
    reasons = "".join(f"<li>{make_html(line)}</li>" for line in lines)
    decision = f"<p>Date of the data: <b>{day}</b>. Decision: <b>{make_html(body['decision'])}</b></p>"
    return f"{decision}<ul>{reasons}</ul>{_format_candidates(body)}"


def _format_candidates(body: Mapping[str, Any]) -> str:
    """Format the candidates of a decision, with their metrics, as an HTML table."""
    columns = ("version", "decision", *found_in(body["candidates"], METRICS))
    head = "".join(f"<th align=left>{label_of(column)}&emsp;</th>" for column in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{make_html(_format_cell(candidate.get(column)))}&emsp;</td>" for column in columns) + "</tr>"
        for candidate in body["candidates"]
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _format_cell(value: Any) -> str:
    return f"{value:.{DIGITS}f}" if isinstance(value, float) else str(value or "")


def _has_changed_since(lake: Lake, at: datetime) -> bool:
    """Return whether a decision, an intervention or a release is later than the report, which does not show it."""
    states = (lake.objects.head(uri) for uri in (lake.layout.chain, lake.layout.active))
    return any(state is not None and state.at > at for state in states)


def _format_standing(standing: Standing, *, is_later: bool) -> str:
    """
    Format the current state of the pipeline as HTML.

    :param is_later: whether it has changed since the report was written
    """
    release = f"{standing.release} ({standing.version})" if standing.release else "none yet"
    lines = [*standing.lines(), ("active release", release)]
    items = "".join(f"<li>{make_html(name)}: {make_html(text)}</li>" for name, text in lines)
    title = "Current state (the report below is older)" if is_later else "Current state"
    return f"<p>{title}:</p><ul>{items}</ul>"


def _render_message(text: str, now: str = "", status_code: int = 404) -> HTMLResponse:
    style = "font: 15px/1.5 system-ui, sans-serif; margin: 2rem"
    page = f'<!doctype html><meta charset=utf-8><body style="{style}">{now}<p>{make_html(text)}</p>'
    return HTMLResponse(page, status_code=status_code, headers=SANDBOX)
