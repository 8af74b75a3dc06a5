"""Bills of materials name everything that the locks install."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from sbom import write_bom

from perennial.cli import read_version
from stack.jars import read_sums

REPO = Path(__file__).parents[2]
LOCKS = sorted([*REPO.glob("requirements/*.lock"), *REPO.glob("include/images/*/*.lock")])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(REPO)))
@pytest.mark.exhaustive
def test_a_bill_names_every_package_of_a_lock_with_its_sums(lock: Path, tmp_path: Path) -> None:
    text = write_bom(lock, tmp_path, "c0ffee").read_text(encoding="utf-8")
    components = json.loads(text)["components"]
    packages = {(item["name"], item["version"]) for item in components if item["purl"].startswith("pkg:pypi/")}
    locked = re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    assert packages == set(locked)
    assert all(item["hashes"] for item in components)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_bill_of_spark_names_every_jar_with_its_sum(tmp_path: Path) -> None:
    bom = json.loads(write_bom(REPO / "requirements/spark.lock", tmp_path, "c0ffee").read_text(encoding="utf-8"))
    jars = {
        f"{item['name']}-{item['version']}.jar": item["hashes"][0]["content"]
        for item in bom["components"]
        if item["purl"].startswith("pkg:maven/")
    }
    assert jars == read_sums()
    root = bom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("perennial", read_version())
    assert {item["name"]: item["value"] for item in root["properties"]} == {"environment": "spark", "commit": "c0ffee"}
