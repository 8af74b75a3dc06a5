"""The words for a forced decision."""

from __future__ import annotations

from collections.abc import Mapping


def describe_force(forced: Mapping[str, object] | None) -> str:
    """Say who forced a decision; an empty text if no one did. Decisions of earlier versions hold no name."""
    if forced is None:
        return ""
    by = forced.get("by")
    return f"forced by {by}" if by else "forced; the decision does not say by whom"
