"""The demo's summary."""

from __future__ import annotations

import json
from pathlib import Path

from stack.demo import _write


def test_only_its_owner_reads_the_summary(tmp_path: Path) -> None:
    file = tmp_path / "demo" / "summary.json"

    _write(file, {"prediction": None})

    assert json.loads(file.read_text()) == {"prediction": None}
    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
