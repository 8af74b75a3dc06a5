"""Releases on a real cluster under traffic: good ones come, bad ones go, and users do not notice."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from kube import KUBECTL, kubectl, node_address
from kube_releases import (
    D1,
    D2,
    NAMESPACE,
    SERVICE,
    Killed,
    assert_nobody_noticed,
    deployments,
    promote,
    served,
    users_of,
)
from lab import Lab
from traffic import PER_SECOND

from perennial.deploy import deploy as deploying
from perennial.deploy import protocol
from perennial.deploy.active import read_active
from perennial.deploy.deploy import deploy
from perennial.deploy.janitor import clean_up
from perennial.deploy.protocol import read_golden
from perennial.deploy.release import build_release, plan_release, read_release
from perennial.deploy.rollback import rollback
from perennial.errors import PerennialError, ReleaseFailedError, ReleaseUnprovenError, ReleaseWithdrawnError
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import champion_of
from perennial.lake.lake import Lake
from perennial.runtime import kubernetes_serving
from perennial.runtime.kubernetes import KubernetesSettings
from perennial.runtime.kubernetes_serving import KubernetesRuntime

BACK_SECONDS = 60
MAX_SECONDS_DOWN = 10


def deployment_of(release: str) -> Any:
    return json.loads(kubectl("-n", NAMESPACE, "get", "deployment", f"{SERVICE}-{release}", "-o", "json"))["spec"]


Break = Callable[[Lab, pytest.MonkeyPatch], Lake]
"""Makes the next release a bad one; returns the lake to deploy from."""


def image_missing(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    patch.setenv("PERENNIAL_SERVER_IMAGE", "perennial-server:never-built")
    return lab.lake


def crash_at_start(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    patch.setenv("PERENNIAL_KUBERNETES_S3_ENDPOINT", "http://127.0.0.1:1")  # nothing listens there, in a pod
    return lab.lake


def never_ready(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    patch.setattr(kubernetes_serving, "READY_SECONDS", 15.0)
    silent = socket.create_server((node_address(), 0))  # takes connections, and never answers
    _open.append(silent)
    patch.setenv("PERENNIAL_KUBERNETES_S3_ENDPOINT", "http://{}:{}".format(*silent.getsockname()))
    return lab.lake


_open: list[socket.socket] = []


def wrong_golden_answers(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    def shifted(lake: Lake, release: str) -> Any:
        golden = read_golden(lake, release)
        if read_release(lake, release)["date"] != D2.isoformat() or "mlp" not in read_release(lake, release)["version"]:
            return golden
        wrong = [p + 0.25 for p in golden.expected.answers]
        return replace(golden, expected=replace(golden.expected, answers=wrong))

    patch.setattr(protocol, "read_golden", shifted)
    return lab.lake


def too_slow(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    deployment = lab.pipeline.deployment.model_copy(update={"p99_ms": 0.001})
    return replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"deployment": deployment}))


def out_of_memory(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    deployment = lab.pipeline.deployment.model_copy(update={"memory": "24Mi"})
    return replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"deployment": deployment}))


def _after_build(patch: pytest.MonkeyPatch, spoil: Callable[[Lake, dict[str, Any]], None]) -> None:
    real = deploying.build_release

    def build(lake: Lake, plan: Any) -> str:
        release = real(lake, plan)
        spoil(lake, read_release(lake, release))
        return release

    patch.setattr(deploying, "build_release", build)


def lookup_file_missing(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    def spoil(lake: Lake, manifest: dict[str, Any]) -> None:
        bucket, _, key = lake.layout.blob(manifest["files"]["lookups/machine_rates.json"]["sha256"])[5:].partition("/")
        lake.objects.client.delete_object(Bucket=bucket, Key=key)

    _after_build(patch, spoil)
    return lab.lake


def tampered_weights(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    def spoil(lake: Lake, manifest: dict[str, Any]) -> None:
        bucket, _, key = lake.layout.blob(manifest["files"]["model.onnx"]["sha256"])[5:].partition("/")
        body = bytearray(lake.objects.client.get_object(Bucket=bucket, Key=key)["Body"].read())
        body[len(body) // 2] ^= 1
        lake.objects.client.put_object(Bucket=bucket, Key=key, Body=bytes(body))

    _after_build(patch, spoil)
    return lab.lake


def bad_configuration(lab: Lab, patch: pytest.MonkeyPatch) -> Lake:
    patch.setattr(kubernetes_serving, "READY_SECONDS", 10.0)
    deployment = lab.pipeline.deployment.model_copy(update={"cpu": "1000"})
    return replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"deployment": deployment}))


BAD: list[tuple[Break, type[PerennialError], str]] = [
    (image_missing, ReleaseUnprovenError, r"perennial-server:never-built"),
    (crash_at_start, ReleaseUnprovenError, r"container ended with 1[\s\S]*127\.0\.0\.1:1"),
    (never_ready, ReleaseUnprovenError, r"not ready after 15 s[\s\S]*Startup probe failed"),
    (wrong_golden_answers, ReleaseFailedError, r"golden request 0: probability 0\.\d+, expected"),
    (too_slow, ReleaseFailedError, r"took longer than 0\.001 ms"),
    (out_of_memory, ReleaseUnprovenError, r"OOMKilled at its memory limit of 24Mi"),
    (lookup_file_missing, PerennialError, r"does not start|refused it"),
    (tampered_weights, ReleaseFailedError, r"SHA-256"),
    (bad_configuration, ReleaseUnprovenError, r"exceeded quota: perennial-serving"),
]


@pytest.mark.parametrize(("spoil", "error", "cause"), BAD, ids=[spoil.__name__ for spoil, _, _ in BAD])
def test_a_bad_release_fails_no_request(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch, spoil: Break, error: type[PerennialError], cause: str
) -> None:
    good = promote(lab, D1, 0.1)
    deploy(lab.lake, D1, runtime)
    bad = promote(lab, D2, 0.11)
    first = served(lab)
    with users_of(lab) as users:
        lake = spoil(lab, monkeypatch)
        began = time.monotonic()
        with pytest.raises(error, match=cause) as failure:
            deploy(lake, D2, KubernetesRuntime(lake.pipeline))
        seconds = time.monotonic() - began
    assert_nobody_noticed(users)
    assert seconds < BACK_SECONDS, f"{seconds:.0f} s"
    assert served(lab)["version"] == good
    assert bad not in {served(lab)["version"]}
    is_barred = isinstance(failure.value, ReleaseFailedError)
    assert [item.barred for item in read_chain(lab.lake).interventions][:1] == ([bad] if is_barred else [])
    assert deployments() == {served(lab)["release"]}
    assert users.releases[0] == first["release"]


def test_a_deploy_killed_while_switching_is_finished_by_the_next(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    deploy(lab.lake, D1, runtime)
    version = promote(lab, D2, 0.11)

    def kill(*_: Any) -> None:
        raise Killed

    with users_of(lab) as users:
        with monkeypatch.context() as patched:
            patched.setattr(KubernetesRuntime, "switch", kill)
            patched.setattr(protocol, "_tidy", kill)
            with pytest.raises(Killed):
                deploy(lab.lake, D2, runtime)
        assert not read_active(lab.lake).soaked
        found = deploy(lab.lake, D2, KubernetesRuntime(lab.pipeline))
    assert (found.outcome, found.version) == ("done", version)
    assert_nobody_noticed(users)
    assert len(users.releases) == 2
    assert served(lab)["release"] in deployments()


def test_a_service_that_was_set_back_by_hand_is_set_right_by_the_next(lab: Lab, runtime: KubernetesRuntime) -> None:
    promote(lab, D1, 0.1)
    found = deploy(lab.lake, D1, runtime)
    assert deploy(lab.lake, D1, runtime).outcome == "unchanged"
    kubectl("-n", NAMESPACE, "patch", "service", SERVICE, "-p", '{"spec":{"selector":{"perennial/release":"another"}}}')
    again = deploy(lab.lake, D1, runtime)
    assert (again.outcome, again.released) == ("done", found.released)
    assert runtime.follows(found.released)


def test_pods_that_vanish_in_the_soak_bring_the_release_before_back(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = promote(lab, D1, 0.1)
    deploy(lab.lake, D1, runtime)
    promote(lab, D2, 0.11)
    real = protocol.soak

    def vanish(server: Any, golden: Any, seconds: float) -> Any:
        kubectl("-n", NAMESPACE, "scale", "deployment", f"{SERVICE}-{golden.release}", "--replicas=0")
        return real(server, golden, 30)

    monkeypatch.setattr(protocol, "soak", vanish)
    with users_of(lab) as users:
        began = time.monotonic()
        with pytest.raises(ReleaseUnprovenError, match="serves again"):
            deploy(lab.lake, D2, runtime)
        seconds = time.monotonic() - began
    assert seconds < BACK_SECONDS
    assert served(lab)["version"] == good
    # The release was live when its pods went away: what users saw of that is counted, and it is short.
    assert sum(users.failed.values()) < 0.1 * len(users.answers)
    assert len(users.releases) == 3
    assert not read_chain(lab.lake).interventions


@pytest.mark.parametrize(
    ("fault", "error", "cause"),
    [
        # Too slow for this traffic, it loses its place among the Service's endpoints before the soak has counted enough.
        ("slow", PerennialError, r"soak, \d+ of \d+ requests took longer than 250 ms|no answer|HTTP 503"),
        ("leak", ReleaseWithdrawnError, r"no answer|HTTP 50"),
    ],
)
def test_what_shows_only_in_the_soak_is_bounded_and_reported(
    lab: Lab,
    runtime: KubernetesRuntime,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    fault: str,
    error: type[PerennialError],
    cause: str,
) -> None:
    good = promote(lab, D1, 0.1)
    deploy(lab.lake, D1, runtime)
    before = deployment_of(served(lab)["release"])
    promote(lab, D2, 0.11)
    variables = KubernetesSettings.variables
    with users_of(lab) as users:
        with monkeypatch.context() as patched:
            patched.setenv("PERENNIAL_SERVER_IMAGE", os.environ["PERENNIAL_FAULTY_IMAGE"])
            patched.setattr(KubernetesSettings, "variables", lambda self: {**variables(self), "FAULT": fault})
            deployment = lab.pipeline.deployment.model_copy(update={"soak_seconds": 15})
            lake = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"deployment": deployment}))
            began = time.monotonic()
            with pytest.raises(error, match=cause) as failure:
                deploy(lake, D2, KubernetesRuntime(lake.pipeline))
            seconds = time.monotonic() - began
    assert "serves again" in str(failure.value)
    assert seconds < BACK_SECONDS
    assert served(lab)["version"] == good
    # The faulty image came by the settings: what went back is as it was, and is not made from them.
    assert deployment_of(served(lab)["release"]) == before
    record_property(f"failed requests, {fault}", f"{dict(users.failed)} of {len(users.answers)}")
    assert sum(users.failed.values()) < PER_SECOND * MAX_SECONDS_DOWN
    # The last that was sent: one that was sent to the slow server may be answered later.
    assert max(users.answers, key=lambda answer: answer.sent).status == 200


def test_ten_good_releases_in_a_row_and_a_rollback_fail_no_request(lab: Lab, runtime: KubernetesRuntime) -> None:
    promote(lab, D1, 0.1)
    deploy(lab.lake, D1, runtime)
    with users_of(lab) as users:
        released = [served(lab)["release"]]
        for index in range(10):
            lab.correct(D2)
            promote(lab, D2, 0.1 + (index + 1) / 1000)
            released.append(deploy(lab.lake, D2, runtime).released)
        back = rollback(lab.lake, reason="test", who="tests", runtime=runtime)
    assert_nobody_noticed(users)
    assert users.releases == [*released, back.released]
    assert deployments() == {back.released}


def test_what_is_left_over_is_found_by_age_and_taken_away(
    lab: Lab, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    promote(lab, D2, 0.11)

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(protocol, "serve_check", kill)
        patched.setattr(protocol, "_tidy", kill)
        with pytest.raises(Killed):
            deploy(lab.lake, D2, runtime)
    (left,) = deployments() - {live}
    assert clean_up([lab.lake]) == []  # it may still be under way
    monkeypatch.setattr(kubernetes_serving, "LEFT_OVER", timedelta(seconds=-1))  # a cluster tells ages in whole seconds
    assert [one.name for one in clean_up([lab.lake], dry_run=True)] == [f"machine_faults {left}"]
    assert deployments() == {live, left}
    clean_up([lab.lake])
    assert deployments() == {live}
    assert clean_up([lab.lake]) == []


def test_the_plan_says_what_would_change_and_makes_nothing(lab: Lab, runtime: KubernetesRuntime) -> None:
    promote(lab, D1, 0.1)
    live = deploy(lab.lake, D1, runtime).released
    assert runtime.plan(live) == []
    promote(lab, D2, 0.11)
    lake = lab.lake
    model = champion_of(read_chain(lake), D2).model
    assert model is not None
    release = build_release(lake, plan_release(lake, read_chain(lake), D2, model))
    lines = "\n".join(runtime.plan(release))
    assert f'-   "perennial/release": "{live}"' in lines
    assert f'+   "perennial/release": "{release}"' in lines
    assert deployments() == {live}


DENIED = [
    ("launcher", "training", "get", "secrets"),
    ("launcher", "training", "create", "pods/exec"),
    ("launcher", "training", "create", "deployments.apps"),
    ("launcher", "training", "create", "rolebindings.rbac.authorization.k8s.io"),
    ("launcher", "serving", "create", "pods"),
    ("launcher", "serving", "get", "pods"),
    ("launcher", "default", "create", "pods"),
    ("launcher", "training", "delete", "networkpolicies.networking.k8s.io"),
    ("launcher", "serving", "patch", "networkpolicies.networking.k8s.io"),
    ("deployer", "training", "patch", "networkpolicies.networking.k8s.io"),
    ("deployer", "serving", "get", "secrets"),
    ("deployer", "serving", "create", "pods"),
    ("deployer", "serving", "create", "pods/exec"),
    ("deployer", "serving", "create", "rolebindings.rbac.authorization.k8s.io"),
    ("deployer", "training", "get", "pods"),
    ("deployer", "training", "patch", "deployments.apps"),
    ("deployer", "kube-system", "patch", "services"),
]
ALLOWED = [
    ("launcher", "training", "create", "pods"),
    ("launcher", "training", "delete", "pods"),
    ("launcher", "training", "get", "pods/log"),
    ("launcher", "training", "patch", "networkpolicies.networking.k8s.io"),
    ("deployer", "serving", "patch", "networkpolicies.networking.k8s.io"),
    ("deployer", "serving", "patch", "deployments.apps"),
    ("deployer", "serving", "patch", "services"),
    ("deployer", "serving", "create", "services/proxy"),
]


@pytest.mark.parametrize(("case", "answer"), [*((case, "no") for case in DENIED), *((case, "yes") for case in ALLOWED)])
def test_roles_allow_what_is_needed_and_nothing_else(cluster_s3: str, case: tuple[str, str, str, str], answer: str) -> None:
    who, where, verb, what = case
    home = {"launcher": "perennial-training", "deployer": "perennial-serving"}[who]
    namespace = f"perennial-{where}" if where in ("training", "serving") else where
    account = f"system:serviceaccount:{home}:perennial-{who}"
    resource, _, subresource = what.partition("/")
    words = ["auth", "can-i", verb, resource, "-n", namespace, "--as", account]
    done = subprocess.run(
        [*KUBECTL, *words, *([f"--subresource={subresource}"] if subresource else [])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().startswith(answer), done.stdout + done.stderr
