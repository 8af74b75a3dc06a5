"""A client of Airflow's REST API. The demo and the integration tests use it; a user can do the same with curl."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

import httpx

from perennial.errors import PerennialError, UnreachableError
from perennial.store.json_value import Json

Query = Mapping[str, str | int | list[str]]
Answer = dict[str, Any]
"""A JSON object of Airflow's API. Airflow's page /docs describes it."""

FINISHED = {"success", "failed"}
PARSE_SECONDS = 180
_MAX_CAUSE = 800


def dag_of(pipeline: str) -> str:
    """Return the name of a pipeline's DAG, as in dags/retrain.py."""
    return f"retrain_{pipeline}"


@dataclass(frozen=True, slots=True)
class TaskState:
    """
    One task of a run.

    :param index: the name of the instance of a mapped task (a candidate)
    :param is_watched: True if a triggerer waits for the task
    """

    task: str
    index: str
    state: str
    seconds: float | None
    map_index: int
    try_number: int
    is_watched: bool

    @property
    def name(self) -> str:
        return f"{self.task}[{self.index}]" if self.index else self.task


class Backfill(TypedDict):
    """Airflow's record of a backfill. `completed_at` is null until it has ended. A cancelled backfill stays paused."""

    id: int
    from_date: str
    to_date: str
    created_at: str
    is_paused: bool
    completed_at: str | None


