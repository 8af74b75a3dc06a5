"""Reading a small file that someone may replace while a process runs: keys, tokens, numbers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_BYTES = 2**20


def read_small_file(path: Path) -> bytes:
    """
    Return the content of a regular file. Links are followed: Kubernetes mounts a Secret as links.

    It never waits, as reading a pipe would, and never takes more memory than `MAX_BYTES`, as reading a device would.

    :raises OSError: the file cannot be read, is not a regular one, or is larger
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            body = file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(body) > MAX_BYTES:
        raise OSError(f"it has more than {MAX_BYTES:,} bytes")
    return body
