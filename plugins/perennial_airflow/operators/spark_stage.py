"""The operator of the two Spark stages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowTaskTimeout

from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.settings import get_settings
from perennial_airflow.lake import lake_of

if TYPE_CHECKING:  # DAG files are read often and must stay light
    from perennial.spark.submit import SparkPlan


class SparkStageOperator(SparkSubmitOperator):
    """
    Bring the tables of one stage up to date for a run of one date: plan, submit, read back.

    Idempotent: when the tables already hold what the plan asks for, nothing is submitted.

    :param pipeline: name of the pipeline
    :param stage: `clean` or `analyse`
    :param day: the run's date, YYYY-MM-DD (templated)
    :param until: the last date that the run works ahead for, YYYY-MM-DD (templated)
    """

    # The fields of SparkSubmitOperator are set below from our own plan: nothing that a user typed is rendered into them.
    template_fields: Sequence[str] = ("day", "until")

    def __init__(self, *, pipeline: str, stage: Literal["clean", "analyse"], day: str, until: str, **kwargs: Any) -> None:
        super().__init__(name=f"{stage}-{pipeline}", **kwargs)
        self.pipeline = pipeline
        self.stage = stage
        self.day = day
        self.until = until

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]
        if self.stage == "clean":
            from perennial.clean.plan import finish_clean as finish
            from perennial.clean.plan import plan_clean as make_plan
        else:
            from perennial.analyse.plan import finish_analyse as finish
            from perennial.analyse.plan import plan_analyse as make_plan

        lake = lake_of(self.pipeline)
        day, until = date.fromisoformat(self.day), date.fromisoformat(self.until)

        def bring(last: date) -> dict[str, Any]:
            plan = make_plan(lake, day, until=last, recompute=context["params"]["recompute"])
            if plan.job_uri is None:
                self.log.info("Nothing to do: the tables hold %s", self.day)
                return {**finish(lake, day), "outcome": "unchanged"}
            self._submit(plan, context)
            return finish(lake, day)

        if until > day:
            try:
                return bring(until)
            except (AirflowException, PerennialError) as error:
                # One date that breaks the SQL must not fail all those before it: its own run says what is wrong with it.
                self.log.warning("Working ahead until %s failed, %s is done alone: %s", until, day, error)
        return bring(day)

    def _submit(self, plan: SparkPlan, context: Context) -> None:
        self.application = plan.application
        self.application_args = [str(plan.job_uri)]
        self.conf = dict(plan.conf)
        self._spark_binary = get_settings().spark_submit
        self._hook = None  # it keeps what was submitted before
        try:
            super().execute(context)
        except AirflowTaskTimeout as error:
            text = (
                f"{self.stage} of {self.day} until {self.until} has not ended within {self.execution_timeout} and was stopped. The "
                "tables named above are done and stay; look at the SQL of the others for a join without a condition, or give the task "
                "a longer execution_timeout in dags/retrain.py"
            )
            self.log.error(text)
            if self.until == self.day:
                raise
            # Many dates may only have been much: another try goes on from what is done. One of a date alone would end like this one.
            self.on_kill()
            raise TimeoutError(text) from error
        except AirflowException as error:
            if self._hook is not None and self._hook._submit_sp.returncode == REFUSED_EXIT_CODE:  # type: ignore[unreachable]
                # The job said that a retry cannot mend it; its own words are the last lines of the log.
                raise RefusedError(str(error).partition("Last spark-submit output:")[2].strip() or str(error)) from error
            raise
