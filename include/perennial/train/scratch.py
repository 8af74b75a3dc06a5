"""The scratch disk of a training: a folder that does not outlive the training, and the bytes that it may hold."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from perennial.errors import RefusedError
from perennial.store.scratch import FULL, scratch_folder

_PREFIX = "perennial-training-"
"""Earlier versions named their folders perennial-train-… and held no locks on them: they are left alone."""

_LOCK = "lock"
"""A file of the folder that the training holds locked."""

_OLD_SECONDS = 3600
"""After this time a folder with a hidden name is no longer one that its training is about to lock."""

_open: set[Path] = set()
"""The folders of the trainings of this process."""


class ScratchFullError(RefusedError):
    """The disk is too small, and not the limit of the pipeline: the same work may succeed on another machine."""


class Scratch:
    """
    A folder for the files of one training.

    :param limit: the bytes that it may hold, from `training.resources.scratch`; None: what the disk holds
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        self._limit = limit
        self.written = 0
        """The number of bytes that it holds."""

        self._sizes: dict[Path, int] = {}

    def check(self, content: str, rows: int, row_bytes: int) -> None:
        """Refuse content that does not fit, before any of it is written."""
        needed, free = rows * row_bytes, shutil.disk_usage(self.folder).free
        problems = [f"{content} takes {needed:,} bytes: {rows:,} rows of {row_bytes} bytes"]
        kind: type[RefusedError] = ScratchFullError
        if needed > free:
            problems.append(f"the disk of {self.folder.parent} has {free:,} bytes left")
        if self._limit is not None and self.written + needed > self._limit:
            problems.insert(1, f"training.resources.scratch allows {self._limit:,} bytes, and {self.written:,} are in use")
            kind = RefusedError
        if len(problems) > 1:
            raise self._refusal(problems, kind)

    def create(self, path: Path) -> IO[bytes]:
        """Open a file of the folder for `append`, in place of one with this name."""
        self._count(path, 0)
        return path.open("wb")

    def append(self, file: IO[bytes], records: NDArray[Any]) -> None:
        """Write records to the end of an open file of the folder."""
        path = Path(file.name)
        self._count(path, self._sizes.get(path, 0) + records.nbytes)
        file.write(records.view("u1").data)

    def save(self, path: Path, records: NDArray[Any]) -> None:
        """Write records as a file of the folder, in place of one with this name."""
        self._count(path, records.nbytes)
        with path.open("wb") as file:
            file.write(records.view("u1").data)

    def count(self, path: Path) -> None:
        """Count a file of the folder that a library writes. The limit may be passed by one part."""
        self._count(path, path.stat().st_size)

    def map(self, name: str, rows: int) -> NDArray[np.float64]:
        """Return an array of numbers that lies in a file of the folder, of which memory holds only what is in use."""
        path = self.folder / name
        self._count(path, 8 * rows)
        with path.open("wb") as file:  # without the space of the file, a write to memory would end the process
            os.posix_fallocate(file.fileno(), 0, 8 * rows)
        return np.memmap(path, np.float64, "r+", shape=(rows,))

    def delete(self, path: Path) -> None:
        """Delete a file of the folder."""
        path.unlink()
        self.written -= self._sizes.pop(path, 0)

    def clear(self, *patterns: str) -> None:
        """Delete the files of the folder whose names match one of some patterns."""
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                self.delete(path)

    def forget(self, paths: Iterable[Path]) -> None:
        """Count no longer the files of the folder that a library deletes itself."""
        for path in paths:
            self.written -= self._sizes.pop(path, 0)

    def explain_full(self) -> RefusedError:
        """Return the error of a disk that was full before the limit was reached."""
        free = shutil.disk_usage(self.folder).free
        return self._refusal(
            [f"the disk of {self.folder.parent} was full after {self.written:,} bytes, and has {free:,} bytes left"],
            ScratchFullError,
        )

    def _count(self, path: Path, size: int) -> None:
        self.written += size - self._sizes.get(path, 0)
        self._sizes[path] = size
        if self._limit is not None and self.written > self._limit:
            raise self._refusal([f"its files need more than {self._limit:,} bytes, which training.resources.scratch allows"])

    def _refusal(self, problems: list[str], kind: type[RefusedError] = RefusedError) -> RefusedError:
        return kind(
            "The scratch disk of the training is too small",
            problems,
            "Raise training.resources.scratch, or lower training.max_rows or training.window_days. "
            "If the disk is too small, free space on it, or set PERENNIAL_SCRATCH to a folder on a larger one.",
        )


@contextmanager
def open_scratch(limit: int | None = None) -> Iterator[Scratch]:
    """
    Yield a scratch in a new folder for temporary files, and delete it in the end.

    A killed training cannot delete its own folder: the next training on this machine does.

    :raises RefusedError: the disk is full
    """
    parent = scratch_folder()
    _delete_abandoned(parent)
    scratch = Scratch(Path(mkdtemp(prefix=f".{_PREFIX}", dir=parent)), limit)
    lock = None
    try:
        _open.add(scratch.folder)
        lock = os.open(scratch.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _show(scratch, lock)
        yield scratch
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise scratch.explain_full() from error
    finally:
        shutil.rmtree(scratch.folder, ignore_errors=True)
        _open.discard(scratch.folder)
        if lock is not None:
            os.close(lock)


def _show(scratch: Scratch, lock: int) -> None:
    """
    Lock a folder and give it its final name, so that no other training takes it for an abandoned one.

    Where the file system knows no locks, the hidden name stays: a training deletes no folder that it cannot lock.
    """
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden, shown = scratch.folder, scratch.folder.with_name(scratch.folder.name.removeprefix("."))
        _open.add(shown)
        scratch.folder = hidden.rename(shown)
        _open.discard(hidden)


def delete_open() -> None:
    """Delete the folders of this process, which is about to end."""
    for folder in list(_open):
        shutil.rmtree(folder, ignore_errors=True)


def _delete_abandoned(parent: Path) -> None:
    """Delete the folders of this user's trainings that were killed: their processes no longer hold the locks."""
    for folder in (*parent.glob(f"{_PREFIX}*"), *parent.glob(f".{_PREFIX}*")):
        with suppress(OSError):  # it is in use, it cannot be locked, or another training has deleted it
            status = folder.lstat()
            is_new = folder.name.startswith(".") and time.time() - status.st_mtime < _OLD_SECONDS
            if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode) or is_new:
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)
