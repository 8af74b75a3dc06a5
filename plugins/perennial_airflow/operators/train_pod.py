"""The operator that trains one candidate in a pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import ApiClient, V1Pod
from kubernetes.client.exceptions import ApiException

from perennial.lake.result import Result, Skipped
from perennial.runtime.pod_training import PodTrainer
from perennial.runtime.trainer import TrainingWork
from perennial.train.plan import TrainingPlan, finish_training
from perennial.train.work import plan_search, plan_work
from perennial_airflow.lake import lake_of
from perennial_airflow.tasks import skip


class TrainPodOperator(KubernetesPodOperator):
    """
    Train one candidate of one date in its own pod. Nothing is started if the model exists already.

    The steps are those of PodTrainer; between them the task is deferred. The result is read from object storage. A pod that was
    evicted or lost its node is created again without using a retry.

    :param pipeline: name of the pipeline
    :param day: the run's date, YYYY-MM-DD (templated)
    :param until: the last date of the run's batch, YYYY-MM-DD (templated): the same pod trains these dates, too
    :param candidate: the candidate to train
    """

    # The fields of KubernetesPodOperator are set below from our own plan: no user input is rendered into them.
    template_fields: Sequence[str] = ("day", "until", "candidate")

    def __init__(self, *, pipeline: str, day: str, until: str, candidate: str, **kwargs: Any) -> None:
        super().__init__(
            kubernetes_conn_id=None,  # KUBECONFIG, or the service account of this process's pod
            random_name_suffix=False,
            deferrable=True,
            durable=False,
            logging_interval=5,
            log_pod_spec_on_failure=False,
            container_name_log_prefix_enabled=False,
            **kwargs,
        )
        self.pipeline = pipeline
        self.day = day
        self.until = until
        self.candidate = candidate

    def execute(self, context: Context) -> None:
        """Plan the training, then start its pod or follow the existing one, and defer until the pod has ended."""
        self._start(context, restarts=0)

    def _start(self, context: Context, *, restarts: int, is_searched: bool = False) -> None:
        """
        Start a search for parameters if one is due, or the training, and defer.

        :param is_searched: the search has ended
        """
        lake = lake_of(self.pipeline)
        day, until = date.fromisoformat(self.day), date.fromisoformat(self.until)
        work = None if is_searched else plan_search(lake, lake.pipeline.calendar.dates(day, until), self.candidate)
        if work is None:
            plan, work = plan_work(lake, day, self.candidate, until=until, recompute=bool(context["params"]["recompute"]))
            if plan.skipped is not None:
                skip(context["ti"], Skipped(candidate=plan.candidate, reason=plan.skipped))
            if work is None:
                self._report(context, finish_training(lake, plan))
                return
        resources = lake.pipeline.training.resources
        self.schedule_timeout_seconds = resources.schedule_seconds
        self.startup_timeout_seconds = resources.start_seconds
        self.pod_template_dict = body = PodTrainer(lake).make_body(work)
        self.name, self.namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        self.trigger_kwargs = {"work": asdict(work), "restarts": restarts}
        super().execute(context)

    def get_or_create_pod(self, pod_request_obj: V1Pod, context: Context) -> V1Pod:
        """Create the pod. If its name is taken, follow that pod, take its result, or replace it if it failed."""
        body = ApiClient().sanitize_for_serialization(pod_request_obj)
        pod, _ = PodTrainer(lake_of(self.pipeline)).begin(body)
        return PodGenerator.deserialize_model_dict(pod)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> None:
        """Take the result of the pod, create the pod again if its node failed, or raise the cause of its failure."""
        lake = lake_of(self.pipeline)
        trainer, work = PodTrainer(lake), TrainingWork(**event["work"])
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": event["name"]}}
        last = trainer.look(pod)  # before the provider deletes it
        self.trigger_kwargs = {name: event[name] for name in ("work", "restarts")}  # for a deferral by the provider itself
        try:
            super().trigger_reentry(context, event)
        except (AirflowException, ApiException) as error:
            hint = str(event.get("message") or error)
            if not trainer.end(work, pod, last, hint=hint, restarts=event["restarts"]):
                self.pod = self.pod_request_obj = None
                self._start(context, restarts=event["restarts"] + 1)
                return
        if work.is_search:
            self.pod = self.pod_request_obj = None
            self._start(context, restarts=0, is_searched=True)
            return
        # The result is that of this pod's jobs, even if a new plan would differ now.
        done = TrainingPlan(self.candidate, skipped=None, job_uri=None, manifest_uri=work.manifests[0], unchanged=False)
        self._report(context, finish_training(lake, done))

    def _report(self, context: Context, result: Result) -> None:
        if isinstance(result, Skipped):
            skip(context["ti"], result)
        # KubernetesPodOperator's do_xcom_push would add a sidecar. The result is small and comes from object storage.
        context["ti"].xcom_push(key="return_value", value=result.to_json())
