"""What tests of releases on a cluster share: versions to release, users who call them, and what is there."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from kube import kubectl
from lab import LAST, Lab
from traffic import Traffic, traffic

from perennial.deploy.active import read_active
from perennial.deploy.protocol import read_golden
from perennial.deploy.release import read_release
from perennial.evaluate.evaluate import evaluate

NAMESPACE, SERVICE = "perennial-serving", "machine-faults"
D1, D2 = LAST - timedelta(days=1), LAST


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def promote(lab: Lab, day: date, weight: float) -> str:
    version = lab.train("mlp", day, weight)
    lab.train("logistic", day, -0.05)
    evaluate(lab.lake, day, run_id="run", force_decision="PROMOTE", force_reason="test")
    return version


def deployments() -> set[str]:
    found = json.loads(kubectl("-n", NAMESPACE, "get", "deployments", "-l", "app=model", "-o", "json"))
    return {one["metadata"]["labels"]["perennial/release"] for one in found["items"]}


def served(lab: Lab) -> dict[str, Any]:
    release = read_active(lab.lake).release
    assert release is not None
    return {"release": release, "version": read_release(lab.lake, release)["version"]}


def users_of(lab: Lab) -> Any:
    record = read_golden(lab.lake, served(lab)["release"]).records[0]
    return traffic(NAMESPACE, SERVICE, dict(record))


def assert_nobody_noticed(users: Traffic) -> None:
    assert users.failed == {}
    assert len(users.answers) > 50
