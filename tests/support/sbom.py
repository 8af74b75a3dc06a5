"""Bills of materials (CycloneDX) of everything that is installed, made from the lock files alone: sbom.py FOLDER COMMIT LOCK…"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from perennial.cli import read_version
from stack.jars import COORDINATES, read_sums


def packages(lock: Path) -> Iterator[Component]:
    """Yield the Python packages of a lock, each with the hashes that are accepted."""
    for entry in lock.read_text(encoding="utf-8").replace("\\\n", "").splitlines():
        text, *hashes = entry.split("--hash=sha256:")
        if not text.strip():
            continue
        requirement = Requirement(text.strip())
        (pin,) = requirement.specifier
        yield _component(PackageURL("pypi", name=requirement.name, version=pin.version), hashes)


def jars() -> Iterator[Component]:
    """Yield the Java archives beside Spark's own."""
    sums = read_sums()
    for jar in ElementTree.parse(COORDINATES).iter("dependency"):  # noqa: S314 (a file of this repository)
        name, number = jar.attrib["name"], jar.attrib["rev"]
        yield _component(PackageURL("maven", jar.attrib["org"], name, number), [sums[f"{name}-{number}.jar"]])


def write_bom(lock: Path, folder: Path, commit: str) -> Path:
    """Write the bill of one lock, as of a commit of Perennial; that of Spark includes its jars."""
    bom = Bom(components=[*packages(lock), *(jars() if lock.name == "spark.lock" else ())])
    bom.metadata.component = Component(
        name="perennial",
        version=read_version(),
        type=ComponentType.APPLICATION,
        bom_ref=f"perennial/{_name(lock)}",
        properties=[Property(name="environment", value=_name(lock)), Property(name="commit", value=commit)],
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    file = folder / f"{_name(lock)}.cdx.json"
    file.write_text(JsonV1Dot6(bom).output_as_string(indent=2), encoding="utf-8")
    return file


def _name(lock: Path) -> str:
    """Return the name of an environment: `spark` of requirements/spark.lock, `trainer` of images/trainer/requirements.lock."""
    return lock.stem.replace("requirements", lock.parent.name) if lock.stem.startswith("requirements") else lock.stem


def _component(purl: PackageURL, sums: list[str]) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=text.strip()) for text in sums]
    return Component(
        name=purl.name,
        version=purl.version,
        group=purl.namespace,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        hashes=hashes,
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for argument in sys.argv[3:]:
        sys.stdout.write(f"  {write_bom(Path(argument), target, sys.argv[2])}\n")
