"""Files that other processes may read at any time, and files that only their owner may read."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from stack.errors import StackError

PRIVATE = 0o600
"""Only the owner may read and write the file."""

PUBLIC = 0o644


def write_file(path: Path, text: str, mode: int = PRIVATE) -> bool:
    """
    Write a file in one step, so that a reader sees the old or the new text. Return whether the text is new.

    The file has the mode before it has the text, under any umask.
    """
    body = text.encode()
    if is_new := not _holds(path, body, mode):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(body)
        scratch.replace(path)
    return is_new


def open_regular(path: Path, flags: int) -> int:
    """
    Open a regular file; one that is created is private. Return its descriptor.

    The folder may belong to another user: root must not follow a link there, nor wait for a reader or a writer of a pipe.

    :raises StackError: if a link, a pipe or something else has this name
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise _irregular(path) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular(path)
    os.set_blocking(descriptor, True)
    return descriptor


def open_log(log: Path) -> BinaryIO:
    """Open a log to append to it, for the owner of its folder."""
    descriptor = open_regular(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    if os.geteuid() == 0 and os.fstat(descriptor).st_nlink == 1:
        folder = log.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return os.fdopen(descriptor, "ab")


def _holds(path: Path, body: bytes, mode: int) -> bool:
    """Return whether a regular file has this text. If it does, it gets the mode."""
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except (FileNotFoundError, StackError):
        return False  # something else of this name is replaced by a file
    with os.fdopen(descriptor, "rb") as file:
        if file.read() != body:
            return False
        if os.fstat(descriptor).st_mode & 0o777 != mode:
            os.fchmod(descriptor, mode)
    return True


def _irregular(path: Path) -> StackError:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(path.lstat().st_mode), "no regular file")
    return StackError(f"{path} is {kind}, expected a regular file. Remove it, then run the command again.")
