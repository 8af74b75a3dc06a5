"""A page in Airflow's UI beside each run: the current state of its pipeline and the newest report."""

from __future__ import annotations

from html import escape

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from perennial.deploy.standing import Standing, read_standing
from perennial.errors import PerennialError
from perennial.report.kept import newest
from perennial_airflow.lake import lake_of

PREFIX = "retrain_"
# The page draws with its own scripts. The sandbox keeps them apart from Airflow's pages and cookies.
SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts", "X-Content-Type-Options": "nosniff"}

app = FastAPI(title="Perennial", openapi_url=None)


@app.get("/report/{dag_id}", dependencies=[Depends(requires_access_dag("GET"))])
def report(dag_id: str) -> HTMLResponse:
    """Return the current state of a DAG's pipeline, above its newest report or above the command that creates one."""
    name = dag_id.removeprefix(PREFIX)
    if name == dag_id:
        return _render_message(f"{dag_id} is not the DAG of a pipeline, so it has no report.")
    try:
        lake = lake_of(name)
        page, now = newest(lake), _format_standing(read_standing(lake))
    except PerennialError as error:
        return _render_message(str(error))
    if page is None:
        text = f"There is no report yet. Create one with: perennial report {name} --from DATE --to DATE"
        return _render_message(text, now, status_code=200)
    # The report is as old as the command that wrote it: a later rollback is missing from it.
    head, body, rest = page.partition("<body>")
    return HTMLResponse(f"{head}{body}{now}{rest}", headers=SANDBOX)


def _format_standing(standing: Standing) -> str:
    """Format the current state of the pipeline as HTML."""
    release = f"{standing.release} ({standing.version})" if standing.release else "none yet"
    lines = [*standing.lines(), ("active release", release)]
    items = "".join(f"<li>{escape(name)}: {escape(text)}</li>" for name, text in lines)
    return f"<p>Current state (the report below is older):</p><ul>{items}</ul>"


def _render_message(text: str, now: str = "", status_code: int = 404) -> HTMLResponse:
    style = "font: 15px/1.5 system-ui, sans-serif; margin: 2rem"
    page = f'<!doctype html><meta charset=utf-8><body style="{style}">{now}<p>{escape(text)}</p>'
    return HTMLResponse(page, status_code=status_code, headers=SANDBOX)
