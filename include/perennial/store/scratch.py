"""Files without a name: no other process can open them, and the kernel removes them with the last process that has them open."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from perennial.errors import PerennialError
from perennial.settings import get_settings, var_folder


def scratch_folder() -> Path:
    """Return the folder of large temporary files; /tmp is often in memory, so the state folder comes before it."""
    if (folder := get_settings().scratch) is not None:
        return folder
    return var_folder() if var_folder().is_dir() else Path(tempfile.gettempdir())


@contextmanager
def scratch_file(size: int = 0) -> Iterator[BinaryIO]:
    """
    Yield a file without a name, with room for `size` bytes.

    :raises PerennialError: the disk is full, or the folder cannot be written to
    """
    folder = scratch_folder()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
            yield file
    except OSError as error:
        raise PerennialError(
            f"{folder}: cannot keep a temporary file of {size / 2**20:.0f} MiB ({error})" if size else f"{folder}: {error}",
            remedy="Free some disk space, or set PERENNIAL_SCRATCH to a folder on a larger disk.",
        ) from error
