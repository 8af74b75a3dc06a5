"""
The system user that the services of root's stack run as.

It owns the folders that services write. The state folder itself, `stack.env`, the records of processes and all secrets stay
root's, because root's commands obey them: a file of keys may name a program that computes the keys. The group of that user may
read the secrets of services.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from perennial.store.scratch import SCRATCH
from stack.files import PRIVATE, write_file
from stack.system_user import Owner, find_owner

SERVICE_USER = "perennial-run"
"""The user of all services but PostgreSQL, whose files have a user of their own."""

HOME = "home"

FOLDERS = ("airflow", "log", "metastore", "s3", SCRATCH, "serve", "spark", HOME)
"""Folders of the state folder that services write. The last one's owner is the user of the services."""

SECRETS = (
    "s3.json",
    "s3_grpc.pem",
    "signing_key",
    "jobs",
    "jobs/aws_credentials",
    "serving",
    "serving/aws_credentials",
)
"""The secrets that services read, each after its folder. All others are read by root's commands alone."""

PASSWORDS = "airflow_passwords.json"
"""The passwords of Airflow's users belong to the user of the services: Airflow refuses a file that it cannot write."""

PERSONAL = ("TMPDIR", "XDG_")
"""Prefixes of variables with folders of root that another user cannot enter."""


def service_user(var: Path) -> str | None:
    """Return the user that the services of a state folder run as, None for the user who starts them."""
    return SERVICE_USER if _owner(var) else None


def identity(var: Path) -> dict[str, Any]:
    """Return the options of `subprocess` that start a process of the stack as that user."""
    user = service_user(var)
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def adapt(var: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as it fits that user."""
    user = service_user(var)
    if user is None:
        return dict(environment)
    home, kubeconfig = var / HOME, Path.home() / ".kube" / "config"
    return {
        **({"KUBECONFIG": str(kubeconfig)} if kubeconfig.is_file() else {}),
        **{name: value for name, value in environment.items() if not name.startswith(PERSONAL)},
        "HOME": str(home),
        "LOGNAME": user,
        "USER": user,
        # It cannot write beside the sources, and without compiled ones each process compiles all that it imports.
        "PYTHONPYCACHEPREFIX": str(home / "pycache"),
    }


def share(var: Path) -> None:
    """Give that user what root has written for it: the settings in its folders, and the secrets that it reads."""
    owner = _owner(var)
    if owner is None:
        return
    for folder in (var / name for name in FOLDERS):
        for entry in os.scandir(folder) if folder.is_dir() else ():  # earlier versions had fewer
            _give(entry.path, owner)
    secrets = var / "secrets"
    if secrets.is_dir():
        os.chown(secrets, 0, owner[1])
        secrets.chmod(0o710)
    for name in SECRETS:
        _lend(secrets / name, owner)
    _give(secrets / PASSWORDS, owner)


def secret_mode(var: Path) -> int:
    """Return the mode of a secret that services read."""
    return 0o640 if _owner(var) else PRIVATE


def give(var: Path, folder: Path) -> None:
    """Give that user a folder with its files, if the services run as it."""
    if owner := _owner(var):
        give_tree(folder, owner)


def give_tree(folder: Path, owner: Owner) -> None:
    """Give a user a folder and all that is in it, the folder last: its owner shows that the rest is done."""
    for _, folders, files, descriptor in os.fwalk(folder):
        for name in (*folders, *files):
            _give(name, owner, descriptor)
    _give(folder, owner)


def is_shared(secrets: Path) -> bool:
    """Return whether the services' user may enter a folder of root's secrets."""
    owner = find_owner(SERVICE_USER) if os.geteuid() == 0 else None
    return owner is not None and secrets.stat().st_gid == owner[1]


def _owner(var: Path) -> Owner | None:
    home = var / HOME
    owner = find_owner(SERVICE_USER) if os.geteuid() == 0 and home.is_dir() else None
    return owner if owner and home.stat().st_uid == owner[0] else None


def _lend(path: Path, owner: Owner) -> None:
    """
    Let a user read a secret of root's, or enter a folder of secrets, as its group.

    Earlier versions gave these to the user. Its folder becomes root's first, which keeps what is in it in place. Its file is
    replaced, because the user may hold the old one open. Anything else of that user's, such as a link, is removed.
    """
    if not os.path.lexists(path):
        return
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        os.chown(path, 0, owner[1], follow_symlinks=False)
        path.chmod(0o750)
        return
    if status.st_uid != 0:
        text = (
            path.read_text(encoding="utf-8", errors="replace")
            if stat.S_ISREG(status.st_mode) and status.st_uid == owner[0]
            else None
        )
        path.unlink()
        if text is None:
            return
        write_file(path, text)
    elif not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        return  # it may be another file of root's
    os.chown(path, 0, owner[1], follow_symlinks=False)
    path.chmod(0o640)


def _give(path: str | Path, owner: Owner, folder: int | None = None) -> None:
    """Change the owner of a file, not of what a link points to. A file with a second name may be another user's."""
    with suppress(FileNotFoundError):
        status = os.stat(path, dir_fd=folder, follow_symlinks=False)
        has_other_names = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
        if (status.st_uid, status.st_gid) != owner and not has_other_names:
            os.chown(path, *owner, dir_fd=folder, follow_symlinks=False)
