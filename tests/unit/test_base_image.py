"""The base image of our images: one, named by its digest, and replaceable."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DOCKERFILES = {file.parent.name: file.read_text(encoding="utf-8") for file in (REPO / "include/images").glob("*/Dockerfile")}
PINNED = re.compile(r"^ARG BASE_IMAGE=docker\.io/library/python:3\.11-slim-bookworm@(sha256:[0-9a-f]{64})$", re.MULTILINE)


def bases(text: str) -> set[str]:
    return set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))


def test_every_image_is_built_from_one_digest() -> None:
    ours = {name: text for name, text in DOCKERFILES.items() if name != "airflow"}
    assert ours.keys() == {"server", "spark", "trainer"}
    assert {name: bases(text) for name, text in ours.items()} == {name: {"${BASE_IMAGE}"} for name in ours}
    assert len({tuple(PINNED.findall(text)) for text in ours.values()}) == 1
    assert all(len(PINNED.findall(text)) == 1 for text in ours.values())
    assert bases(DOCKERFILES["airflow"]) == {"${SPARK_IMAGE}"}
