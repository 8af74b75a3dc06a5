"""
Checks of the machine: Python, folders, disk, memory. `make setup` runs them before it installs, `make up` before it starts.

As a program this module needs only Python: it must not import anything that `make setup` installs.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

DISK_GB = 4
MEMORY_GB = 6
SETUP_GB = 5
"""Disk space for the environments that `make setup` installs."""

MAX_PATH = 300
"""Maximum characters of a path. Java's class path repeats the repository's 322 times, in one argument of at most 128 KiB."""

UNUSABLE = ':"\\%$`{}[]*?'
"""Characters that a path must not contain: they separate class paths, or Java, Spark, Hadoop or `initdb` interpret them."""

CGROUPS = Path("/sys/fs/cgroup")
SOCKETS = Path("/proc/net/tcp")
"""Linux' list of sockets with their owners. The metastore lets in only its own user."""


class Finding(NamedTuple):
    """The result of one check. `fix` is empty if the stack can start; `advice` then says what to improve."""

    subject: str
    found: str
    fix: str = ""
    advice: str = ""


def examine(repo: Path, var: Path, setting_up: bool = False) -> list[Finding]:
    """
    Check the machine without changing anything.

    :param setting_up: check the needs of the set-up, not the memory and disk of a running stack
    """
    findings = [_python(), _system(), _environment(repo), *_paths(repo, var), *_folders(repo, var), address_space()]
    if setting_up:
        is_done = (repo / ".venv").exists() and (repo / ".spark").exists()
        return findings if is_done else [*findings, _disk("disk for the set-up", repo, SETUP_GB)]
    return [*findings, _disk("disk", var, DISK_GB), memory()]


def memory(groups: Path = CGROUPS) -> Finding:
    """Check the memory that this process and its children may use: the machine's, or the limit of a container."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    files = [groups / "memory" / "memory.limit_in_bytes"]
    for folder in (group := groups / _control_group(), *group.parents):
        files.append(folder / "memory.max")
        if folder == groups:
            break
    for file in files:
        text = file.read_text(encoding="ascii").strip() if file.is_file() else "max"
        limits += [int(text)] if text.isdigit() else []
    gigabytes = min(limits) / 1e9
    fix = "Use a machine with more memory, or raise the container's limit."
    return Finding("memory", f"{gigabytes:.1f} GB, {MEMORY_GB} needed", "" if gigabytes >= MEMORY_GB else fix)


def address_space() -> Finding:
    """Check the limit that a shell sets by `ulimit -v`: Java reserves its whole heap at once."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return Finding("address space", "no limit")
    found = f"limited to {limit / 1e9:.1f} GB by `ulimit -v`, {MEMORY_GB} needed for Java's heap"
    return Finding("address space", found, "" if limit >= MEMORY_GB * 1e9 else "Run `ulimit -v unlimited` first.")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fix = "" if sys.version_info[:2] == (3, 11) else "Install Python 3.11 and run `make distclean setup`."
    return Finding("python", version, fix)


def _system() -> Finding:
    if SOCKETS.exists():
        return Finding("system", "Linux")
    return Finding("system", f"{SOCKETS} does not exist", "Use Linux, with /proc: the metastore asks it which user connects.")


def _environment(repo: Path) -> Finding:
    python = repo / ".venv" / "bin" / "python"
    if python.is_symlink() and not os.path.exists(python):
        found = f"{python} was created from {os.readlink(python)}, which no longer exists, or which this user may not read"
        return Finding("environment", found, "Run `make distclean setup`.")
    return Finding("environment", str(python.parents[1]))


def _paths(repo: Path, var: Path) -> list[Finding]:
    repository = _path("repository", repo, "Move the repository to another folder.")
    state = _path("state folder's path", var, "Set PERENNIAL_VAR to another folder.")
    return _drop_consequence(repo, var, repository, state)


def _path(subject: str, path: Path, move: str) -> Finding:
    bad = [character for character in dict.fromkeys(str(path)) if character in UNUSABLE or not character.isprintable()]
    problems = [f"holds {' '.join(map(repr, bad))}, which Java or PostgreSQL cannot take"] if bad else []
    problems += ["ends in a space"] if str(path) != str(path).rstrip() else []
    problems += [f"is {len(str(path))} characters long, at most {MAX_PATH} work"] if len(str(path)) > MAX_PATH else []
    return Finding(subject, f"{path} {' and '.join(problems)}", move) if problems else Finding(subject, str(path))


def _folders(repo: Path, var: Path) -> list[Finding]:
    programs = _no_execution("programs", repo, "Move the repository to another file system, or mount this one with `exec`.")
    return _drop_consequence(repo, var, programs, _state(var))


def _drop_consequence(repo: Path, var: Path, repository: Finding, state: Finding) -> list[Finding]:
    """Return both findings, or only the first if it is the cause of the second."""
    return [repository] if repository.fix and var.is_relative_to(repo) else [repository, state]


def _state(var: Path) -> Finding:
    folder = existing(var)
    move = "Set PERENNIAL_VAR to your own folder on another file system."
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "state folder",
            f"{folder} cannot be written to: {error.strerror}",
            "Make it writable, or set PERENNIAL_VAR to a folder of your own.",
        )
    return _no_execution("state folder", var, move)


def _no_execution(subject: str, path: Path, move: str) -> Finding:
    folder = existing(path)
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return Finding(subject, f"{folder} is on a file system without execution (mounted noexec)", move)
    return Finding(subject, str(folder))


def _disk(subject: str, wanted: Path, needed: int) -> Finding:
    folder = existing(wanted)
    free = shutil.disk_usage(folder).free / 1e9
    fix = (
        f"Free {needed - free:.1f} GB on the disk of {folder}, or use another disk: "
        "for data, set PERENNIAL_VAR to a folder on it."
    )
    return Finding(subject, f"{free:.1f} GB free, {needed} needed", "" if free >= needed else fix)


def _control_group() -> str:
    """Return this process's control group, relative to the root of all groups."""
    file = Path("/proc/self/cgroup")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")


def existing(path: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def main() -> int:
    """Print each problem that would keep the set-up from working. Return 1 if there is one, else 0."""
    repo = Path(__file__).resolve().parents[2]
    problems = [
        finding
        for finding in examine(repo, Path(os.environ.get("PERENNIAL_VAR") or repo / "var").resolve(), setting_up=True)
        if finding.fix
    ]
    for finding in problems:
        sys.stdout.write(f"✗ {finding.subject}: {finding.found}. {finding.fix}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
