"""System users that root's stack runs its services as."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

Owner = tuple[int, int]
"""The numbers of a user and of a group."""


def find_owner(user: str) -> Owner | None:
    """Return the numbers of a user and its group, None if there is no user of that name."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def ensure_user(user: str, home: Path) -> str | None:
    """Create a system user and its group, unless it exists. Return the reason if that fails."""
    if find_owner(user) is not None:
        return None
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", str(home), "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run(["useradd", *options, user], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the system user {user!r} could not be created: {error}"
    return None
