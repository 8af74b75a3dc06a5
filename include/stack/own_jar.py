"""Our own Java classes that JVMs need on their class path, in a jar. Janino compiles them, so no Java compiler is needed."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from stack.errors import StackError

INCLUDE = Path(__file__).resolve().parents[1]
SOURCES = (*sorted((INCLUDE / "perennial" / "spark").glob("*.java")), INCLUDE / "stack" / "ScramOnly.java")
COMPILER = "org.codehaus.commons.compiler.samples.CompilerDemo"
"""Janino's command line. Spark ships it."""


def own_jar(folder: Path) -> Path:
    """Return the jar's file. Its name changes with its sources, so that a stale one is never used."""
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in SOURCES))
    return folder / f"perennial-{digest.hexdigest()[:16]}.jar"


def build_own_jar(folder: Path, java: Path, class_path: Sequence[Path]) -> None:
    """Compile the sources, unless the jar is there."""
    jar = own_jar(folder)
    if jar.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".classes-") as scratch:
        libraries = ":".join(map(str, class_path))
        command = [java, "-cp", libraries, COMPILER, "-d", scratch, "-classpath", libraries, *SOURCES]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise StackError(
                f"Java classes: {COMPILER} ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-500:]}. "
                "Run `make distclean setup`."
            )
        built = Path(scratch, jar.name)
        with zipfile.ZipFile(built, "w") as archive:
            for path in sorted(Path(scratch).rglob("*.class")):
                archive.write(path, path.relative_to(scratch))
        for old in folder.glob("*.jar"):
            old.unlink()
        built.replace(jar)
