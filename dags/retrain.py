"""One DAG `retrain_<pipeline>` for each folder of include/pipelines: from the daily drop to the served model."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, ExceptionRetryPolicy, RetryAction, RetryRule, chain
from airflow.sdk.exceptions import AirflowTaskTimeout

from perennial.calendar import midnight
from perennial.config.load import load_pipeline, pipeline_names
from perennial.config.pipeline import Pipeline
from perennial.errors import DropMissingError, PipelineRefusedError, RefusedError
from perennial.runtime.choice import runtime_of
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
    exception=[RefusedError, DropMissingError, AirflowTaskTimeout], action=RetryAction.FAIL, reason="A retry cannot mend it"
)
LONGEST = timedelta(hours=3)
"""What a task may take; one that has not ended by then, a query without an end perhaps, would not the next time."""


def train(pipeline: Pipeline) -> Any:
    """Return the mapped task that trains the candidates: in a process of the worker, or each in a pod."""
    common = {"pipeline": pipeline.name, "day": DAY, "until": UNTIL}
    if runtime_of(pipeline) == "process":
        return tasks.train.partial(**common).expand(candidate=pipeline.training.candidates)
    # Its provider takes long to import, and only this runtime needs it.
    from perennial_airflow.operators.train_pod import TrainPodOperator

    named = "{{ task.candidate }}"
    return TrainPodOperator.partial(task_id="train", map_index_template=named, **common).expand(
        candidate=pipeline.training.candidates
    )


def retrain(pipeline: Pipeline) -> DAG:
    """Wire the DAG of one pipeline."""
    name = pipeline.name
    with DAG(
        dag_id=f"retrain_{name}",
        description=pipeline.title,
        doc_md=doc_md(pipeline),
        schedule=LocalDaysTimetable(pipeline.time_zone, pipeline.end, pipeline.calendar.data_days),
        start_date=midnight(pipeline.start, pipeline.calendar.time_zone),
        catchup=False,
        max_active_runs=1,  # a run is judged against what the runs before it left (a backfill's runs: see PlanRunOperator)
        params=run_params(pipeline),
        tags=["retrain", *pipeline.tags],
        default_args={
            "owner": pipeline.owner,
            "retries": 2,
            "retry_delay": timedelta(seconds=5),
            "retry_exponential_backoff": 4,
            # Two retries pause for 5 and 20 seconds; the pause grows with the number of the try, also of tries that a kill cost.
            "max_retry_delay": timedelta(seconds=30),
            "retry_policy": ExceptionRetryPolicy(rules=[HOPELESS]),
            "execution_timeout": LONGEST,
        },
    ) as dag:
        chain(
            PlanRunOperator(task_id="plan_run", pipeline=name),
            WaitForDropOperator(task_id="wait_for_drop", pipeline=name, day=DAY, execution_timeout=timedelta(days=8)),
            tasks.collect(name, DAY, UNTIL),
            SparkStageOperator(task_id="clean", pipeline=name, stage="clean", day=DAY, until=UNTIL),
            SparkStageOperator(task_id="analyse", pipeline=name, stage="analyse", day=DAY, until=UNTIL),
            train(pipeline),
            tasks.evaluate(name, DAY, UNTIL),
            tasks.deploy(name, DAY),
        )
    return dag


def unbuildable(name: str, error: Exception) -> DAG:
    """Return a DAG that says why there is not the real one: an import error would hide the DAGs of all pipelines."""
    text = f"The DAG of {name} cannot be built. {type(error).__name__}: {error}"
    with DAG(dag_id=f"retrain_{name}", description=text[:200], doc_md=f"**{text}**", schedule=None, tags=["retrain"]) as dag:
        tasks.fail(text)
    return dag


for pipeline_name in pipeline_names():
    try:
        built = retrain(load_pipeline(pipeline_name))
    except PipelineRefusedError:
        continue  # raised here it would hide the DAGs of the others; refused_pipelines.py shows it
    except Exception as error:
        built = unbuildable(pipeline_name, error)
    globals()[built.dag_id] = built
