"""Read the files of a pipeline's folder: plain text of bounded size, or an error that names the file and what to do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from perennial.errors import PipelineRefusedError

MAX_BYTES = 200_000
"""Limit for one file. The YAML of the demo has 7,000; a pipeline of 2,000 columns needs less than half of the limit."""


def read_text(path: Path) -> str:
    """Return the text of a file; raise PipelineRefusedError with the reason if it cannot be read."""
    try:
        # Opening a pipe would block forever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refusal(path, "not a file" + (" but a folder" if path.is_dir() else ""), "Remove or rename it.")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise _refusal(path, f"a link to {os.readlink(path)!r}, which does not exist", "Fix or remove the link.") from None
        raise _refusal(path, "no such file", "") from None
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})", "Give the user that runs Perennial read access.") from None
    if len(raw) > MAX_BYTES:
        raise _refusal(path, f"more than {MAX_BYTES:,} bytes", "Shorten it, or split the pipeline in two.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8: byte 0x{raw[error.start]:02X} at position {error.start}"
        raise _refusal(path, problem, "Save it as UTF-8.") from None
    if "\0" in text:
        raise _refusal(path, f"not text: a NUL at character {text.index(chr(0))}", "Save it as UTF-8.")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_sql(folder: Path, path: str) -> str:
    """Return the text of a pipeline's SQL file such as 'lookups/rates.sql'."""
    return read_text(folder / path)


def sql_names(folder: Path, below: str) -> list[str]:
    """Return the names of the .sql files in a folder of the pipeline, sorted; none if the folder does not exist."""
    return file_names(folder, below, ".sql")


def file_names(folder: Path, below: str, suffix: str) -> list[str]:
    """Return the names of the files with a suffix in a folder of the pipeline, sorted; none if the folder does not exist."""
    place = folder / below
    try:
        return sorted(name.removesuffix(suffix) for name in os.listdir(place) if name.endswith(suffix))
    except FileNotFoundError:
        if not place.is_symlink():
            return []
        raise _refusal(place, f"a link to {os.readlink(place)!r}, which does not exist", "Fix or remove the link.") from None
    except OSError as error:
        raise _refusal(
            place, f"cannot be read as a folder ({error.strerror})", "It must be a folder that Perennial may read."
        ) from None


def shown(path: Path) -> str:
    """Return a path as printable text, even if its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refusal(path: Path, problem: str, remedy: str) -> PipelineRefusedError:
    return PipelineRefusedError(f"{shown(path)}: {problem}", remedy=remedy)
