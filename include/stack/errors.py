"""Errors of the stack."""

from __future__ import annotations

from perennial.errors import PerennialError


class StackError(PerennialError):
    """A problem that the user can fix: its text says what failed, what was found, and what to do."""
