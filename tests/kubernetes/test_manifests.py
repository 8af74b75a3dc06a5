"""Everything that is applied to a cluster, against the schemas of this very cluster, by kubeconform."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube import kubectl
from kube_schemas import TEMPLATE, write_schemas
from render_manifests import all_objects, as_documents

from stack.config import REPO

KUBECONFORM = shutil.which("kubeconform")
DEPLOY = REPO / "include/deploy"
APPLIED = [
    *all_objects(),
    *(one for file in ("namespaces", "training", "serving") for one in yaml.safe_load_all((DEPLOY / f"{file}.yaml").read_text())),
]

pytestmark = pytest.mark.skipif(
    KUBECONFORM is None, reason="no kubeconform: go install github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0"
)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(json.loads(kubectl("get", "--raw", "/openapi/v2")), {one["kind"] for one in APPLIED}, folder)
    return folder


def conform(schemas: Path, objects: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    command = [str(KUBECONFORM), "-strict", "-summary", "-schema-location", f"{schemas}/{TEMPLATE}", "-"]
    return subprocess.run(command, input=as_documents(objects), capture_output=True, text=True, check=False)


def test_all_that_is_applied_conforms(schemas: Path) -> None:
    checked = conform(schemas, APPLIED)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (
        f"{len(APPLIED)} resources found parsing stdin - Valid: {len(APPLIED)}, Invalid: 0, Errors: 0, Skipped: 0"
        in checked.stdout
    )


def test_a_field_that_is_none_and_a_value_of_another_type_are_found(schemas: Path) -> None:
    deployment = next(one for one in APPLIED if one["kind"] == "Deployment")
    for wrong in ({"replica": 1}, {"minReadySeconds": "soon"}):
        checked = conform(schemas, [{**deployment, "spec": {**deployment["spec"], **wrong}}])
        assert checked.returncode != 0
        assert next(iter(wrong)) in checked.stdout
