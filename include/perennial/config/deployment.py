"""The sections `deployment` and `scoring` of pipeline.yaml: how a release serves, and which rows it scores."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from perennial.config.contract import Contract
from perennial.config.values import Cpu, Memory


class Autoscaling(Contract):
    """The maximum number of replicas of a release on Kubernetes, and when to add them; `replicas` is the minimum."""

    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    cpu_percent: Annotated[int, Field(ge=1, le=100)] = 70


class Deployment(Contract):
    """The settings with which a release serves."""

    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    autoscaling: Autoscaling | None = None
    cpu: Cpu = "250m"
    memory: Memory = "512Mi"
    p99_ms: Annotated[float, Field(gt=0, le=600_000)] = 50
    soak_seconds: Annotated[float, Field(ge=0, le=3600)] = 5

    @field_validator("autoscaling")
    @classmethod
    def _check_max_replicas(cls, autoscaling: Autoscaling | None, info: ValidationInfo) -> Autoscaling | None:
        min_replicas = info.data.get("replicas")
        if autoscaling is not None and min_replicas is not None and autoscaling.max_replicas < min_replicas:
            raise ValueError(f"max_replicas {autoscaling.max_replicas} is less than replicas {min_replicas}")
        return autoscaling


class Scoring(Contract):
    """Batch scoring: after each deploy, the active release answers every row of the run's date."""

    table: Annotated[str, Field(max_length=100)] = "features"
    """The table of the rows: `features`, or `clean_<source>`, whose columns must include the request fields."""
