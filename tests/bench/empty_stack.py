"""The embedded stack with the DAG `empty` beside our own: `python tests/bench/empty_stack.py up`, for bench-history."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from stack import airflow
from stack.__main__ import main
from stack.config import StackConfig

EMPTY = Path(__file__).with_name("dags") / "empty.py"


def with_empty_dag() -> None:
    """Let the stack of this process read DAGs from a folder that has one more."""
    own = airflow._settings

    def settings(config: StackConfig) -> Mapping[str, Mapping[str, str]]:
        sections = own(config)
        folder = config.var / "dags"
        shutil.copytree(config.repo / "dags", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(EMPTY, folder)
        return {**sections, "core": {**sections["core"], "dags_folder": str(folder)}}

    airflow._settings = settings


if __name__ == "__main__":
    with_empty_dag()
    sys.exit(main(sys.argv[1:]))
