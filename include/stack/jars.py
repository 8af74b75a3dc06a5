"""Jars that Spark's wheel lacks: fetched by their coordinates, checked against committed SHA-256 sums."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError
from stack.own_jar import build_own_jar

HERE = Path(__file__).parent
COORDINATES = HERE / "jars.xml"
SETTINGS = HERE / "jars.settings.xml"
SUMS = HERE / "jars.sha256"

SYSTEM_TRUST_STORES = (Path("/etc/ssl/certs/java/cacerts"), Path("/etc/pki/java/cacerts"))
"""Java's trust stores on Debian and Fedora. They include the authority of a company's proxy if the machine trusts it."""


def read_sums(path: Path = SUMS) -> dict[str, str]:
    """Return the expected SHA-256 of every jar by file name."""
    pairs = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line)
    return {name: digest for digest, name in pairs}


def missing_jars(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """Return the jars that the folder lacks. Remove jars with wrong bytes and raise StackError."""
    wrong = []
    for name, expected in sums.items():
        path = folder / name
        if path.exists() and (found := sha256(path)) != expected:
            path.unlink()
            wrong.append(f"{name} has SHA-256 {found}, expected {expected}")
    if wrong:
        raise StackError(
            f"Jars in {folder} differ from those that Perennial was tested with and were removed: {'; '.join(wrong[:10])}. "
            "Run the command again. If it fails again, the repository of PERENNIAL_IVY_SETTINGS or a proxy serves other files."
        )
    return [name for name in sums if not (folder / name).exists()]


def fetch_jars(folder: Path, java: Path, ivy: Path, sums: Mapping[str, str] | None = None) -> bool:
    """
    Make the folder hold exactly the jars of `jars.sha256`. Return False if it did already.

    :param java: the `java` program to run Ivy with
    :param ivy: Ivy's own jar, which Spark ships
    """
    sums = read_sums() if sums is None else sums
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in sums:
            path.unlink()  # a jar of another version would also be on the class path
    if not missing_jars(folder, sums):
        return False
    _retrieve(folder, java, ivy)
    if missing := missing_jars(folder, sums):
        raise StackError(
            f"Jars: {', '.join(missing[:10])} of {SUMS} were not fetched. {COORDINATES} must name the same versions."
        )
    return True


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def network_options(environment: Mapping[str, str]) -> list[str]:
    """Return Java options for the proxy of the environment and for the authorities that the machine trusts."""
    options = []
    for scheme in ("http", "https"):
        name = f"{scheme}_proxy"
        proxy = urllib.parse.urlsplit(environment.get(name) or environment.get(name.upper()) or "")
        if proxy.hostname:
            options += [f"-D{scheme}.proxyHost={proxy.hostname}", f"-D{scheme}.proxyPort={proxy.port or 80}"]
    stores = [store for store in SYSTEM_TRUST_STORES if store.exists()]
    return options + [f"-Djavax.net.ssl.trustStore={store}" for store in stores[:1]]


def _retrieve(folder: Path, java: Path, ivy: Path) -> None:
    settings = os.environ.get("PERENNIAL_IVY_SETTINGS") or SETTINGS
    # The cache is beside the target folder: moving a jar into place is then a rename, and the home folder stays clean.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ivy-") as cache:
        command = [
            *(
                java,
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                *network_options(os.environ),
                f"-Divy.default.ivy.user.dir={cache}",
            ),
            *("-jar", ivy, "-warn", "-settings", settings, "-ivy", COORDINATES, "-cache", cache),
            *("-retrieve", f"{cache}/retrieved/[artifact]-[revision].[ext]"),
        ]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}  # in the locale C, Java cannot open non-ASCII paths
        words = [str(part) for part in command]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise StackError(
                f"Jars for Spark could not be fetched: {_find_causes(done.stdout + done.stderr)}. Check the connection. "
                "Behind a proxy, set https_proxy. For a mirror, set PERENNIAL_IVY_SETTINGS to an Ivy settings file that names it."
            )
        for jar in Path(cache, "retrieved").glob("*.jar"):
            jar.replace(folder / jar.name)


def _find_causes(output: str) -> str:
    """Return the lines of Ivy's report that name a cause."""
    lines = [line.strip() for line in output.splitlines()]
    causes = [line for line in lines if "error" in line.lower() or "exception" in line.lower() or "not found" in line]
    return " | ".join((causes or lines)[:3])


def main(root: Path) -> None:
    """Fetch the jars into a Spark environment, and build our own, with the Java of the machine."""
    spark, extra = root / "lib" / "python3.11" / "site-packages" / "pyspark", root / "jars-extra"
    java = Path(shutil.which("java") or "java")
    fetch_jars(extra, java, next(spark.glob("jars/ivy-*.jar")))
    build_own_jar(root / "jars-own", java, [*extra.glob("*.jar"), *spark.glob("jars/*.jar")])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
