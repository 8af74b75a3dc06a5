"""The operator that begins a run: it determines the date, checks the params, and ends the run if there is nothing to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import DownstreamTasksSkipped

from perennial.calendar import DAY, midnight
from perennial_airflow.lake import lake_of
from perennial_airflow.run_request import RunRequest, read_params, read_request
from perennial_airflow.summary import HEADLINE, HEADLINE_TEMPLATE, describe_plan

if TYPE_CHECKING:
    from perennial.lake.lake import Lake

BACKFILL, MANUAL = "backfill", "manual"


class PlanRunOperator(BaseOperator):
    """
    Determine the run's date, refuse invalid params, and end the run if nothing about the date has changed.

    In a backfill, the run of one date also does the work of the dates after it, its batch. So a run of a backfill is deferred
    while the run of a landed date shortly before it is running. After that its own work may already be done.

    :param pipeline: name of the pipeline
    """

    def __init__(self, *, pipeline: str, **kwargs: Any) -> None:
        super().__init__(map_index_template=HEADLINE_TEMPLATE, **kwargs)
        self.pipeline = pipeline

    def execute(self, context: Context) -> dict[str, Any]:
        from perennial.backfill.batch import last_ahead
        from perennial.freshness.unchanged import finished_stages
        from perennial.stages import Run

        lake, run = lake_of(self.pipeline), context["dag_run"]
        request = self._request(lake, context)
        self.log.info("This is a run of %s", request.day)
        plan: dict[str, Any] = {"date": request.day.isoformat(), "until": request.day.isoformat(), "outcome": "done"}
        context[HEADLINE] = describe_plan(plan)  # type: ignore[literal-required]
        must_run = request.recompute or request.force_decision is not None
        finished = None if must_run else finished_stages(Run(lake, request.day, run.run_id))
        if finished is not None:
            self.log.info("Nothing has changed since %s was decided", request.day)
            results = {name: result.to_json() for name, result in finished.items()}
            self._end(lake, context, {**plan, "outcome": "unchanged", "stages": results})
        if run.run_type.value == BACKFILL and (running := self._find_running(lake, request.day)):
            self._wait_for(running, request.day)
        return plan if must_run else {**plan, "until": last_ahead(lake, request.day, request.until).isoformat()}

    def resume(self, context: Context, event: None = None) -> dict[str, Any]:
        """Plan again once no earlier run is running."""
        return self.execute(context)

    def _request(self, lake: Lake, context: Context) -> RunRequest:
        from perennial.deploy.newest import newest_to_run

        run, params = context["dag_run"], read_params(context["params"])
        request = read_request(
            lake.pipeline.calendar,
            conf=run.conf or {},
            params=params,
            interval_start=run.data_interval_start,
            run_after=run.run_after,
            run_type=run.run_type.value,
        )
        if run.run_type.value == MANUAL and params["date"] is None:
            request = replace(request, day=newest_to_run(lake, request.day, datetime.now(UTC)))
        return request

    def _find_running(self, lake: Lake, day: date) -> list[datetime]:
        """Return the logical dates within a batch's reach before `day` if the run of one of them is running, else none."""
        from perennial.backfill.batch import MAX_DATES
        from perennial.collect.drops import complete_dates
        from perennial_airflow.triggers.earlier_runs import count_running

        calendar = lake.pipeline.calendar

        def logical(dates: Iterable[date]) -> list[datetime]:
            return [midnight(earlier, calendar.time_zone) for earlier in dates]

        reach = calendar.dates(calendar.data_days.before(day, MAX_DATES - 1), day - DAY)
        if not count_running(self.dag_id, logical(reach)):
            return []  # the usual case, which saves the listing of the landing zone
        # A run that waits for its drop may wait for days: count only the runs of landed dates.
        landed = logical(sorted(complete_dates(lake, reach)))
        return landed if count_running(self.dag_id, landed) else []

    def _wait_for(self, logical_dates: Sequence[datetime], day: date) -> None:
        from perennial_airflow.triggers.earlier_runs import EarlierRunsTrigger

        self.log.info("Runs of dates before %s are running and may do its work, too: waiting for them", day)
        trigger = EarlierRunsTrigger(dag_id=self.dag_id, logical_dates=[instant.isoformat() for instant in logical_dates])
        self.defer(trigger=trigger, method_name="resume")

    def _end(self, lake: Lake, context: Context, plan: dict[str, Any]) -> NoReturn:
        """End the run by skipping every later task at once: the scheduler would skip only one in each of its rounds."""
        context[HEADLINE] = describe_plan(plan)  # type: ignore[literal-required]
        context["ti"].xcom_push(key="return_value", value=plan)
        from perennial.stages import stages_of

        mapped = {stage.name: range(len(stage.candidates(lake.pipeline))) for stage in stages_of(lake.pipeline)}
        later: list[str | tuple[str, int]] = []
        for task in self.get_flat_relatives(upstream=False):
            later += [(task.task_id, index) for index in mapped[task.task_id]] if task.is_mapped else [task.task_id]
        raise DownstreamTasksSkipped(tasks=later)
