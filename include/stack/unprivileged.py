"""The choice whether the services of root's stack run as an unprivileged user: where it can read what they need."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from perennial.config.load import load_pipeline
from perennial.errors import PerennialError
from perennial.runtime.kind import runtime_of
from perennial.settings import get_settings
from stack.config import StackConfig
from stack.machine import existing
from stack.process import is_running
from stack.service_user import FOLDERS, SERVICE_USER, give_tree, service_user
from stack.spark import spark_home
from stack.system_user import ensure_user, find_owner

MOVE = (
    "Move the checkout to a folder that every user may enter, such as one in /opt, and set it up with a Python that every user "
    "may run, or run the stack as an ordinary user."
)

STRANGER = 65534
"""The number of a user without rights, in whose place a user that does not exist yet is examined."""

PROBE = """
import json, os, sys
for path, right in json.load(sys.stdin):
    if not os.access(path, right):
        sys.exit(path)
"""


class Obstacle(NamedTuple):
    """The reason why the services cannot run as the unprivileged user, and the way out."""

    reason: str
    remedy: str = MOVE
    needs_user: bool = False
    """The remedy names the user, so the user must exist."""


def settle_user(config: StackConfig) -> str | None:
    """
    Choose the user of the services before any of them starts, and give it their folders.

    Services that run keep their user, and those that start beside them have the same one.

    :return: a note for the user, None if there is none
    """
    if os.geteuid() != 0:
        return None
    current, obstacle = service_user(config.var), find_obstacle(config)
    if any(is_running(config, file.stem) for file in config.run.glob("*.json") if file.stem != "postgres"):
        is_late = current is None and obstacle is None
        return f"The services run as root until you stop them; after that, as {SERVICE_USER}" if is_late else None
    if obstacle is None or obstacle.needs_user:
        problem = ensure_user(SERVICE_USER, Path("/nonexistent"))
        obstacle = Obstacle(problem) if problem else obstacle
    try:
        _give_folders(config.var, "root" if obstacle else SERVICE_USER)
    except OSError as error:
        obstacle = Obstacle(f"the folders in {config.var} cannot be given to {SERVICE_USER}: {error.strerror}")
    return f"The services run as root, because {obstacle.reason}. {obstacle.remedy}" if obstacle else None


@cache
def find_obstacle(config: StackConfig) -> Obstacle | None:
    """Return the reason why the services of root's stack cannot run as the unprivileged user, None if they can."""
    if config.keys:
        return Obstacle("PERENNIAL_KEYS is set, as in containers")
    if config.var.exists() and config.var.stat().st_uid != 0:
        return Obstacle(f"{config.var} belongs to {_name(config.var.stat().st_uid)}")
    # Not the link itself: one into a closed folder is "closed", and would hide that folder's name.
    if closed := (_first_closed(config.python.parent) or _first_closed(config.python.resolve()) or _first_closed(config.python)):
        return Obstacle(f"{SERVICE_USER} cannot run {config.python}: {closed} is closed to it")
    needed = [path for path in _needed(config) if path.exists()]
    rights = [(str(path), os.R_OK | (os.X_OK if path.stat().st_mode & 0o100 else 0)) for path in needed]
    command = [str(config.python), "-I", "-c", PROBE]
    done = subprocess.run(command, input=json.dumps(rights), capture_output=True, text=True, check=False, **_probe_identity())
    if done.returncode == 0:
        return None
    closed = Path(done.stderr.strip().splitlines()[-1])
    first = _first_closed(closed) or closed
    reason = f"{SERVICE_USER} cannot read {first}"
    if closed not in _named_files(config):
        return Obstacle(reason)
    if first.is_file():
        return Obstacle(reason, f"Give it the file (`chown {SERVICE_USER} {first}`), then `make down up`.", needs_user=True)
    return Obstacle(reason, f"Move {closed}, which a setting names, to a folder that every user may enter.")


def _needed(config: StackConfig) -> Iterator[Path]:
    """Yield what services read: programs, code, and files that settings name. Of a package, its first file is enough."""
    home = spark_home(config)
    for packages in (*config.repo.glob(".venv/lib/python3*/site-packages"), *home.packages.parent.glob("site-packages")):
        for entry in packages.iterdir():
            # Root's processes may have made a closed folder of compiled modules: the services have their own.
            if entry.name != "__pycache__":
                yield from (entry, entry / "__init__.py")
    trees = [*(config.repo / name for name in ("include", "plugins", "dags")), config.pipelines]
    trees += [home.extra_jars, home.java.parents[1], home.spark / "jars"]
    for tree in trees:
        yield from (path for path in (tree, *tree.glob("**/*")) if "__pycache__" not in path.parts)
    yield from home.root.glob("*")
    yield from (home.python, config.repo / ".venv/bin/weed", config.spark_submit, existing(config.var))
    yield from ((config.var / name).resolve() for name in FOLDERS if (config.var / name).is_symlink())
    yield from _named_files(config)


def _named_files(config: StackConfig) -> Iterator[Path]:
    settings = get_settings()
    files = [settings.server_tokens]
    files += [config.store.credentials, config.store.serving] if config.store else []
    if config.has_own_signing:
        files += [config.signing_key, config.trusted_keys, *config.trusted_keys.glob("*.pem")]
    if settings.kubeconfig or any(_serves_on_kubernetes(config, name) for name in config.pipeline_names()):
        files += map(Path, (settings.kubeconfig or str(Path.home() / ".kube/config")).split(os.pathsep))
    yield from filter(None, files)


def _serves_on_kubernetes(config: StackConfig, name: str) -> bool:
    try:
        return runtime_of(load_pipeline(name, config.pipelines)) == "kubernetes"
    except PerennialError:
        return False  # it has no DAG, and no server


def _first_closed(path: Path) -> Path | None:
    """Return the first of the folders on the way to a file, or the file itself, that the user cannot enter or read."""
    for place in (*reversed(path.parents), path):
        right = "-x" if place.is_dir() else "-r"
        if subprocess.run(["test", right, place], check=False, **_probe_identity()).returncode:
            return place
    return None


def _probe_identity() -> dict[str, Any]:
    number, group = find_owner(SERVICE_USER) or (STRANGER, STRANGER)
    return {"user": number, "group": group, "extra_groups": [], "cwd": "/"}


def _give_folders(var: Path, user: str) -> None:
    owner = find_owner(user)
    for folder in (var / name for name in FOLDERS):
        if user == SERVICE_USER:
            folder.mkdir(mode=0o700, exist_ok=True)
        if owner and folder.exists() and folder.stat().st_uid != owner[0]:
            give_tree(folder.resolve(), owner)


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user with the number {number}"
