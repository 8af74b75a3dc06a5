"""Reading the files of a pipeline's folder: plain text of bounded size, or a refusal that names the file and what to do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from perennial.errors import PipelineRefusedError

MAX_BYTES = 200_000
"""Of one file. The YAML of the demo has 7,000; a pipeline of 2,000 columns has less than half of this."""


def read_text(path: Path) -> str:
    """Return the text of a file; raise PipelineRefusedError with the reason why it cannot be read."""
    try:
        # Opening a pipe would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refusal(path, "not a file" + (" but a folder" if path.is_dir() else ""), "Remove or rename it.")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise _refusal(path, f"a link to {os.readlink(path)!r}, where nothing is", "Mend or remove the link.") from None
        raise _refusal(path, "no such file", "") from None
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})", "Let the user that runs Perennial read it.") from None
    if len(raw) > MAX_BYTES:
        raise _refusal(path, f"more than {MAX_BYTES:,} bytes", "Write less, or make two pipelines of it.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"not UTF-8: byte 0x{raw[error.start]:02X} at position {error.start}"
        raise _refusal(path, found, "Save it as UTF-8.") from None
    if "\0" in text:
        raise _refusal(path, f"not text: a NUL at character {text.index(chr(0))}", "Save it as UTF-8.")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_sql(folder: Path, path: str) -> str:
    """Return the text of a pipeline's SQL file, e.g. 'lookups/rates.sql'."""
    return read_text(folder / path)


def sql_names(folder: Path, below: str) -> list[str]:
    """Return, in order, the names of what ends in .sql in a folder of the pipeline; none when there is no such folder."""
    place = folder / below
    try:
        return sorted(name.removesuffix(".sql") for name in os.listdir(place) if name.endswith(".sql"))
    except FileNotFoundError:
        if not place.is_symlink():
            return []
        raise _refusal(place, f"a link to {os.readlink(place)!r}, where nothing is", "Mend or remove the link.") from None
    except OSError as error:
        raise _refusal(place, f"cannot be read as a folder ({error.strerror})", "It is a folder of SQL files.") from None


def shown(path: Path) -> str:
    """Return a path as text that can be printed, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refusal(path: Path, found: str, remedy: str) -> PipelineRefusedError:
    return PipelineRefusedError(f"{shown(path)}: {found}", remedy=remedy)
