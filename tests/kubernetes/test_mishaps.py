"""What people and accidents do to a release on a cluster: production stays, comes back, or says what is wrong."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube import kubectl
from kube_releases import D1, D2, NAMESPACE, SERVICE, Killed, assert_nobody_noticed, deployments, promote, served, users_of
from lab import Lab

from perennial.deploy import deploy as deploying
from perennial.deploy import protocol
from perennial.deploy.active import read_active
from perennial.deploy.deploy import deploy, is_current
from perennial.deploy.janitor import clean_up
from perennial.deploy.release import read_release
from perennial.deploy.rollback import rollback
from perennial.errors import PerennialError, RefusedError, ReleaseUnprovenError, ReleaseWithdrawnError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.runtime import kubernetes_serving
from perennial.runtime.kubernetes_serving import KubernetesRuntime
from perennial.runtime.process_serving import ProcessRuntime


def chosen_release() -> str:
    return kubectl("-n", NAMESPACE, "get", "service", SERVICE, "-o", r"jsonpath={.spec.selector.perennial/release}")


def answers_from(lab: Lab) -> str | None:
    """Return the release that the endpoint answers from, once it does."""
    deadline = time.monotonic() + 20
    with KubernetesRuntime(lab.pipeline).endpoint() as client:
        while (answer := client.get("v2")).status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.2)
    return answer.headers.get("x-release")


def everything_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    # A cluster tells ages in whole seconds: what was just made may have an age of 0.
    monkeypatch.setattr(kubernetes_serving, "LEFT_OVER", timedelta(seconds=-1))


@pytest.fixture
def as_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that makes this process a service account, by a token as a pod or a cloud gives it."""

    def become(account: str, namespace: str) -> None:
        token = kubectl("-n", namespace, "create", "token", account, "--duration=15m").strip()
        document = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        document["users"][0]["user"] = {"token": token}
        file = tmp_path / f"{account}.yaml"
        file.write_text(yaml.safe_dump(document))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))

    return become


def test_the_deployer_needs_no_more_than_its_role(lab: Lab, as_account: Callable[[str, str], None]) -> None:
    as_account("perennial-deployer", NAMESPACE)
    promote(lab, D1, 0.1)
    assert deploy(lab.lake, D1, KubernetesRuntime(lab.pipeline)).outcome == "done"
    promote(lab, D2, 0.11)
    assert deploy(lab.lake, D2, KubernetesRuntime(lab.pipeline)).outcome == "done"
    assert rollback(lab.lake, reason="worse", who="test", runtime=KubernetesRuntime(lab.pipeline)).outcome == "done"


