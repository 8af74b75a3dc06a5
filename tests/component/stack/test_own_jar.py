"""The jar of our own classes: built once, again after a change of its sources, and not with an error in them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from stack import own_jar
from stack.config import REPO
from stack.errors import StackError
from stack.spark import SparkHome

pytestmark = pytest.mark.spark
HOME = SparkHome(REPO / ".spark")


def test_it_holds_our_classes_and_is_built_once(tmp_path: Path) -> None:
    folder = tmp_path / "jars"
    folder.mkdir()
    stale = folder / "perennial-0123456789abcdef.jar"
    stale.touch()
    own_jar.build_own_jar(folder, HOME.java, HOME.libraries())
    (jar,) = folder.iterdir()
    assert jar == own_jar.own_jar(folder)
    with zipfile.ZipFile(jar) as archive:
        assert {name.partition("$")[0].removesuffix(".class") for name in archive.namelist()} == {
            "perennial/LakeFileIO", "perennial/PlanReader", "perennial/ScramOnly",
        }  # fmt: skip
    own_jar.build_own_jar(folder, Path("/no/java"), [])


def test_an_error_in_a_source_is_named_and_leaves_no_jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "Wrong.java"
    wrong.write_text("class Wrong { int x = y; }")
    monkeypatch.setattr(own_jar, "SOURCES", (wrong,))
    with pytest.raises(StackError, match=r"Java classes: .* ended with 1: .*Wrong\.java.*make distclean setup"):
        own_jar.build_own_jar(tmp_path / "jars", HOME.java, HOME.libraries())
    assert list((tmp_path / "jars").iterdir()) == []
