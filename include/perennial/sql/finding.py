"""Findings of the SQL check."""

from __future__ import annotations


class Problem(Exception):
    """SQL that Spark or Perennial certainly refuses."""


class Doubt(Exception):
    """SQL that could not be checked. It may be correct."""
