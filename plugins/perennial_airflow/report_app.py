"""What the API server adds to Airflow's pages: the newest report of a pipeline, beside each of its runs."""

from __future__ import annotations

from html import escape

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from perennial.errors import PerennialError
from perennial.report.kept import newest
from perennial_airflow.lake import lake_of

PREFIX = "retrain_"
# The page draws with scripts of its own; in a sandbox they are no part of Airflow's pages and see none of its cookies.
SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts", "X-Content-Type-Options": "nosniff"}

app = FastAPI(title="Perennial", openapi_url=None)


@app.get("/report/{dag_id}", dependencies=[Depends(requires_access_dag("GET"))])
def report(dag_id: str) -> HTMLResponse:
    """Return the newest report of the pipeline of a DAG, or a page that says how to make one."""
    name = dag_id.removeprefix(PREFIX)
    if name == dag_id:
        return _says(f"{dag_id} is no pipeline's DAG: there is no report of it.")
    try:
        page = newest(lake_of(name))
    except PerennialError as error:
        return _says(str(error))
    if page is None:
        return _says(f"There is no report yet. This makes one: perennial report {name} --from DATE --to DATE", status_code=200)
    return HTMLResponse(page, headers=SANDBOX)


def _says(text: str, status_code: int = 404) -> HTMLResponse:
    style = "font: 15px/1.5 system-ui, sans-serif; margin: 2rem"
    page = f'<!doctype html><meta charset=utf-8><body style="{style}"><p>{escape(text)}</p>'
    return HTMLResponse(page, status_code=status_code, headers=SANDBOX)
