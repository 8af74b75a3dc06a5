"""
The folder of large temporary files, and files without a name in it.

No other process can open such a file, and the kernel removes it with the last process that has it open.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from perennial.errors import PerennialError
from perennial.settings import get_settings, var_folder

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a disk that is full."""

SCRATCH = "scratch"
"""The folder of the state folder that `stack up` makes for them."""


def scratch_folder() -> Path:
    """
    Return the folder of large temporary files; /tmp is often in memory, so one of the state folder comes before it.

    :raises PerennialError: PERENNIAL_SCRATCH names no folder
    """
    if (folder := get_settings().scratch) is not None:
        if not folder.is_dir():
            raise PerennialError(
                f"PERENNIAL_SCRATCH is {folder}, which is not a folder", remedy="Create it on a local disk, or set another one."
            )
        return folder
    folder = var_folder() / SCRATCH
    return folder if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


@contextmanager
def scratch_file(size: int = 0) -> Iterator[BinaryIO]:
    """
    Yield a file without a name, with room for `size` bytes.

    :raises PerennialError: the disk is full, or the folder cannot be written to
    """
    folder, is_made = scratch_folder(), False
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
            is_made = True
            yield file
    except OSError as error:
        if is_made and error.errno not in FULL:
            raise  # not of this disk: a time-out of the object store, for one
        raise PerennialError(
            f"{folder}: cannot keep a temporary file of {size / 2**20:.0f} MiB ({error})" if size else f"{folder}: {error}",
            remedy="Free some disk space, or set PERENNIAL_SCRATCH to a folder on a larger disk.",
        ) from error
