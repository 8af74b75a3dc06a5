"""
The schemas of a cluster's own kinds, as kubeconform reads them.

They are built from the API server's own description (`kubectl get --raw /openapi/v2`).
So nothing has to be fetched, and the version is the cluster's.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

KINDS = "x-kubernetes-group-version-kind"
TEMPLATE = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""kubeconform's name of the file of a kind."""


def write_schemas(openapi: dict[str, Any], kinds: Collection[str], folder: Path) -> None:
    """Write a schema for each of the kinds that refuses what the kind does not have."""
    definitions = {name: _strict(name, body) for name, body in openapi["definitions"].items()}
    for name, body in definitions.items():
        for one in body.get(KINDS, ()):
            if one["kind"] in kinds:
                parts = (one["kind"].lower(), one["group"].split(".")[0], one["version"])
                schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
                (folder / f"{'-'.join(part for part in parts if part)}.json").write_text(json.dumps(schema), encoding="utf-8")


def _strict(name: str, body: dict[str, Any]) -> dict[str, Any]:
    if name.endswith((".IntOrString", ".Quantity")):
        return {"type": ["string", "integer", "number"]}
    if "properties" in body and "additionalProperties" not in body:
        return {**body, "additionalProperties": False}
    return body
