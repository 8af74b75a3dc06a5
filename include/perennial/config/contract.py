"""The base of all that a pipeline.yaml is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """
    Base of all parts: immutable, nothing unknown, no coercion of text to numbers.

    A check between values belongs to the one that is read last, so that it runs whatever else is wrong, and names its place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
