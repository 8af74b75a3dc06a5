"""The person at the command line. Their name is no part of a fingerprint: who repeats a run changes no result."""

from __future__ import annotations

import os
import pwd


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
