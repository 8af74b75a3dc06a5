"""What the stack refuses, in words that name the fix."""

from __future__ import annotations

from perennial.errors import PerennialError


class StackError(PerennialError):
    """A problem that the user can mend: its text says what failed, what was found, and what to do."""
