"""The environment of a command: the shell comes before the files of the checkout and of the stack."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial import settings
from perennial.settings import load_environment

Call = Callable[..., tuple[int, Any]]


def test_environment_of_the_stack_yields_to_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what is set below ends with this test
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "stack.env").write_text(
        "AWS_ENDPOINT_URL_S3=http://127.0.0.1:1\nAWS_REGION=us-east-1\nPERENNIAL_LAKE=s3://x\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("PERENNIAL_LAKE", "s3://mine")
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert load_environment()

    assert "AWS_PROFILE" not in os.environ
    assert os.environ["AWS_REGION"] == "us-east-1"
    assert os.environ["PERENNIAL_LAKE"] == "s3://mine"
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_settings_of_the_checkout_yield_to_the_shell_and_belong_to_its_own_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    (tmp_path / ".env").write_text(
        "# where releases serve\nPERENNIAL_RUNTIME=kubernetes\nKUBECONFIG=~/cluster\nPERENNIAL_LAKE=s3://x\n"
    )
    monkeypatch.setenv("PERENNIAL_LAKE", "s3://mine")
    for name in ("PERENNIAL_RUNTIME", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    settings.load_settings()  # PERENNIAL_VAR names another stack
    assert "PERENNIAL_RUNTIME" not in os.environ
    monkeypatch.delenv("PERENNIAL_VAR")
    settings.load_settings()
    assert os.environ["PERENNIAL_RUNTIME"] == "kubernetes"
    assert os.environ["KUBECONFIG"] == str(Path.home() / "cluster")
    assert os.environ["PERENNIAL_LAKE"] == "s3://mine"


def test_a_wrong_setting_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "many")
    code, found = call("validate")
    assert code == 1
    assert "PERENNIAL_ENDPOINT_PORT is 'many'" in found["error"]


def test_no_environment_file_changes_nothing() -> None:
    assert not load_environment()
