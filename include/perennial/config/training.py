"""The section `training` of pipeline.yaml: the history that a model sees, the candidates, and the resources of a pod."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from perennial.config.candidates import DEFAULT_CANDIDATES, Candidates, Family, Mlp, hasty_searches
from perennial.config.contract import Contract
from perennial.config.values import Cpu, LabelKey, LabelValue, ManyRows, Memory, Positive, ResourceName, refuse


class Toleration(Contract):
    """A node taint that the training pod tolerates, in the terms of Kubernetes."""

    key: LabelKey
    operator: Literal["Exists", "Equal"] = "Exists"
    """The default is `Equal` if a value is given."""

    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_to_equal(cls, toleration: Any) -> Any:
        if isinstance(toleration, dict) and toleration.get("value") is not None and "operator" not in toleration:
            return {**toleration, "operator": "Equal"}
        return toleration

    @field_validator("value")
    @classmethod
    def _check_value(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("operator") == "Exists":
            raise ValueError("operator Exists takes no value; remove the operator or the value")
        return value


class Resources(Contract):
    """The resources that a training pod requests from the cluster. With `gpus: 0` it requests no GPU."""

    cpu: Cpu = "1"
    memory: Memory = "2Gi"
    scratch: Memory | None = None
    """Disk for the rows of a training. None: 2Gi in a pod, and the free disk in a process."""

    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    gpu_name: ResourceName = "nvidia.com/gpu"
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: list[Toleration] = []
    schedule_seconds: Annotated[int, Field(ge=10, le=86_400)] = 1800
    """Maximum wait of the pod for a node. A cluster that adds GPU nodes on demand takes 10 to 20 minutes."""

    start_seconds: Annotated[int, Field(ge=10, le=86_400)] = 600
    """Maximum time to start once it has a node: pulling the image, mounting volumes."""

    run_seconds: Annotated[int, Field(ge=60, le=604_800)] = 21_600
    """Maximum run time. The cluster ends the pod then, even if no task follows it any more."""

    @property
    def pod_scratch(self) -> str:
        """Return the disk that a pod requests."""
        return self.scratch or "2Gi"


class Training(Contract):
    """The amount of history that a model sees, and the candidates to train."""

    window_days: Positive = 28
    holdout_days: Positive = 7
    min_days: Positive = 30
    lookback_days: Annotated[int, Field(ge=0, le=3660)] = 28
    candidates: Candidates = DEFAULT_CANDIDATES
    """By name, in the order in which ties are decided."""

    warm_start: bool = False
    """If true, a network starts with the weights of the date before and trains for one epoch only."""

    max_rows: ManyRows | None = None
    """Rows of a window to train on, about. None: all. Fewer than 50,000 give a network too few steps."""

    sample: Literal["uniform", "balanced"] = "uniform"
    """The rows to choose: each with the same chance, or half of them of the rarer class."""

    resources: Resources = Resources()

    @field_validator("candidates")
    @classmethod
    def _check_searches(cls, candidates: dict[str, Family], info: ValidationInfo) -> dict[str, Family]:
        if (window_days := info.data.get("window_days")) is not None:
            refuse(hasty_searches(candidates, window_days))
        return candidates

    @field_validator("warm_start")
    @classmethod
    def _check_warm_start(cls, warm_start: bool, info: ValidationInfo) -> bool:
        searched = [name for name, item in info.data.get("candidates", {}).items() if isinstance(item, Mlp) and item.search]
        if warm_start and searched:
            raise ValueError(
                f"{', '.join(searched)}: a search trains networks from random weights, so it tells nothing about a warm start. "
                "Remove search or warm_start"
            )
        return warm_start

    @field_validator("min_days")
    @classmethod
    def _check_min_days(cls, min_days: int, info: ValidationInfo) -> int:
        window, holdout = info.data.get("window_days"), info.data.get("holdout_days")
        if window is not None and holdout is not None and min_days > window + holdout:
            raise ValueError(
                f"min_days {min_days} is more than window_days + holdout_days = {window + holdout}: no date could ever train"
            )
        return min_days
