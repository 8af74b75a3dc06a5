"""Tests of one part in processes of its own: servers, a JVM, supervised services. The whole stack is tests/integration."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def alone(no_stack: None) -> None:
    """Every test here is without a stack."""
