"""The operator of the two Spark stages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Context


class SparkStageOperator(SparkSubmitOperator):
    """
    Bring the tables of one stage up to date for a run of one date: plan, submit, read back.

    Idempotent: when the tables already hold what the plan asks for, nothing is submitted.

    :param pipeline: name of the pipeline
    :param stage: `clean` or `analyse`
    :param day: the run's date, YYYY-MM-DD (templated)
    """

    # The fields of SparkSubmitOperator are set below from our own plan: nothing that a user typed is rendered into them.
    template_fields: Sequence[str] = ("day",)

    def __init__(self, *, pipeline: str, stage: Literal["clean", "analyse"], day: str, **kwargs: Any) -> None:
        super().__init__(name=f"{stage}-{pipeline}", **kwargs)
        self.pipeline = pipeline
        self.stage = stage
        self.day = day

    def execute(self, context: Context) -> dict[str, Any]:
        from perennial.lake.lake import open_lake
        from perennial.lake.spark_conf import iceberg_conf
        from perennial.pipeline_file import load_pipeline

        if self.stage == "clean":
            from perennial.clean.plan import finish_clean as finish
            from perennial.clean.plan import plan_clean as make_plan
        else:
            from perennial.analyse.plan import finish_analyse as finish
            from perennial.analyse.plan import plan_analyse as make_plan

        lake = open_lake(load_pipeline(self.pipeline))
        day = date.fromisoformat(self.day)
        plan = make_plan(lake, day)
        if plan.job_uri is None:
            self.log.info("Nothing to do: the tables hold %s", self.day)
            return {**finish(lake, day), "outcome": "unchanged"}
        self.application = plan.application
        self.application_args = [plan.job_uri]
        self.conf = iceberg_conf(
            os.environ["PERENNIAL_METASTORE_URI"], lake.layout.warehouse, os.environ.get("AWS_ENDPOINT_URL_S3")
        )
        self._spark_binary = os.environ.get("PERENNIAL_SPARK_SUBMIT")
        super().execute(context)
        return finish(lake, day)
