"""The environment of a family that trains with libraries of its own: the Python of its trainer, and the image of its pods."""

from __future__ import annotations

import sys
from pathlib import Path

from perennial.settings import ROOT

TORCH = "pytorch"
"""The family that has one."""

PYTHONS: dict[str, Path] = {TORCH: ROOT / ".torch/bin/python"}
"""The Pythons of these environments, by family."""


def python_of(family: str) -> str:
    """Return the Python of a family's trainer on this machine: that of this process, but for a family that has its own."""
    return str(PYTHONS.get(family, sys.executable))


def find_missing(family: str) -> str | None:
    """Return what is missing on this machine for the trainings of a family, and how to get it; None if it can train."""
    python = PYTHONS.get(family)
    if python is None or python.exists():
        return None
    return (
        f"{family} needs PyTorch, and {python} does not exist. Run `make torch` (5.7 GB); "
        "in containers, start them with `make compose-up PERENNIAL_TORCH=1`"
    )
