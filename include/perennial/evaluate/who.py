"""The people behind decisions. Their names are no part of a fingerprint: who repeats a run changes no result."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from perennial.store.json_value import JsonValue


def get_os_user() -> str:
    """
    Return the user of this process as the system knows them, with the number.

    The variables USER and LOGNAME are not asked: anyone can set them.
    """
    number = os.getuid()
    try:
        return f"{pwd.getpwuid(number).pw_name} (uid {number})"
    except KeyError:  # a container may run as a number without a name
        return f"uid {number}"


def describe_force(forced: Mapping[str, JsonValue] | None) -> str:
    """Say who forced a decision; an empty text if no one did. Decisions of earlier versions hold no name."""
    if forced is None:
        return ""
    by = forced.get("by")
    return f"forced by {by}" if by else "forced; the decision does not say by whom"
