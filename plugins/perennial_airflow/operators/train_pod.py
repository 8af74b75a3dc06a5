"""The operator that trains one candidate in a pod."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodPhase
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import ApiClient, V1DeleteOptions, V1Pod, V1Preconditions
from kubernetes.client.exceptions import ApiException

from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError, render
from perennial.lake.result import Skipped
from perennial.runtime.kubernetes import TRAINING, KubernetesSettings, why_failed
from perennial.runtime.training_pod import MOST_RESTARTS, NOT_ITS_FAULT, pod_name, training_pod, waits_in_vain
from perennial.store.json_value import JsonValue
from perennial.train.plan import TrainingPlan, finish_training, plan_ahead, plan_training
from perennial_airflow.lake import lake_of
from perennial_airflow.tasks import skip

FOUND_SECONDS = 120
GONE, CONFLICT = 404, 409


class TrainPodOperator(KubernetesPodOperator):
    """
    Train one candidate of one date in a pod of its own; nothing is started when the model is there already.

    The pod's name is made of the training's key, so that two runs that want the same model share one pod. The result is read
    from object storage. A pod that was evicted or lost its node is made again without using up a retry.

    :param pipeline: name of the pipeline
    :param day: the run's date, YYYY-MM-DD (templated)
    :param until: the last date that the run works ahead for, YYYY-MM-DD (templated): the same pod trains these dates as well
    :param candidate: which candidate to train
    """

    # The fields of KubernetesPodOperator are set below from our own plan: nothing that a user typed is rendered into them.
    template_fields: Sequence[str] = ("day", "until", "candidate")

    def __init__(self, *, pipeline: str, day: str, until: str, candidate: str, **kwargs: Any) -> None:
        super().__init__(
            kubernetes_conn_id=None,  # KUBECONFIG, or the service account of the pod that this runs in
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
        lake = lake_of(self.pipeline)
        plan = plan_training(lake, date.fromisoformat(self.day), self.candidate, recompute=context["params"]["recompute"])
        if plan.skipped is not None:
            skip(context["ti"], Skipped(candidate=plan.candidate, reason=plan.skipped))
        if plan.job_uri is None or plan.key is None:
            self._report(context, finish_training(lake, plan).to_json())
            return
        settings = KubernetesSettings.read(TRAINING).of(lake.objects)
        resources = lake.pipeline.training.resources
        self.namespace = settings.namespace
        self.schedule_timeout_seconds = resources.schedule_seconds
        self.startup_timeout_seconds = resources.start_seconds
        self.name = pod_name(self.pipeline, self.candidate, plan.key, settings.lake_mark)
        ahead = plan_ahead(lake, date.fromisoformat(self.day), date.fromisoformat(self.until), self.candidate)
        jobs = list(dict.fromkeys([*plan.jobs, *ahead]))
        self.pod_template_dict = training_pod(settings, resources, self.name, self.pipeline, jobs)
        self.trigger_kwargs = {"manifest": plan.manifest_uri, "restarts": 0, **(self.trigger_kwargs or {})}
        super().execute(context)

    def get_or_create_pod(self, pod_request_obj: V1Pod, context: Context) -> V1Pod:
        """Create the pod; when there is one of its name, follow it, take its result, or replace it when it failed."""
        name, namespace = pod_request_obj.metadata.name, pod_request_obj.metadata.namespace
        deadline = time.monotonic() + FOUND_SECONDS
        while time.monotonic() < deadline:
            try:
                return self.client.create_namespaced_pod(namespace, pod_request_obj)
            except ApiException as error:
                if error.status != CONFLICT:
                    raise PerennialError(f"Pod {namespace}/{name} was refused: {error.reason}: {error.body}") from error
            found = self._read(name, namespace)
            if found is None or found.metadata.deletion_timestamp is not None:
                time.sleep(1)
            elif found.status.phase == PodPhase.FAILED or self._waits_in_vain(found):
                self.log.info("Pod %s failed before, or asks for what is no longer wanted; it is deleted and made again", name)
                self._delete(found)
            else:
                self.log.info("Pod %s is there already (%s): this task follows it", name, found.status.phase)
                return found
        raise PerennialError(f"Pod {namespace}/{name} is still being deleted after {FOUND_SECONDS} s. Run the task again.")

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> None:
        """Take the result of the pod, make it again when its node failed it, or say why it did not do its work."""
        lake = lake_of(self.pipeline)
        manifest = event["manifest"]
        pod = self._read(event["name"], event["namespace"])
        exit_code, causes = self._why_failed(pod)
        try:
            super().trigger_reentry(context, event)
        except (AirflowException, ApiException) as error:
            if lake.objects.exists(manifest):
                self.log.info("The pod is gone, its model is there: another task has followed the same pod")
            elif (pod is None or pod.status.reason in NOT_ITS_FAULT) and event["restarts"] < MOST_RESTARTS:
                self.log.warning("Pod %s was lost (%s): it is made again", event["name"], "; ".join(causes) or "deleted")
                self.pod = self.pod_request_obj = None
                self.trigger_kwargs = {"restarts": event["restarts"] + 1}
                self.execute(context)
                return
            else:
                problems = causes or [str(event.get("message") or error)]
                what = f"Training of {self.candidate} for {self.day} in pod {event['namespace']}/{event['name']}"
                remedy = "See docs/runbooks/training-pod-failed.md."
                if exit_code == REFUSED_EXIT_CODE:
                    raise RefusedError(what, problems, remedy) from error
                raise PerennialError(render(what, problems, remedy)) from error
        # What was trained is what this pod was told, even where today's plan would be another by now.
        done = TrainingPlan(self.candidate, skipped=None, job_uri=None, manifest_uri=manifest, unchanged=False)
        self._report(context, finish_training(lake, done).to_json())

    def _report(self, context: Context, result: dict[str, JsonValue]) -> None:
        # KubernetesPodOperator's do_xcom_push means its sidecar; the result is small and comes from object storage.
        context["ti"].xcom_push(key="return_value", value=result)

    def _read(self, name: str, namespace: str) -> V1Pod | None:
        try:
            return self.client.read_namespaced_pod(name, namespace)
        except ApiException as error:
            if error.status == GONE:
                return None
            raise

    def _waits_in_vain(self, pod: V1Pod) -> bool:
        return waits_in_vain(ApiClient().sanitize_for_serialization(pod), self.pod_template_dict or {})

    def _delete(self, pod: V1Pod) -> None:
        """Delete exactly this pod: one of the same name that another task has made since has another UID."""
        options = V1DeleteOptions(preconditions=V1Preconditions(uid=pod.metadata.uid), grace_period_seconds=0)
        try:
            self.client.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, body=options)
        except ApiException as error:
            if error.status not in (GONE, CONFLICT):
                raise

    def _why_failed(self, pod: V1Pod | None) -> tuple[int | None, list[str]]:
        if pod is None:
            return None, []
        found = ApiClient().sanitize_for_serialization(pod)
        events = self.client.list_namespaced_event(
            pod.metadata.namespace, field_selector=f"involvedObject.uid={pod.metadata.uid}"
        )
        ended = [
            one.state.terminated.exit_code for one in pod.status.container_statuses or () if one.state and one.state.terminated
        ]
        return ended[0] if ended else None, why_failed(found, ApiClient().sanitize_for_serialization(events)["items"])
