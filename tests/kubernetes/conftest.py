"""The lab, served by a cluster: its pods reach the tests' object store through a relay at the node's address."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kube import install, kubectl, node_address, relayed
from lab import Lab, build_lab, with_lookup

from perennial.runtime.kubernetes_serving import KubernetesRuntime
from stack.config import StackConfig

NAMESPACE = "perennial-serving"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a cluster where there is none."""
    if not os.environ.get("KUBECONFIG"):
        reason = pytest.mark.skip(reason="KUBECONFIG names no cluster: make test-kubernetes says more")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(reason)


@pytest.fixture(scope="session")
def cluster_s3(s3_config: StackConfig, s3_server: dict[str, str]) -> Iterator[str]:
    """Install namespaces, roles and the Secrets, and yield the address of the object store as pods see it."""
    install(s3_config.credentials)
    port = urlsplit(s3_server["AWS_ENDPOINT_URL_S3"]).port
    address = node_address()
    with relayed((address, 0), ("127.0.0.1", int(port or 0))) as at:
        yield f"http://{address}:{at}"


@pytest.fixture
def lab(
    s3: Any, cluster_s3: str, pipeline_factory: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lab]:
    """A lake with features and lookups of two weeks, whose releases serve on the cluster; afterwards nothing of them is left."""
    monkeypatch.setenv("PERENNIAL_KUBERNETES_S3_ENDPOINT", cluster_s3)

    def edit(document: dict[str, Any]) -> None:
        with_lookup(tmp_path / "pipelines" / "machine_faults")(document)
        document["runtime"] = "kubernetes"
        document["deployment"] = {"p99_ms": 250, "soak_seconds": 2, "cpu": "50m", "memory": "256Mi"}

    found = build_lab(s3.open_lake(pipeline_factory(edit)), tmp_path)
    yield found
    kubectl("-n", NAMESPACE, "delete", "deployment,service,configmap,pdb,hpa,networkpolicy,serviceaccount", "-l", "app=model")
    _wait_until_gone()


@pytest.fixture
def runtime(lab: Lab) -> KubernetesRuntime:
    """Return the runtime of the lab's pipeline."""
    return KubernetesRuntime(lab.pipeline)


def _wait_until_gone() -> None:
    deadline = time.monotonic() + 90
    while kubectl("-n", NAMESPACE, "get", "pods", "-l", "app=model", "-o", "name"):
        assert time.monotonic() < deadline, "pods of a test are still there"
        time.sleep(1)
