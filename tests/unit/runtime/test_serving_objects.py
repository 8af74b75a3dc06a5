"""What a release is on Kubernetes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from signing_keys import KeyFolder

from perennial.config.deployment import Autoscaling, Deployment
from perennial.errors import RefusedError
from perennial.runtime.kubernetes import SERVING, TRAINING, KubernetesSettings
from perennial.runtime.serving_objects import pipeline_objects, release_heads, release_objects, selector, service, service_name
from perennial.runtime.training_pod import training_policy

SETTINGS = KubernetesSettings("perennial-serving", "http://10.0.0.1:8333", "us-east-1", "perennial-server:1")
RELEASE = "2026-03-14-0123456789ab"


def objects(**deployment: Any) -> dict[str, dict[str, Any]]:
    bodies = release_objects(SETTINGS, Deployment(**deployment), "flight_delays", "main", RELEASE)
    return {body["kind"]: body for body in bodies}


def container(**deployment: Any) -> dict[str, Any]:
    (found,) = objects(**deployment)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_a_pipeline_that_says_nothing_gets_one_replica_on_port_8080() -> None:
    body = objects()["Deployment"]
    assert body["spec"]["replicas"] == 1
    assert body["metadata"]["namespace"] == "perennial-serving"
    assert body["metadata"]["labels"]["app"] == "model"
    assert container()["ports"] == [{"name": "http", "containerPort": 8080}]
    assert container()["args"] == ["--pipeline", "flight_delays", "--space", "main", "--release", RELEASE]


def test_a_server_is_told_the_memory_limit_of_its_pod() -> None:
    assert container(memory="1Gi")["resources"]["limits"]["memory"] == "1Gi"
    (memory,) = [item for item in container()["env"] if item["name"] == "PERENNIAL_SERVER_MEMORY_MIB"]
    assert memory["valueFrom"]["resourceFieldRef"] == {"resource": "limits.memory", "divisor": "1Mi"}


def test_what_scales_has_no_replicas_of_ours() -> None:
    found = objects(replicas=2, autoscaling=Autoscaling(max_replicas=5, cpu_percent=60))
    assert "replicas" not in found["Deployment"]["spec"]
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert scaler["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert "HorizontalPodAutoscaler" not in objects()


def test_the_service_selects_the_pods_of_one_release() -> None:
    chosen = service(SETTINGS, "flight_delays", RELEASE)["spec"]["selector"]
    labels = objects()["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert chosen == selector("flight_delays", RELEASE)
    assert chosen.items() <= labels.items()
    assert not selector("flight_delays", "2026-03-15-0123456789ab").items() <= labels.items()


def test_a_drain_is_never_blocked() -> None:
    (budget,) = [body for body in pipeline_objects(SETTINGS, "flight_delays") if body["kind"] == "PodDisruptionBudget"]
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]


def network_policy(settings: KubernetesSettings) -> dict[str, Any]:
    (policy,) = [body for body in pipeline_objects(settings, "flight_delays") if body["kind"] == "NetworkPolicy"]
    return dict(policy["spec"])


def test_pods_may_call_the_object_store_and_names_alone() -> None:
    ports = [port["port"] for rule in network_policy(SETTINGS)["egress"] for port in rule["ports"]]
    assert ports == [53, 53, 8333]


def test_names_come_from_the_clusters_dns_and_the_rest_is_as_before_until_settings_limit_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://10.0.0.1:8333")
    spec = network_policy(KubernetesSettings.read(SERVING))
    dns, store = spec["egress"]
    assert dns["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
        {"ipBlock": {"cidr": "169.254.20.10/32"}},
    ]
    assert "to" not in store
    assert spec["ingress"] == [{"ports": [{"port": 8080, "protocol": "TCP"}]}]


def test_settings_limit_who_connects_and_where_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://10.0.0.1:8333")
    monkeypatch.setenv("PERENNIAL_KUBERNETES_EGRESS", "10.0.0.1/32")
    monkeypatch.setenv("PERENNIAL_KUBERNETES_INGRESS", "team=web, 10.1.0.0/16")
    web, nodes, store = (
        {"namespaceSelector": {"matchLabels": {"team": "web"}}},
        {"ipBlock": {"cidr": "10.1.0.0/16"}},
        {"ipBlock": {"cidr": "10.0.0.1/32"}},
    )
    serving = network_policy(KubernetesSettings.read(SERVING))
    assert serving["ingress"] == [{"from": [web, nodes], "ports": [{"port": 8080, "protocol": "TCP"}]}]
    training = training_policy(KubernetesSettings.read(TRAINING))["spec"]
    assert training["policyTypes"] == ["Egress"]
    assert serving["egress"][1] == training["egress"][1] == {"to": [store], "ports": [{"port": 8333, "protocol": "TCP"}]}


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "10.0.0.1/8", "web", "a=b=c", ",", "300.0.0.0/8", "-a=b", "a=b/c", "a==", "a=b\nc=d"]
)
@pytest.mark.parametrize("name", ["DNS", "EGRESS", "INGRESS"])
def test_a_peer_that_is_none_is_refused_by_name(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PERENNIAL_KUBERNETES_{name}", text)
    with pytest.raises(RefusedError, match=rf"^PERENNIAL_KUBERNETES_{name} is .*expected networks"):
        KubernetesSettings.read(TRAINING)


def test_no_key_is_in_the_environment_and_no_token_is_mounted() -> None:
    spec = objects()["Deployment"]["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert not [
        name for name in objects()["ConfigMap"]["data"] if any(word in name for word in ("SECRET", "ACCESS_KEY", "TOKEN"))
    ]


def test_trusted_keys_are_files_of_a_config_map() -> None:
    settings = replace(SETTINGS, trusted_keys={"0123456789abcdef.pem": "-----BEGIN PUBLIC KEY-----"})
    (keys,) = [body for body in pipeline_objects(settings, "flight_delays") if body["kind"] == "ConfigMap"]
    assert keys["data"] == settings.trusted_keys
    bodies = {body["kind"]: body for body in release_objects(settings, Deployment(), "flight_delays", "main", RELEASE)}
    spec = bodies["Deployment"]["spec"]["template"]["spec"]
    (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == keys["metadata"]["name"]]
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
    assert volume["configMap"]["name"] == keys["metadata"]["name"]
    assert bodies["ConfigMap"]["data"]["PERENNIAL_TRUSTED_KEYS"] == mount["mountPath"]
    assert not any("SIGNING" in name for name in bodies["ConfigMap"]["data"])


def test_without_trusted_keys_a_release_is_as_before() -> None:
    assert not [body for body in pipeline_objects(SETTINGS, "flight_delays") if body["kind"] == "ConfigMap"]
    assert "PERENNIAL_TRUSTED_KEYS" not in objects()["ConfigMap"]["data"]
    volumes = objects()["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert [volume["name"] for volume in volumes] == ["storage", "tmp"]


def test_the_settings_of_servers_hold_the_public_keys_and_those_of_trainings_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyFolder(tmp_path)
    key = keys.make("mine")
    keys.use(monkeypatch, "mine")
    assert KubernetesSettings.read(SERVING).trusted_keys == {f"{key.id}.pem": key.public_pem}
    training = KubernetesSettings.read(TRAINING)
    assert training.trusted_keys == {}
    assert not any("KEYS" in name or "SIGNING" in name for name in training.variables())


def test_tokens_are_files_of_a_secret_where_predictions_need_one() -> None:
    bodies = release_objects(replace(SETTINGS, asks_token=True), Deployment(), "flight_delays", "main", RELEASE)
    found = {body["kind"]: body for body in bodies}
    spec = found["Deployment"]["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
    assert found["ConfigMap"]["data"]["PERENNIAL_SERVER_TOKENS"] == f"{mounts['tokens']}/tokens"
    assert secrets == {"storage": "perennial-storage", "tokens": "perennial-server-tokens"}
    assert "tokens" not in str(objects())


def test_pods_need_a_token_where_the_setting_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not KubernetesSettings.read(SERVING).asks_token
    monkeypatch.setenv("PERENNIAL_SERVER_TOKENS", str(tmp_path / "tokens"))
    assert KubernetesSettings.read(SERVING).asks_token
    assert not KubernetesSettings.read(TRAINING).asks_token


def test_pods_get_the_limit_of_connections_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = "PERENNIAL_SERVER_ADDRESS_CONNECTIONS"
    assert variable not in KubernetesSettings.read(SERVING).variables()
    monkeypatch.setenv(variable, "50")
    assert KubernetesSettings.read(SERVING).variables()[variable] == "50"
    assert variable not in KubernetesSettings.read(TRAINING).variables()


def test_all_that_a_release_may_have_is_deleted() -> None:
    made = {(body["kind"], body["metadata"]["name"]) for body in objects(autoscaling=Autoscaling(max_replicas=2)).values()}
    assert {(body["kind"], body["metadata"]["name"]) for body in release_heads(SETTINGS, "flight_delays", RELEASE)} == made


@pytest.mark.parametrize("pipeline", ["flight_delays", "a", "x" * 40])
def test_the_service_has_a_name_that_kubernetes_takes(pipeline: str) -> None:
    assert len(service_name(pipeline)) <= 63
    assert "_" not in service_name(pipeline)


def test_an_image_is_needed_to_serve_and_not_to_look() -> None:
    nameless = KubernetesSettings("perennial-serving", None, "us-east-1")
    assert service(nameless, "flight_delays", RELEASE)
    with pytest.raises(RefusedError, match="PERENNIAL_SERVER_IMAGE"):
        release_objects(nameless, Deployment(), "flight_delays", "main", RELEASE)


def test_changed_settings_make_new_pods() -> None:
    def noted(endpoint: str) -> str:
        settings = replace(SETTINGS, s3_endpoint=endpoint)
        (deployment,) = [
            body
            for body in release_objects(settings, Deployment(), "flight_delays", "main", RELEASE)
            if body["kind"] == "Deployment"
        ]
        return str(deployment["spec"]["template"]["metadata"]["annotations"])

    assert noted("http://10.0.0.1:8333") == noted("http://10.0.0.1:8333") != noted("http://10.0.0.2:8333")
