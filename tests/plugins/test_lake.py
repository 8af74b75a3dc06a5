"""Opening a lake inside a task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial_airflow.lake import lake_of


def test_what_a_task_logs_after_it_cannot_steer_who_reads_it(
    pipeline_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline_factory()
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    before = logging.getLogRecordFactory()
    try:
        lake_of("machine_faults")
        logging.getLogger("perennial.any").warning("cell %s", "\x1b]52;c;x\x07\u202e")
    finally:
        logging.setLogRecordFactory(before)
    assert caplog.messages[-1] == "cell \\x1b]52;c;x\\x07\\u202e"
