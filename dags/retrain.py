"""One DAG `retrain_<pipeline>` for each folder of include/pipelines: from the daily drop to the served model."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowTaskTimeout

from perennial.calendar import midnight
from perennial.config.load import load_pipeline, pipeline_names
from perennial.config.pipeline import Pipeline
from perennial.display.showable import make_showable
from perennial.errors import DropMissingError, PipelineRefusedError, RefusedError
from perennial.runtime.kind import runtime_of
from perennial.stages import SparkStage, Stage, stages_of
from perennial_airflow import tasks
from perennial_airflow.doc import doc_md
from perennial_airflow.operators.plan_run import PlanRunOperator
from perennial_airflow.operators.spark_stage import SparkStageOperator
from perennial_airflow.operators.wait_for_drop import WaitForDropOperator
from perennial_airflow.params import run_params
from perennial_airflow.timetable import LocalDaysTimetable

# Set once by the first task and kept by every retry and clear.
DAY = "{{ ti.xcom_pull(task_ids='plan_run')['date'] }}"
UNTIL = "{{ ti.xcom_pull(task_ids='plan_run')['until'] }}"
HOPELESS = RetryRule(
    exception=[RefusedError, DropMissingError, AirflowTaskTimeout], action=RetryAction.FAIL, reason="A retry cannot fix it"
)
MAX_DURATION = timedelta(hours=3)
"""Time limit of a task. A task that exceeds it, such as a query that never ends, would exceed it again in a retry."""


def stage_task(stage: Stage, pipeline: Pipeline) -> Any:
    """Return the task of a stage: a Spark job, plain Python, or one task a candidate, in a worker process or in a pod."""
    if isinstance(stage, SparkStage):
        assets = (
            [Asset(name=f"{pipeline.name}_{stage.asset}", uri=f"perennial://{pipeline.name}/{stage.asset}")]
            if stage.asset
            else []
        )
        return SparkStageOperator(
            task_id=stage.name, pipeline=pipeline.name, stage=stage.name, day=DAY, until=UNTIL, outlets=assets
        )
    candidates = list(stage.candidates(pipeline))
    if candidates and runtime_of(pipeline) == "kubernetes":
        # The provider is slow to import, and only this runtime needs it.
        from perennial_airflow.operators.train_pod import TrainPodOperator

        label = "{{ task.candidate }}"
        pods = TrainPodOperator.partial(
            task_id=stage.name, map_index_template=label, pipeline=pipeline.name, day=DAY, until=UNTIL
        )
        return pods.expand(candidate=candidates)
    arguments = {"pipeline": pipeline.name, "stage": stage.name, "day": DAY, "until": UNTIL}
    if candidates:
        label = "{{ task.op_kwargs['candidate'] }}"
        task = tasks.run_stage.override(task_id=stage.name, map_index_template=label)
        return task.partial(**arguments).expand(candidate=candidates)
    return tasks.run_stage.override(task_id=stage.name)(**arguments)


def retrain(pipeline: Pipeline) -> DAG:
    """Wire the DAG of one pipeline."""
    name, title = pipeline.name, make_showable(pipeline.title)
    with DAG(
        dag_id=f"retrain_{name}",
        dag_display_name=f"{title} ({name})",
        description=title,
        doc_md=doc_md(pipeline),
        schedule=LocalDaysTimetable(pipeline.time_zone, pipeline.end, pipeline.calendar.data_days),
        start_date=midnight(pipeline.start, pipeline.calendar.time_zone),
        catchup=False,
        max_active_runs=1,  # a run is judged against the champion of earlier runs (backfills: see PlanRunOperator)
        params=run_params(pipeline),
        tags=["retrain", *map(make_showable, pipeline.tags)],
        default_args={
            "owner": make_showable(pipeline.owner),
            "retries": 2,
            "retry_delay": timedelta(seconds=5),
            "retry_exponential_backoff": 4,
            # The two retries pause for 5 and 20 seconds. The pause grows with the try number; tries lost to a kill count, too.
            "max_retry_delay": timedelta(seconds=30),
            "retry_policy": ExceptionRetryPolicy(rules=[HOPELESS]),
            "execution_timeout": MAX_DURATION,
        },
    ) as dag:
        plan = PlanRunOperator(task_id="plan_run", pipeline=name)
        wait = WaitForDropOperator(task_id="wait_for_drop", pipeline=name, day=DAY, execution_timeout=timedelta(days=8))
        plan >> wait
        built: dict[str, Any] = {}
        for stage in stages_of(pipeline):
            built[stage.name] = stage_task(stage, pipeline)
            built[stage.name].set_upstream([built[followed] for followed in stage.follows if followed in built] or [wait])
    return dag


def unbuildable(name: str, error: Exception) -> DAG:
    """Return a DAG that shows why the real one could not be built. An import error would hide the DAGs of all pipelines."""
    text = make_showable(f"The DAG of {name} cannot be built. {type(error).__name__}: {error}")
    with DAG(dag_id=f"retrain_{name}", description=text[:200], doc_md=f"**{text}**", schedule=None, tags=["retrain"]) as dag:
        tasks.fail(text)
    return dag


for pipeline_name in pipeline_names():
    try:
        built = retrain(load_pipeline(pipeline_name))
    except PipelineRefusedError:
        continue  # raising here would hide the other DAGs; refused_pipelines.py shows the error
    except Exception as error:
        built = unbuildable(pipeline_name, error)
    globals()[built.dag_id] = built
