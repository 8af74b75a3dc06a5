"""A page in Airflow's UI: where a pipeline stands now and its newest report, beside each of its runs."""

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
# The page draws with scripts of its own; in a sandbox they are no part of Airflow's pages and see none of its cookies.
SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts", "X-Content-Type-Options": "nosniff"}

app = FastAPI(title="Perennial", openapi_url=None)


@app.get("/report/{dag_id}", dependencies=[Depends(requires_access_dag("GET"))])
def report(dag_id: str) -> HTMLResponse:
    """Return where the pipeline of a DAG stands, above its newest report or above the command that makes one."""
    name = dag_id.removeprefix(PREFIX)
    if name == dag_id:
        return _says(f"{dag_id} is no pipeline's DAG: there is no report of it.")
    try:
        lake = lake_of(name)
        page, now = newest(lake), _now(read_standing(lake))
    except PerennialError as error:
        return _says(str(error))
    if page is None:
        text = f"There is no report yet. This makes one: perennial report {name} --from DATE --to DATE"
        return _says(text, now, status_code=200)
    # The page was written when somebody asked for it; a rollback since then would be missing from it.
    head, body, rest = page.partition("<body>")
    return HTMLResponse(f"{head}{body}{now}{rest}", headers=SANDBOX)


def _now(standing: Standing) -> str:
    """Return where the pipeline stands as a piece of HTML."""
    release = f"{standing.release} ({standing.version})" if standing.release else "none yet"
    lines = [*standing.lines(), ("active release", release)]
    items = "".join(f"<li>{escape(name)}: {escape(text)}</li>" for name, text in lines)
    return f"<p>Now (the report below is of when it was written):</p><ul>{items}</ul>"


def _says(text: str, now: str = "", status_code: int = 404) -> HTMLResponse:
    style = "font: 15px/1.5 system-ui, sans-serif; margin: 2rem"
    page = f'<!doctype html><meta charset=utf-8><body style="{style}">{now}<p>{escape(text)}</p>'
    return HTMLResponse(page, status_code=status_code, headers=SANDBOX)
