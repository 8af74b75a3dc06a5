"""A pipeline's folder: which are found, and what is said of files that cannot be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.config.load import pipeline_names, read_pipeline
from perennial.config.text import MAX_BYTES, read_text, sql_names
from perennial.errors import PipelineRefusedError


def test_pipelines_are_folders_with_a_yaml_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden", "nothing_in_it"):
        (tmp_path / name).mkdir()
    for name in ("b", "a", ".hidden"):
        (tmp_path / name / "pipeline.yaml").touch()
    (tmp_path / "README.md").touch()
    (tmp_path / "notes.md").symlink_to("README.md")
    (tmp_path / "c").symlink_to("gone")
    (tmp_path / "d").symlink_to("b")

    assert pipeline_names(tmp_path) == ["a", "b", "c", "d"]
    assert pipeline_names(tmp_path / "no_such_folder") == []


def test_text_without_the_marks_of_some_editors(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfSELECT 1,\r\n2\n")

    assert read_text(tmp_path / "a") == "SELECT 1,\n2\n"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda file: None, "no such file"),
        (lambda file: file.mkdir(), "not a file but a folder. Remove or rename it."),
        (lambda file: os.mkfifo(file), "not a file. Remove or rename it."),
        (lambda file: file.symlink_to("gone"), "a link to 'gone', which does not exist. Fix or remove the link."),
        (lambda file: file.symlink_to("x.sql"), "cannot be read (Too many levels of symbolic links)"),
        (lambda file: file.write_bytes(b"ab\xe9c"), "not UTF-8: byte 0xE9 at position 2. Save it as UTF-8."),
        (lambda file: file.write_bytes(b"a\0b"), "not text: a NUL at character 1"),
        (lambda file: file.write_bytes(b"-" * (MAX_BYTES + 1)), "more than 200,000 bytes"),
    ],
    ids=["missing", "folder", "pipe", "dangling", "loop", "latin-1", "nul", "large"],
)
def test_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], Any], expected: str) -> None:
    make(tmp_path / "x.sql")

    with pytest.raises(PipelineRefusedError) as refused:
        read_text(tmp_path / "x.sql")

    assert str(refused.value).startswith(f"{tmp_path}/x.sql: {expected}")


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "x.sql").touch()
    monkeypatch.setattr(Path, "open", forbidden)

    with pytest.raises(PipelineRefusedError, match=r"x\.sql: cannot be read \(Permission denied\)"):
        read_text(tmp_path / "x.sql")


def test_path_that_is_no_text_can_be_shown(tmp_path: Path) -> None:
    with pytest.raises(PipelineRefusedError) as refused:
        read_text(tmp_path / "\udce9.sql")

    assert str(refused.value).encode() == f"{tmp_path}/\\xe9.sql: no such file".encode()


def test_folder_of_sql_files_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "analysis").symlink_to("gone")
    (tmp_path / "lookups").touch()

    assert sql_names(tmp_path, "sources") == []
    for name in ("analysis", "lookups"):
        with pytest.raises(PipelineRefusedError, match=name):
            sql_names(tmp_path, name)


def test_bad_files_are_told_together_with_a_bad_yaml(pipeline_factory) -> None:
    folder = pipeline_factory().folder
    yaml = (folder / "pipeline.yaml").read_text().replace("ratio(", "ratoi(")
    (folder / "pipeline.yaml").write_text(yaml)
    (folder / "features.sql").write_bytes(b"\xff")
    (folder / "analysis" / "Bad name.sql").write_text("SELECT 1")

    with pytest.raises(PipelineRefusedError) as refused:
        read_pipeline(folder / "pipeline.yaml")

    assert len(refused.value.problems) == 3
    for text in (
        "Did you mean 'ratio'?",
        "features.sql: not UTF-8",
        "analysis/Bad name.sql: a file name may hold at most 40 of a-z",
    ):
        assert text in str(refused.value)


def test_file_that_is_spoilt_after_the_pipeline_was_read_is_refused_too(pipeline_factory) -> None:
    pipeline = pipeline_factory()
    (pipeline.folder / "features.sql").write_bytes(b"\xff")

    with pytest.raises(PipelineRefusedError, match=r"features\.sql: not UTF-8"):
        pipeline.sql("features.sql")
