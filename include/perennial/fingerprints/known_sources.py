"""
What the modules of this package come down to, found out once: parsing all of them takes half a second, which no task should.

The file is made at set-up and in images. It is named by content (a module's bytes), so it may lack a module but never be wrong about
one: an edited module is not in it, and is parsed.
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
    """Return what is known, by the SHA-256 of a module's bytes; nothing where the file is missing or made by other code than this."""
    try:
        stored = json.loads(_file(package).read_bytes())
        if stored["made_by"] != _made_by():
            return {}
        return {name: Source(digest, tuple(imports.split())) for name, (digest, imports) in stored["sources"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def keep_sources(package: Path = PACKAGE) -> Path:
    """Write down what every module of the package comes down to now, unless that is written down already; return the file."""
    known, found = known_sources(package), {}
    for path in package.rglob("*.py"):
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        with suppress(SyntaxError):  # in the middle of an edit: whoever imports it hears of it
            found[digest] = known.get(digest) or read_source(body)
    file = _file(package)
    if found != known:
        _replace(file, found)
    return file


def _replace(file: Path, sources: Mapping[str, Source]) -> None:
    """Write the file whole: others may read it, and write it, at the same time."""
    content = {
        "made_by": _made_by(),
        "sources": {name: [one.digest, " ".join(one.imports)] for name, one in sorted(sources.items())},
    }
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    new.replace(file)


def _file(package: Path) -> Path:
    """Return the file beside the package, where no image's checksum of the sources sees it."""
    return package.with_name(f"{package.name}.sources.json")


def _made_by() -> str:
    """Name the code and the Python that read sources: others may find something else in the same bytes."""
    return f"{sys.version_info.major}.{sys.version_info.minor} {hashlib.sha256(Path(source.__file__).read_bytes()).hexdigest()}"


if __name__ == "__main__":
    keep_sources()
