"""The jars that are fetched are the ones that were tested, or none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stack.errors import StackError
from stack.jars import COORDINATES, fetch_jars, missing_jars, network_options, read_sums

NO_JAVA = Path("/nonexistent/java")


def sums_of(**contents: bytes) -> dict[str, str]:
    return {f"{name}.jar": hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def test_every_coordinate_has_a_sum() -> None:
    root = ElementTree.parse(COORDINATES)  # noqa: S314 (a file of this repository)
    named = {f"{entry.get('name')}-{entry.get('rev')}.jar" for entry in root.iter("dependency")}

    assert named == set(read_sums())


def test_wrong_bytes_are_refused_and_removed(tmp_path: Path) -> None:
    (tmp_path / "good.jar").write_bytes(b"good")
    (tmp_path / "bad.jar").write_bytes(b"tampered")

    with pytest.raises(StackError, match=r"bad\.jar has SHA-256 .* expected"):
        missing_jars(tmp_path, sums_of(good=b"good", bad=b"as published"))

    assert [path.name for path in tmp_path.iterdir()] == ["good.jar"]


def test_complete_folder_needs_no_java(tmp_path: Path) -> None:
    (tmp_path / "one.jar").write_bytes(b"1")

    assert fetch_jars(tmp_path, NO_JAVA, NO_JAVA, sums_of(one=b"1")) is False


def test_jar_of_another_version_is_removed(tmp_path: Path) -> None:
    (tmp_path / "one.jar").write_bytes(b"1")
    (tmp_path / "one-old.jar").write_bytes(b"0")

    fetch_jars(tmp_path, NO_JAVA, NO_JAVA, sums_of(one=b"1"))

    assert [path.name for path in tmp_path.iterdir()] == ["one.jar"]


def test_proxy_of_the_environment_reaches_java() -> None:
    options = network_options({"HTTPS_PROXY": "http://127.0.0.1:3128"})

    assert "-Dhttps.proxyHost=127.0.0.1" in options
    assert "-Dhttps.proxyPort=3128" in options
