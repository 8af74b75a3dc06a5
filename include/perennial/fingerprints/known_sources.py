"""
A cache of the parsed modules of this package: parsing all of them takes half a second, which is too long for a task.

The file is written at set-up and in images. Its entries are named by content (the bytes of a module),
so it may lack a module but is never wrong about one: an edited module is not in it, and is parsed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from perennial.fingerprints import source
from perennial.fingerprints.source import Source, read_source

PACKAGE = Path(__file__).resolve().parents[1]


def known_sources(package: Path = PACKAGE) -> dict[str, Source]:
    """Return the cache by the SHA-256 of a module's bytes; empty if the file is missing or was written by other code."""
    try:
        stored = json.loads(_file(package).read_bytes())
        if stored["made_by"] != _made_by():
            return {}
        return {name: Source(digest, tuple(imports.split())) for name, (digest, imports) in stored["sources"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def keep_sources(package: Path = PACKAGE) -> Path:
    """Write the cache of all modules of the package if it has changed; return its file."""
    known, sources = known_sources(package), {}
    for path in package.rglob("*.py"):
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        with suppress(SyntaxError):  # a file in the middle of an edit: its import reports the error
            sources[digest] = known.get(digest) or read_source(body)
    file = _file(package)
    if sources != known:
        _replace(file, sources)
    return file


def _replace(file: Path, sources: Mapping[str, Source]) -> None:
    """Replace the file atomically: other processes may read and write it at the same time."""
    content = {
        "made_by": _made_by(),
        "sources": {name: [item.digest, " ".join(item.imports)] for name, item in sorted(sources.items())},
    }
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    new.replace(file)


def _file(package: Path) -> Path:
    """Return the path of the file. It is beside the package, where the images' checksums of the sources do not cover it."""
    return package.with_name(f"{package.name}.sources.json")


def _made_by() -> str:
    """Return a name for the Python version and the code that parse sources: others may parse the same bytes differently."""
    return f"{sys.version_info.major}.{sys.version_info.minor} {hashlib.sha256(Path(source.__file__).read_bytes()).hexdigest()}"


if __name__ == "__main__":
    keep_sources()