class AirflowClient:
    """
    Trigger runs and read their results, as the user `admin`.

    :param check_server: called before each request; raises UnreachableError if another program may answer in Airflow's place
    """

    def __init__(self, url: str, password: str, *, check_server: Callable[[], None] = lambda: None) -> None:
        self.url = url
        self._check_server = check_server
        self._credentials = {"username": "admin", "password": password}
        # Requests within the stack must not pass through the user's proxy.
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def __enter__(self) -> AirflowClient:
        self._login()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def wait_for_dag(self, dag_id: str, seconds: float = PARSE_SECONDS) -> None:
        """Wait until Airflow has parsed the DAG."""
        deadline = time.monotonic() + seconds
        while self._get(f"/dags/{dag_id}", missing_ok=True) is None:
            if time.monotonic() > deadline:
                raise PerennialError(
                    f"Airflow has no DAG {dag_id!r}, {seconds:.0f} s after it was asked for it",
                    self._import_causes(),
                    "Airflow reads PERENNIAL_TRUSTED_PIPELINES and .env only when it starts: run `make down up` after a change.",
                )
            time.sleep(0.5)

    def reason_to_wait(self, dag_id: str) -> str:
        """Return why Airflow starts no run of a DAG, or an empty text."""
        dag = self._get(f"/dags/{dag_id}") or {}
        if dag["is_stale"]:
            causes = " ".join(self._import_causes())
            return f"{dag_id} is no longer among the DAGs that Airflow can import, so its runs wait. {causes}".strip()
        return f"{dag_id} is paused in Airflow: its runs wait until someone unpauses it" if dag["is_paused"] else ""

    def _import_causes(self) -> list[str]:
        """Return the last error of each trace: those of files of DAGs that Airflow cannot import."""
        traces = [error["stack_trace"] for error in (self._get("/importErrors") or {})["import_errors"]]
        return [" ".join(trace.rpartition("Error: ")[2].split())[:_MAX_CAUSE] for trace in traces]

    def unpause(self, dag_id: str) -> bool:
        """Let the DAG's runs start; return whether it was paused."""
        was_paused = bool((self._get(f"/dags/{dag_id}") or {})["is_paused"])
        if was_paused:
            self._send("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        return was_paused

    def trigger(self, dag_id: str, conf: Json, run_id: str | None = None, logical_date: datetime | None = None) -> str:
        """
        Trigger a manual run and return its id, which bears the date of the data if `conf` has one.

        Airflow's dialogue sets the logical date to the present moment.
        """
        run_id = run_id or "__".join(filter(None, ("manual", str(conf.get("date") or ""), datetime.now(UTC).isoformat())))
        body = {"dag_run_id": run_id, "logical_date": logical_date.isoformat() if logical_date else None, "conf": conf}
        return str(self._send("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def fail(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, which also stops its tasks."""
        self._send("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def clear(self, dag_id: str, run_id: str, tasks: Sequence[str]) -> None:
        """Clear tasks of a run and all tasks downstream of them, so that they run again."""
        body: Json = {
            "dag_run_id": run_id,
            "task_ids": list(tasks),
            "dry_run": False,
            "only_failed": False,
            "include_downstream": True,
        }
        self._send("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def backfill(self, dag_id: str, first: datetime, last: datetime, conf: Json, *, reprocess: str, runs_at_once: int = 1) -> int:
        """
        Create a backfill over the logical dates from `first` to `last` and return its id.

        :param reprocess: the dates to run again: `none`, `failed` or `completed`
        """
        body: Json = {
            "dag_id": dag_id,
            "from_date": first.isoformat(),
            "to_date": last.isoformat(),
            "dag_run_conf": conf,
            "reprocess_behavior": reprocess,
            "max_active_runs": runs_at_once,
        }
        return int(self._send("POST", "/backfills", body)["id"])

    def open_backfill(self, dag_id: str) -> Backfill | None:
        """Return the backfill of a DAG that has not ended, or None."""
        backfills = (self._get(f"/backfills?dag_id={dag_id}&order_by=-id&limit=20") or {})["backfills"]
        return next((backfill for backfill in backfills if backfill["completed_at"] is None), None)

    def backfill_facts(self, backfill: int) -> Backfill:
        """Return Airflow's record of a backfill."""
        record: Backfill = self._check(self._ask("GET", f"/api/v2/backfills/{backfill}"))
        return record

    def backfill_is_done(self, backfill: int) -> bool:
        """Return whether Airflow has marked a backfill as completed."""
        return self.backfill_facts(backfill)["completed_at"] is not None

    def unpause_backfill(self, backfill: int) -> None:
        """Let the runs of a backfill start."""
        self._send("PUT", f"/backfills/{backfill}/unpause")

    def logical_dates(self, dag_id: str, first: datetime, last: datetime, state: str) -> list[str]:
        """Return the logical dates (ISO instants) of the runs in a state, from `first` to `last`, at most a thousand."""
        dates: list[str] = []
        for offset in range(0, 1000, 100):
            runs = self._runs_in(dag_id, first, last, state, limit=100, offset=offset)["dag_runs"]
            dates += [run["logical_date"] for run in runs]
            if len(runs) < 100:
                break
        return dates

    def count_runs(self, dag_id: str, first: datetime, last: datetime, *states: str) -> int:
        """Count the runs with logical dates from `first` to `last` that are in one of the states."""
        return int(self._runs_in(dag_id, first, last, *states, limit=1)["total_entries"])

    def _runs_in(self, dag_id: str, first: datetime, last: datetime, *states: str, limit: int, offset: int = 0) -> Answer:
        between = {"logical_date_gte": first.isoformat(), "logical_date_lte": last.isoformat()}
        query: Query = {**between, "state": list(states), "limit": limit, "offset": offset}
        return self._get(f"/dags/{dag_id}/dagRuns", params=query) or {}

    def runs(self, dag_id: str) -> list[Answer]:
        """Return the DAG's runs, the newest first."""
        return list((self._get(f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit=100") or {})["dag_runs"])

    def backfill_runs(self, dag_id: str, *, order_by: str, limit: int) -> list[Answer]:
        """Return successful runs of backfills, in an order such as `-duration`, at most `limit`; none if there is no DAG."""
        query: Query = {"run_type": "backfill", "state": "success", "order_by": order_by, "limit": limit}
        answer = self._get(f"/dags/{dag_id}/dagRuns", missing_ok=True, params=query)
        return [] if answer is None else list(answer["dag_runs"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run: queued, running, success or failed."""
        return str((self._get(f"/dags/{dag_id}/dagRuns/{run_id}") or {})["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return the tasks of a run."""
        instances = (self._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100") or {})["task_instances"]
        return [
            TaskState(
                task=item["task_id"],
                index=(item.get("rendered_map_index") or str(item["map_index"])) if item["map_index"] >= 0 else "",
                state=item["state"] or "none",
                seconds=item["duration"],
                map_index=item["map_index"],
                try_number=item["try_number"],
                is_watched=item["triggerer_job"] is not None,
            )
            for item in instances
        ]

    def running_tasks(self, dag_id: str, first: datetime, last: datetime) -> dict[str, datetime]:
        """Return the running tasks in runs with logical dates from `first` to `last`, with the first of these dates."""
        query: Query = {
            "state": "running",
            "limit": 100,
            "logical_date_gte": first.isoformat(),
            "logical_date_lte": last.isoformat(),
        }
        answer = self._get(f"/dags/{dag_id}/dagRuns/~/taskInstances", params=query) or {}
        running = sorted(((item["logical_date"], item["task_id"]) for item in answer["task_instances"]), reverse=True)
        return {task: datetime.fromisoformat(logical_date) for logical_date, task in running}

    def wait(
        self, dag_id: str, run_id: str, seconds: float, on_change: Callable[[TaskState], None] = lambda _: None
    ) -> tuple[str, list[TaskState]]:
        """Wait until a run ends, call `on_change` for each change of a task's state, and return its state and tasks."""
        deadline = time.monotonic() + seconds
        known: dict[tuple[str, int], str] = {}
        while True:
            state = self.run_state(dag_id, run_id)
            tasks = self.tasks(dag_id, run_id)
            for task in tasks:
                if known.get((task.task, task.map_index)) != task.state:
                    known[task.task, task.map_index] = task.state
                    on_change(task)
            if state in FINISHED:
                return state, tasks
            if time.monotonic() > deadline:
                raise PerennialError(
                    f"Run {run_id} of {dag_id} is {state} after {seconds:.0f} s. See {self.run_url(dag_id, run_id)}"
                )
            time.sleep(0.5)

    def result(self, dag_id: str, run_id: str, task: str, map_index: int = -1) -> Answer | None:
        """Return the return value of a task, or None if it has none."""
        entries = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries"
        path = f"{entries}/return_value?map_index={map_index}&deserialize=true"
        entry = self._get(path, missing_ok=True)
        return None if entry is None else entry["value"]

    def log(self, dag_id: str, run_id: str, task: TaskState) -> str:
        """Return the log of a task's last try."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task}/logs/{task.try_number}?map_index={task.map_index}"
        content = (self._get(path) or {}).get("content", [])
        return "\n".join(_format_log_line(line) for line in content)

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the URL of a run's page."""
        return f"{self.url}/dags/{dag_id}/runs/{run_id}"

    def backfills_url(self, dag_id: str) -> str:
        """Return the URL of the page of a DAG's backfills."""
        return f"{self.url}/dags/{dag_id}/backfills"

    def get(self, path: str) -> httpx.Response:
        """Return the answer for any path of the API server, even if it is an error."""
        return self._http.get(path)

    def _login(self) -> None:
        answer = self._ask("POST", "/auth/token", json=self._credentials)
        if answer.status_code != httpx.codes.CREATED:
            raise PerennialError(f"Airflow at {self.url} refused the login: {answer.status_code} {answer.text[:300]}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _get(self, path: str, missing_ok: bool = False, params: Query | None = None) -> Answer | None:
        answer = self._ask("GET", f"/api/v2{path}", params=params)
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return dict(self._check(answer))

    def _send(self, method: str, path: str, body: Json | None = None) -> Answer:
        return dict(self._check(self._ask(method, f"/api/v2{path}", json=body)))

    def _ask(self, method: str, path: str, *, json: Json | None = None, params: Query | None = None) -> httpx.Response:
        self._check_server()
        try:
            answer = self._http.request(method, path, json=json, params=params)
        except httpx.TransportError as error:
            raise UnreachableError(f"Airflow at {self.url} does not answer ({error}). See `make status`.") from error
        if answer.is_server_error:  # its database may be down
            raise UnreachableError(
                f"Airflow at {self.url} cannot answer: {answer.status_code} {answer.text[:300]}. See `make status`."
            )
        return answer

    @staticmethod
    def _check(answer: httpx.Response) -> Any:
        if answer.is_error:
            raise PerennialError(
                f"Airflow: {answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}"
            )
        return answer.json()


def _format_log_line(line: str | Answer) -> str:
    if isinstance(line, str):
        return line
    causes = [f"{cause['exc_type']}: {cause['exc_value']}" for cause in line.get("error_detail") or ()]
    return "\n".join([str(line.get("event", "")), *causes])
