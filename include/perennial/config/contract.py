"""The base class of all parts of a pipeline.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """
    Base of all parts: immutable, no unknown keys, no coercion of text to numbers.

    A check between two fields belongs to the field that is read last. It then runs even if other fields are wrong, and its
    error names the place of that field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
