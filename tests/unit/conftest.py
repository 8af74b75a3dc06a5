"""Unit tests run in one process, but for the object store, and see nothing of a stack that this checkout may have run."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def alone(no_stack: None) -> None:
    """Every test here is without a stack."""
