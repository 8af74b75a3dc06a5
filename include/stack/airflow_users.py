"""Users of the embedded Airflow: their roles come from a setting, their passwords are made once and kept in files."""

from __future__ import annotations

import re

from perennial.settings import get_settings
from stack.config import StackConfig
from stack.errors import StackError
from stack.secrets import secret

ADMIN = "admin"
"""The user of `perennial backfill` and of the demo. It always exists."""

ROLES = ("viewer", "user", "op", "admin")
"""The roles of Airflow's simple auth manager; each may do all that the roles before it may do."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def airflow_users() -> dict[str, str]:
    """
    Return the role of each user of Airflow.

    :raises StackError: with every problem of PERENNIAL_AIRFLOW_USERS
    """
    users, problems = {ADMIN: "admin"}, []
    for entry in filter(None, (part.strip() for part in (get_settings().airflow_users or "").split(","))):
        name, _, role = entry.partition(":")
        if not _NAME.fullmatch(name):
            problems.append(
                f"{name!r}: a name may hold at most 40 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit"
            )
        elif role not in ROLES:
            problems.append(f"{entry!r}: expected a role after the name, {', '.join(ROLES)}")
        elif users.setdefault(name, role) != role:
            problems.append(f"{name!r} has the roles {users[name]} and {role}")
    if problems:
        raise StackError("PERENNIAL_AIRFLOW_USERS cannot be read", problems, "Write it as ann:op,bob:viewer.")
    return users


def passwords(config: StackConfig) -> dict[str, str]:
    """
    Return the password of each user; it is made when the user is new.

    Passwords of users that the setting no longer names are deleted, so a user who is named again gets another one.
    """
    users, folder = airflow_users(), config.secrets / "airflow_users"
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.name not in users:
            file.unlink()
    others = {name: secret(folder, name) for name in users if name != ADMIN}
    return {ADMIN: secret(config.secrets, "airflow_admin"), **others}
