"""A pipeline's folder: which are found, and what is said of files that cannot be read."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.config.load import load_pipeline, pipeline_names, read_pipeline
from perennial.config.text import MAX_BYTES, read_text, sql_names
from perennial.errors import PipelineRefusedError

OUTSIDE = "which is no part of the pipeline. Copy what it links to, or remove the link."


def link_to_a_secret(file: Path) -> None:
    (file.parent.parent / "secret").write_text("s3cr3t")
    file.symlink_to("../secret")


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

    assert read_text(tmp_path, "a") == "SELECT 1,\n2\n"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda file: None, "no such file"),
        (lambda file: file.mkdir(), "not a file but a folder. Remove or rename it."),
        (lambda file: os.mkfifo(file), "not a file. Remove or rename it."),
        (lambda file: file.symlink_to("gone"), f"a link to 'gone', {OUTSIDE}"),
        (lambda file: file.symlink_to("x.sql"), f"a link to 'x.sql', {OUTSIDE}"),
        (lambda file: file.symlink_to("/proc/self/environ"), f"a link to '/proc/self/environ', {OUTSIDE}"),
        (lambda file: file.symlink_to("/dev/zero"), f"a link to '/dev/zero', {OUTSIDE}"),
        (link_to_a_secret, f"a link to '../secret', {OUTSIDE}"),
        (lambda file: file.write_bytes(b"ab\xe9c"), "not UTF-8: byte 0xE9 at position 2. Save it as UTF-8."),
        (lambda file: file.write_bytes(b"a\0b"), "not text: a NUL at character 1"),
        (lambda file: file.write_bytes(b"-" * (MAX_BYTES + 1)), "more than 200,000 bytes"),
    ],
    ids=["missing", "folder", "pipe", "dangling", "loop", "process", "device", "secret", "latin-1", "nul", "large"],
)
def test_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], Any], expected: str) -> None:
    make(tmp_path / "x.sql")

    with pytest.raises(PipelineRefusedError) as refused:
        read_text(tmp_path, "x.sql")

    assert str(refused.value).startswith(f"{tmp_path}/x.sql: {expected}")


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "x.sql").touch()
    monkeypatch.setattr("perennial.config.text._reopen", forbidden)

    with pytest.raises(PipelineRefusedError, match=r"x\.sql: cannot be read \(Permission denied\)"):
        read_text(tmp_path, "x.sql")


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("mine/features.sql", "../theirs/features.sql"),
        ("mine/lookups", "../theirs"),
        ("mine/lookups/features.sql", "../../theirs/features.sql"),
        ("mine/sources", "/proc/self/fd"),
        ("mine", "../secrets"),
        ("mine", "theirs/../../secrets"),
    ],
)
def test_link_out_of_a_pipeline_is_refused_and_shows_nothing(tmp_path: Path, link: str, target: str) -> None:
    for folder in ("pipelines/mine", "pipelines/theirs", "secrets"):
        (tmp_path / folder).mkdir(parents=True)
        for file in ("pipeline.yaml", "features.sql"):
            (tmp_path / folder / file).write_text("title: mine" if folder == "pipelines/mine" else "s3cr3t: 1")
    place = tmp_path / "pipelines" / link
    if link == "mine":
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target)

    with pytest.raises(PipelineRefusedError) as refused:
        load_pipeline("mine", tmp_path / "pipelines")

    assert f"a link to {target!r}, which is no part of the pipeline" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_missing_and_existing_files_of_others_look_alike(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    texts = []
    for target in ("/etc/passwd", "/etc/no-such"):
        (tmp_path / "mine" / "x.sql").symlink_to(target)
        with pytest.raises(PipelineRefusedError) as refused:
            read_text(tmp_path / "mine", "x.sql")
        texts.append(str(refused.value).replace(target, "TARGET"))
        (tmp_path / "mine" / "x.sql").unlink()

    assert texts[0] == texts[1]


def mount_like_kubernetes(folder: Path) -> None:
    """Replace the content of a folder by links through `..data`, as the kubelet mounts a ConfigMap."""
    (folder / "..2026_11_29").mkdir()
    for path in list(folder.iterdir()):
        if path.name != "..2026_11_29":
            path.rename(folder / "..2026_11_29" / path.name)
            path.symlink_to(Path("..data") / path.name)
    (folder / "..data").symlink_to("..2026_11_29")


def test_folder_of_pipelines_that_git_sync_or_kubernetes_mounts_is_read(pipeline_factory, tmp_path: Path) -> None:
    root = tmp_path / "mounts"
    for name in ("plain", "one_pipeline", "all_pipelines"):
        shutil.copytree(pipeline_factory().folder, root / name / "machine_faults")
    mount_like_kubernetes(root / "one_pipeline" / "machine_faults")
    mount_like_kubernetes(root / "all_pipelines")
    (root / "current").symlink_to("plain")

    expected = load_pipeline("machine_faults", root / "plain")
    for name in ("current", "one_pipeline", "all_pipelines"):
        assert pipeline_names(root / name) == ["machine_faults"]
        pipeline = load_pipeline("machine_faults", root / name)
        assert pipeline.model_dump(exclude={"folder"}) == expected.model_dump(exclude={"folder"})
        assert [pipeline.sql_files(below) for below in ("lookups", "analysis")] == [
            expected.sql_files(below) for below in ("lookups", "analysis")
        ]


@pytest.mark.exhaustive
def test_link_that_is_exchanged_while_it_is_read_shows_nothing(tmp_path: Path) -> None:
    """The check looks at the file that is open: a link that is good when it is checked and bad when it is read helps no one."""
    (tmp_path / "secret").write_text("s3cr3t")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "good.sql").write_text("SELECT 1")
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            for target in ("good.sql", "../secret"):
                (folder / "next").symlink_to(target)
                (folder / "next").rename(folder / "x.sql")

    thread = threading.Thread(target=exchange)
    thread.start()
    texts = set()
    try:
        for _ in range(3000):
            try:
                texts.add(read_text(folder, "x.sql"))
            except PipelineRefusedError as refused:
                texts.add("refused" if "s3cr3t" not in str(refused) else str(refused))
    finally:
        stop.set()
        thread.join()

    assert texts == {"SELECT 1", "refused"}


def test_path_that_is_no_text_can_be_shown(tmp_path: Path) -> None:
    with pytest.raises(PipelineRefusedError) as refused:
        read_text(tmp_path, "\udce9.sql")

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
