"""The server stays small: what it must never import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = {"airflow", "tensorflow", "keras", "sklearn", "pandas", "pyarrow", "pyiceberg", "pyspark", "onnx"}


def test_server_imports_nothing_heavy() -> None:
    include = Path(__file__).resolve().parents[3] / "include"
    code = f"import sys; import perennial.serve.__main__; print(sorted({HEAVY!r} & set(sys.modules)))"

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(include)}
    )

    assert found.stdout.strip() == "[]"
