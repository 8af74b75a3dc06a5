"""What looking into SQL may find."""

from __future__ import annotations


class Problem(Exception):
    """Spark would certainly refuse it, or Perennial does."""


class Doubt(Exception):
    """It could not be looked into: it may well be right."""
