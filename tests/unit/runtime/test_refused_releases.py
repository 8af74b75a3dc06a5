"""A server that refuses its release blames the version, unless the server is only of another version."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from perennial.config.pipeline import Pipeline
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, ReleaseFailedError, ReleaseUnprovenError
from perennial.runtime.base import StageFailedError
from perennial.runtime.kubernetes_serving import KubernetesRuntime


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Release 'r': its manifest is not of format 1. Serve it with the version that wrote it.", ReleaseUnprovenError),
        ("Release 'r': model.onnx is not among its files", StageFailedError),
    ],
)
def test_a_server_of_another_version_blames_no_model(
    pipeline_factory: Callable[..., Pipeline], said: str, error: type[PerennialError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.runtime.kubernetes_serving.Cluster", lambda _: SimpleNamespace(events=lambda _: []))
    runtime: Any = KubernetesRuntime(pipeline_factory())
    terminated = {"exitCode": REFUSED_EXIT_CODE, "reason": "Error", "message": said}
    status = {"containerStatuses": [{"name": "base", "state": {"terminated": terminated}}]}
    with pytest.raises(error, match="Release 'r'") as found:
        runtime._raise_if_hopeless(
            "r", {"metadata": {"name": "pod"}, "spec": {"containers": [{"name": "base"}]}, "status": status}
        )
    assert isinstance(found.value, ReleaseFailedError) == (error is StageFailedError)  # which a deploy blames the version for
