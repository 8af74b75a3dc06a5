"""The operator of the stages whose work is a Spark job."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowTaskTimeout

from perennial.display.printed_error import MAX_LINES
from perennial.display.showable import make_showable
from perennial.errors import PerennialError
from perennial.lake.result import Outcome, Result, Skipped
from perennial.settings import get_settings
from perennial.spark.conf import cluster_conf
from perennial.spark.failures import describe_end
from perennial.stages import Run, SparkStage, stage_named
from perennial.store.json_value import JsonValue
from perennial_airflow.lake import lake_of
from perennial_airflow.tasks import skip

if TYPE_CHECKING:  # DAG files are read often and must stay light
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

    from perennial.spark.submit import SparkPlan


class SparkStageOperator(SparkSubmitOperator):
    """
    Bring the tables of one stage up to date for a run of one date: plan, submit, read back.

    Idempotent: if the tables already hold the planned results, nothing is submitted.

    :param pipeline: name of the pipeline
    :param stage: name of a stage whose work is a Spark job
    :param day: the run's date, YYYY-MM-DD (templated)
    :param until: the last date of the run's batch, YYYY-MM-DD (templated)
    """

    # The fields of SparkSubmitOperator are set below from our own plan: no user input is rendered into them.
    template_fields: Sequence[str] = ("day", "until")

    def __init__(self, *, pipeline: str, stage: str, day: str, until: str, **kwargs: Any) -> None:
        super().__init__(name=f"{stage}-{pipeline}", **kwargs)
        self.pipeline = pipeline
        self.stage = stage
        self.day = day
        self.until = until

    def execute(self, context: Context) -> dict[str, JsonValue]:  # type: ignore[override]
        stage = stage_named(self.stage)
        if not isinstance(stage, SparkStage):
            raise TypeError(f"The stage {self.stage} has no Spark job")
        day, until = date.fromisoformat(self.day), date.fromisoformat(self.until)
        recompute = bool(context["params"]["recompute"])
        run = Run(lake=lake_of(self.pipeline), day=day, run_id=context["dag_run"].run_id, recompute=recompute)

        def compute_until(last: date) -> Result:
            return stage.run_with(replace(run, until=last), lambda plan: self._submit(plan, context))

        result: Result | None = None
        if until > day:
            try:
                result = compute_until(until)
            except (AirflowException, PerennialError) as error:
                # One date that breaks the SQL must not fail all the dates before it. Its own run reports the error.
                self.log.warning("The batch until %s failed, running %s alone: %s", until, day, error)
        return self._conclude(compute_until(day) if result is None else result, context)

    def _conclude(self, result: Result, context: Context) -> dict[str, JsonValue]:
        """Return the task's result. A task that is skipped announces none of its assets."""
        if isinstance(result, Skipped):
            skip(context["ti"], result)
        if result.outcome is Outcome.UNCHANGED:
            self.log.info("Nothing to do: the tables already hold %s", self.day)
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"date": self.day}
        return result.to_json()

    def _submit(self, plan: SparkPlan, context: Context) -> None:
        self.application = plan.application
        self.application_args = [str(plan.job_uri)]
        settings = get_settings()
        properties = settings.spark_properties
        self.properties_file = str(properties) if properties else None
        self.conf = {**plan.conf, **cluster_conf(settings.spark_master, has_properties=properties is not None)}
        self._spark_binary = settings.spark_submit
        self._hook = None  # it holds the state of the previous submission
        try:
            super().execute(context)
        except AirflowTaskTimeout as error:
            text = (
                f"{self.stage} of {self.day} until {self.until} did not end within {self.execution_timeout} and was stopped. "
                "The tables named above are done and kept. Look at the SQL of the others for a join without a condition, or give "
                "the task a longer execution_timeout in dags/retrain.py"
            )
            self.log.error(text)
            if self.until == self.day:
                raise
            # A batch may only have been too large: a retry continues after the finished tables. One date alone would fail again.
            self.on_kill()
            raise TimeoutError(text) from error
        except AirflowException:
            process = None if self._hook is None else self._hook._submit_sp
            if process is None:  # spark-submit did not start
                raise
            # The hook's own error begins with the command line.
            raise describe_end(process.returncode, str(plan.job_uri), list(self._hook._last_submit_log_lines)) from None

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        hook._last_submit_log_lines = deque(maxlen=MAX_LINES)  # the hook's 20 may not hold the error of a job
        read = hook._process_spark_submit_log
        # The JVM writes what a query reads into its errors.
        hook._process_spark_submit_log = lambda itr: read(map(make_showable, itr))  # type: ignore[method-assign]
        return hook
