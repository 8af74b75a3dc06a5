"""Read the files of a pipeline's folder: plain text of bounded size, or an error that names the file and what to do."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path

from perennial.addresses import is_below
from perennial.errors import PipelineRefusedError

MAX_BYTES = 200_000
"""Limit for one file. The YAML of the demo has 7,000; a pipeline of 2,000 columns needs less than half of the limit."""


def read_text(folder: Path, path: str) -> str:
    """Return the text of a file in a pipeline's folder; raise PipelineRefusedError with the reason if it cannot be read."""
    place = folder / path
    with ExitStack() as held:
        try:
            found = _find(folder, path, held)
            mode = os.fstat(found).st_mode
            if not stat.S_ISREG(mode):
                raise _refusal(place, "not a file" + (" but a folder" if stat.S_ISDIR(mode) else ""), "Remove or rename it.")
            with open(_reopen(found, os.O_RDONLY, held), "rb", closefd=False) as file:
                raw = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise _refusal(place, "no such file", "") from None
        except OSError as error:
            raise _refusal(
                place, f"cannot be read ({error.strerror})", "Give the user that runs Perennial read access."
            ) from None
    if len(raw) > MAX_BYTES:
        raise _refusal(place, f"more than {MAX_BYTES:,} bytes", "Shorten it, or split the pipeline in two.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8: byte 0x{raw[error.start]:02X} at position {error.start}"
        raise _refusal(place, problem, "Save it as UTF-8.") from None
    if "\0" in text:
        raise _refusal(place, f"not text: a NUL at character {text.index(chr(0))}", "Save it as UTF-8.")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def file_names(folder: Path, below: str, suffix: str) -> list[str]:
    """Return the names of the files with a suffix in a folder of the pipeline, sorted; none if the folder does not exist."""
    with ExitStack() as held:
        try:
            place = _reopen(_find(folder, below, held), os.O_RDONLY | os.O_DIRECTORY, held)
            return sorted(name.removesuffix(suffix) for name in os.listdir(place) if name.endswith(suffix))
        except FileNotFoundError:
            return []
        except OSError as error:
            problem = f"cannot be read as a folder ({error.strerror})"
            raise _refusal(folder / below, problem, "It must be a folder that Perennial may read.") from None


def sql_names(folder: Path, below: str) -> list[str]:
    """Return the names of the .sql files in a folder of the pipeline, sorted; none if the folder does not exist."""
    return file_names(folder, below, ".sql")


def check_folder(folder: Path) -> None:
    """Raise PipelineRefusedError if a pipeline's folder is a link that leads out of the folder of pipelines, or to nothing."""
    with ExitStack() as held:
        try:
            _find(folder, ".", held)
        except OSError:
            return  # the error of its files names the cause


def _find(folder: Path, path: str, held: ExitStack) -> int:
    """
    Return a descriptor of a file or folder in a pipeline's folder.

    A link is followed if it stays in the pipeline's folder, and the folder itself may be a link within the folder of pipelines:
    Kubernetes mounts a ConfigMap in this way. The folder of pipelines is a setting, and may be any link.

    The check reads the address of what is open, so no later change of a link can evade it. O_PATH opens without effect:
    opening a pipe would wait, and opening a device may change its state.
    """
    root = os.open(folder.parent, os.O_PATH)
    held.callback(os.close, root)
    found = _enter(folder.name, root, _path_of(root), folder, held)
    bound, place = _path_of(found), folder
    for part in Path(path).parts:
        place /= part
        found = _enter(part, found, bound, place, held)
    return found


def _enter(name: str, inside: int, bound: str, place: Path, held: ExitStack) -> int:
    """
    Return a descriptor of a name in an open folder. Refuse a link that leads out of the folder `bound`, or to nothing.

    The text is the same whether the target exists or not: an author must not learn which files this machine has.
    """
    try:
        found = os.open(name, os.O_PATH, dir_fd=inside)
    except OSError:
        if os.path.islink(place):
            raise _refuse_link(place) from None
        raise
    held.callback(os.close, found)
    if not is_below(bound, _path_of(found)):
        raise _refuse_link(place)
    return found


def _refuse_link(place: Path) -> PipelineRefusedError:
    target = shown(Path(os.readlink(place)))
    return _refusal(
        place, f"a link to {target!r}, which is no part of the pipeline", "Copy what it links to, or remove the link."
    )


def _path_of(descriptor: int) -> str:
    """Return the path of an open file or folder, without links."""
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _reopen(descriptor: int, flags: int, held: ExitStack) -> int:
    """Open exactly the file or folder of a descriptor of O_PATH."""
    opened = os.open(f"/proc/self/fd/{descriptor}", flags)
    held.callback(os.close, opened)
    return opened


def shown(path: Path) -> str:
    """Return a path as printable text, even if its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refusal(path: Path, problem: str, remedy: str) -> PipelineRefusedError:
    return PipelineRefusedError(f"{shown(path)}: {problem}", remedy=remedy)