def test_the_janitor_takes_no_release_that_users_may_go_back_to(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    before = deploy(lab.lake, D1, runtime).released
    promote(lab, D2, 0.11)

    def soak(*_: Any) -> Any:
        with monkeypatch.context() as patched:
            everything_is_old(patched)
            assert clean_up([lab.lake]) == []
        raise ReleaseUnprovenError("the soak failed")

    monkeypatch.setattr(protocol, "soak", soak)
    with users_of(lab) as users, pytest.raises(ReleaseWithdrawnError):
        deploy(lab.lake, D2, runtime)
    assert_nobody_noticed(users)
    assert deployments() == {before}


def test_the_janitor_takes_no_release_that_serves(lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    everything_is_old(monkeypatch)
    kubectl("-n", NAMESPACE, "patch", "service", SERVICE, "-p", '{"spec":{"selector":{"app.kubernetes.io/component":"serving"}}}')
    assert clean_up([lab.lake]) == []
    assert deploy(lab.lake, D1, runtime).outcome == "unchanged"
    kubectl("-n", NAMESPACE, "delete", "service", SERVICE)
    assert clean_up([lab.lake]) == []
    assert deploy(lab.lake, D1, runtime).outcome == "done"
    assert answers_from(lab) == live


def test_what_was_deleted_by_hand_is_seen_and_made_again(lab: Lab, runtime: KubernetesRuntime) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    kubectl("-n", NAMESPACE, "delete", "deployment", f"{SERVICE}-{live}")
    assert not is_current(lab.lake, D1, runtime)
    assert deploy(lab.lake, D1, runtime).outcome == "done"
    assert answers_from(lab) == live


def test_a_release_that_served_stays_active_when_it_cannot_be_brought_back(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    kubectl("-n", NAMESPACE, "delete", "deployment", f"{SERVICE}-{live}")
    with monkeypatch.context() as patched:
        patched.setenv("PERENNIAL_SERVER_IMAGE", "perennial-server:never-built")
        with pytest.raises(ReleaseUnprovenError, match="does not start"):
            deploy(lab.lake, D1, KubernetesRuntime(lab.pipeline))
    assert read_active(lab.lake).release == live
    kubectl("-n", NAMESPACE, "delete", "deployment", f"{SERVICE}-{live}")
    assert deploy(lab.lake, D1, runtime).outcome == "done"


def test_a_service_that_would_be_refused_is_found_before_anything_moves(lab: Lab, runtime: KubernetesRuntime) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    ports = '[{"op":"replace","path":"/spec/ports","value":[{"name":"http","port":8080,"targetPort":"http"}]}]'
    kubectl("-n", NAMESPACE, "patch", "service", SERVICE, "--type=json", "-p", ports)
    promote(lab, D2, 0.11)
    with pytest.raises(PerennialError, match=r"The cluster refused to apply Service .*Duplicate value"):
        deploy(lab.lake, D2, runtime)
    assert read_active(lab.lake).release == live == chosen_release()
    kubectl("-n", NAMESPACE, "delete", "service", SERVICE)
    assert deploy(lab.lake, D2, runtime).outcome == "done"


def test_an_api_server_that_fails_after_the_pointer_moved_leaves_nobody_between_two_releases(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    promote(lab, D2, 0.11)
    real = KubernetesRuntime.switch
    failed: list[str] = []

    def switch(self: KubernetesRuntime, release: str) -> None:
        if not failed:
            failed.append(release)
            raise PerennialError("The cluster does not answer")
        real(self, release)

    with monkeypatch.context() as patched:
        patched.setattr(KubernetesRuntime, "switch", switch)
        with users_of(lab) as users, pytest.raises(ReleaseWithdrawnError, match="The cluster does not answer"):
            deploy(lab.lake, D2, runtime)
    assert_nobody_noticed(users)
    assert read_active(lab.lake).release == live == chosen_release()
    assert deploy(lab.lake, D2, runtime).outcome == "done"


def test_what_a_killed_deploy_left_failing_is_not_judged_again(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    deploy(lab.lake, D1, runtime)
    version = promote(lab, D2, 0.11)
    real = deploying.build_release
    whole: dict[str, Any] = {}

    def damage(lake: Lake, plan: Any) -> str:
        release = real(lake, plan)
        bucket, _, key = lake.layout.blob(read_release(lake, release)["files"]["model.onnx"]["sha256"])[5:].partition("/")
        body = lake.objects.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        whole.update(Bucket=bucket, Key=key, Body=body)
        lake.objects.client.put_object(Bucket=bucket, Key=key, Body=bytes([body[0] ^ 1]) + body[1:])
        return release

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(deploying, "build_release", damage)
        patched.setattr(KubernetesRuntime, "_causes", kill)
        patched.setattr(protocol, "_tidy", kill)
        with pytest.raises(Killed):
            deploy(lab.lake, D2, runtime)
    lab.lake.objects.client.put_object(**whole)
    assert deploy(lab.lake, D2, KubernetesRuntime(lab.pipeline)).version == version
    assert read_chain(lab.lake).interventions == ()


def test_the_way_back_needs_one_pod_only(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    two = lab.pipeline.deployment.model_copy(update={"replicas": 2})
    lake = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"deployment": two}))
    runtime = KubernetesRuntime(lake.pipeline)
    promote(lab, D1, 0.1)
    live = deploy(lake, D1, runtime).released
    promote(lab, D2, 0.11)

    def soak(*_: Any) -> Any:
        pods = json.loads(kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
        kubectl("-n", NAMESPACE, "create", "quota", "tight", f"--hard=pods={len(pods) - 1}")
        one = next(pod for pod in pods if pod["metadata"]["labels"].get("perennial/release") == live)
        kubectl("-n", NAMESPACE, "delete", "pod", one["metadata"]["name"], "--grace-period=0", "--force")
        raise ReleaseUnprovenError("the soak failed")

    monkeypatch.setattr(protocol, "soak", soak)
    try:
        with pytest.raises(ReleaseWithdrawnError, match=f"release {live} serves again"):
            deploy(lake, D2, runtime)
    finally:
        kubectl("-n", NAMESPACE, "delete", "quota", "tight", "--ignore-not-found")
    assert chosen_release() == live


def test_two_installations_do_not_take_each_others_place(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    with monkeypatch.context() as patched:
        patched.setenv("PERENNIAL_LAKE", os.environ["PERENNIAL_LAKE"] + "-staging")
        other = KubernetesRuntime(lab.pipeline)
        everything_is_old(patched)
        assert other.leftovers() == []
        with pytest.raises(RefusedError, match="serves from another lake"):
            other.stage(live)
        with pytest.raises(RefusedError, match="serves from another lake"):
            other.switch(live)
    assert chosen_release() == live


def test_a_shell_that_knows_of_no_cluster_changes_nothing(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    deploy(lab.lake, D1, runtime)
    promote(lab, D2, 0.11)
    live = deploy(lab.lake, D2, runtime).released
    monkeypatch.delenv("PERENNIAL_RUNTIME", raising=False)
    here = ProcessRuntime("machine_faults")
    for change in (
        lambda: rollback(lab.lake, reason="bad", who="test", runtime=here),
        lambda: protocol.bring_live(lab.lake, here, live, lambda: None),
    ):
        with pytest.raises(RefusedError, match="serves on Kubernetes, but this process would serve from this machine"):
            change()
    assert served(lab)["release"] == live == chosen_release()
    assert read_chain(lab.lake).interventions == ()
